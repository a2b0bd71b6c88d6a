//! HTTP/1.1, ours from the first byte to the last.
//!
//! A connection ([`connection`]) reads one request's head ([`request`]), finds where it goes,
//! rewrites the head ([`rewrite`]) and hands over to [`exchange`], which dials a backend
//! ([`dial`]), relays the body ([`body`]) and reads the answer ([`response`], [`answer`]) at the
//! same time, and settles both connections.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod chunked;
mod connection;
mod context;
mod exchange;
pub(crate) mod fields;
pub(crate) mod head;
mod hedged;
mod in_place;
pub mod request;
pub(crate) mod response;
pub(crate) mod rewrite;
mod translated;
pub mod whole;

pub(crate) use connection::{Served, serve};
pub(crate) use in_place::answer as answer_in_place;
