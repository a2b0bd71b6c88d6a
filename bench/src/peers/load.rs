//! Closed loops of load, on a core of their own.

use anyhow::Result;

use super::ask::{Ask, Seen};
use super::{h2load, wrk};

/// Asks for so many seconds. Every answer has to be a success.
pub(crate) fn run(ask: &Ask) -> Result<Seen> {
    match ask.protocol.is_http2() {
        true => h2load::run(ask),
        false => wrk::run(ask),
    }
}
