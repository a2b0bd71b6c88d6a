//! The real program, with real processes and sockets: what users do with it, and what happens to
//! programs in real life.

mod bodies;
mod polyglot;
mod support;
mod survival;
mod up;
