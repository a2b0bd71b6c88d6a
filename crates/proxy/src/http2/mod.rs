//! HTTP/2 (RFC 9113) by the library `h2`, with bounds of our own beneath it.
//!
//! [`server`] serves a client's connection, whose frames a [`guard`] counts; [`request`] checks
//! each head as strictly as those of HTTP/1.1. [`pool`] has the connections to backends.

mod guard;
mod guarded;
pub(crate) mod head;
pub(crate) mod pool;
mod request;
mod server;
pub mod whole;
mod window;

pub(crate) use guard::{Guard, PREFACE};
pub(crate) use server::serve;
