//! HTTP/2 (RFC 9113).
//!
//! A [`connection`] is the protocol without a socket, on [`frame`]s and [`hpack`]; a [`driver`]
//! moves its bytes, and a [`handle`] is one of its streams as those see it who serve it.
//! [`server`] serves a client's connection, whose frames a [`guard`] counts; [`head`] and
//! [`request`] check each head as strictly as those of HTTP/1.1. [`pool`] has the connections to
//! backends.

mod connection;
mod driver;
mod frame;
mod guard;
mod handle;
pub(crate) mod head;
pub mod hpack;
pub(crate) mod pool;
mod reason;
mod request;
mod server;
mod settings;
pub mod whole;
mod window;

pub(crate) use connection::{Failure, Received};
pub(crate) use frame::PREFACE;
pub(crate) use handle::Handle;
pub(crate) use reason::Reason;
pub(crate) use server::serve;
