//! Exchanges in which at least one side speaks HTTP/2: a request and its answer as values between
//! the two codecs, and their bodies piece by piece.
//!
//! [`exchange`] finds a backend and tries once more where that is safe; [`to_http1`] and
//! [`to_http2`] are one attempt at a backend of either kind. [`source`] and [`sink`] are where
//! content comes from and goes; [`client`] is whoever asked.

pub(crate) mod answer;
pub(crate) mod client;
mod context;
mod exchange;
mod fields;
pub(crate) mod grpc;
mod hedged;
mod http2_head;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod sink;
pub(crate) mod source;
mod to_http1;
mod to_http2;
mod tunnel;
pub(crate) mod websocket;

pub(crate) use context::Exchange;
pub(crate) use exchange::exchange;
