//! HTTP/1.1, ours from the first byte to the last.
//!
//! A connection ([`connection`]) reads one request's head ([`request`]), finds where it goes,
//! rewrites the head ([`rewrite`]) and hands over to [`exchange`], which dials a backend
//! ([`dial`]), relays the body ([`body`]) and reads the answer ([`response`], [`answer`]) at the
//! same time, and settles both connections.

mod accept;
mod answer;
mod body;
mod chunked;
mod connection;
pub(crate) mod dial;
mod exchange;
mod fields;
mod gateway_error;
mod refusal;
pub mod request;
mod response;
mod rewrite;
mod target;
pub mod whole;

pub(crate) use connection::serve;
pub use refusal::Refusal;
pub(crate) use target::split_port;
