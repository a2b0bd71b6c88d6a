//! What all phases of a request know.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::manner::Manner;
use crate::http::message::RequestFacts;
use crate::http::request_id::RequestId;
use crate::measure::Measured;
use crate::routing::rules::{Rules, manner};
use crate::socket::Socket;
use crate::upstream::Upstream;
use crate::worker::{Listener, Worker};

/// A request on its way to a backend of HTTP/1.1, as its client is.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Socket,
    pub(crate) listener: &'a Listener,
    pub(crate) upstream: &'a Upstream,
    pub(crate) facts: RequestFacts,
    pub(crate) measured: &'a Measured<'a>,
    /// What the request's route changes.
    pub(crate) rules: Option<&'a Rules>,
    /// What the request is called, at the edge.
    pub(crate) id: Option<&'a RequestId>,
    /// Whether its client speaks TLS, to us or to a trusted hop.
    pub(crate) is_secure: bool,
}

impl Exchange<'_> {
    /// How the proxy itself answers it.
    pub(crate) fn manner(&self) -> Manner<'_> {
        manner(self.rules, self.id, self.is_secure)
    }

    /// How long the request waits for the head of its answer.
    pub(crate) fn timeout(&self) -> Duration {
        let own = self.rules.and_then(|rules| rules.timeout);
        own.unwrap_or_else(|| self.upstream.timeout())
    }

    /// The longest silence within content, in either direction.
    pub(crate) fn idle(&self) -> Duration {
        let own = self.rules.and_then(|rules| rules.idle);
        own.unwrap_or(self.worker.limits.body_idle)
    }

    /// When all of it has to be over, where that is said.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let after = self.rules?.deadline?;
        Some(Instant::from_std(self.measured.begun()) + after)
    }
}
