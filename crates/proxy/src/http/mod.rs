//! What HTTP/1.1 and HTTP/2 have in common: what is refused, what is answered in place of a
//! backend, and where a request is for.

pub mod accept;
pub(crate) mod accept_encoding;
pub(crate) mod attest;
pub(crate) mod date;
pub(crate) mod error_page;
pub mod field_section;
pub(crate) mod fields;
pub(crate) mod forwarded;
pub(crate) mod gateway_error;
pub(crate) mod grpc_status;
pub(crate) mod linger;
pub(crate) mod manner;
pub(crate) mod max_forwards;
pub mod message;
pub(crate) mod phases;
pub(crate) mod redirect;
mod refusal;
pub(crate) mod request_id;
pub(crate) mod route;
pub(crate) mod security;
pub(crate) mod target;

pub use refusal::Refusal;
pub(crate) use target::split_port;
