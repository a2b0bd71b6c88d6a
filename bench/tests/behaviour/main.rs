//! The load, the raw exchanges and the command, against a server that fails on request.

mod command;
mod load;
mod raw;
mod support;
