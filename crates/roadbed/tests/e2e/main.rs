//! The real program, with real processes and sockets: what users do with it, and what happens to
//! programs in real life.

mod access_log;
mod bad_input;
mod bodies;
mod commands;
mod counts;
mod edge;
mod error_pages;
mod failing;
mod full_disk;
mod logs;
mod polyglot;
mod power_loss;
mod protocols;
mod refusals;
mod releases;
mod resilience;
mod rollback;
mod routing;
mod routing_table;
mod support;
mod survival;
mod tls;
mod top;
mod top_terminal;
mod up;
