//! Conformance of the real proxy: the rules of the RFCs one by one, with what reaches the backend
//! byte by byte, and suites and clients that others wrote.

#[allow(dead_code, reason = "the tests beside these use the rest")]
#[path = "../proxy"]
mod shared {
    pub(crate) mod support;
}

mod autobahn;
mod clients;
mod crossing;
mod exchange;
mod frames;
mod grpc;
mod h2_suite;
mod last_words;
mod others;
mod otlp;
mod rfc9110;
mod rfc9112;
mod rfc9112_answers;
mod rfc9112_bodies;
mod rfc9113;
mod rfc9113_refused;

use shared::support;
