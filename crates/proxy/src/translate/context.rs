//! What all phases of a request know, and how an attempt at a backend ends.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::grpc;
use super::request::Request;
use super::sink::Silence;
use crate::http::gateway_error::GatewayError;
use crate::http::manner::Manner;
use crate::http::phases::{Next, NoAnswer, in_time};
use crate::http::request_id::RequestId;
use crate::measure::Measured;
use crate::retry::{Attempted, Fault};
use crate::routing::rules::{Rules, manner};
use crate::upstream::{Endpoint, Upstream};
use crate::worker::Worker;

/// A request on its way to a backend, either of which may speak HTTP/2.
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) upstream: &'a Upstream,
    /// What the request's route changes; in the request itself that is done.
    pub(crate) rules: Option<&'a Rules>,
    pub(crate) client: Client<'a>,
    pub(crate) request: Request,
    pub(crate) measured: &'a Measured<'a>,
    /// What the request is called, at the edge.
    pub(crate) id: Option<&'a RequestId>,
    /// Whether its client speaks TLS, to us or to a trusted hop.
    pub(crate) is_secure: bool,
    pub(crate) is_grpc: bool,
    /// When all of it has to be over, where its caller or its route said so.
    pub(crate) deadline: Option<Instant>,
    /// Its caller said when it gives up.
    pub(crate) has_callers_deadline: bool,
    /// What it is told when the deadline has passed.
    pub(crate) late: GatewayError,
    /// How many pieces of content have moved either way.
    moved: Cell<u32>,
}

/// How one attempt at a backend ended.
pub(crate) enum Attempt {
    /// The client has its answer, or will never have it.
    Over(Next),
    /// Nothing was sent to the client yet.
    Failed(GatewayError),
    /// The same, and another attempt may do better.
    Again(Fault),
}

impl Attempt {
    /// The end of an attempt without an answer.
    pub(crate) fn failed(error: NoAnswer, fault: Option<Fault>) -> Self {
        match (fault, error) {
            (Some(fault), _) => Self::Again(fault),
            (None, NoAnswer::Failed(error)) => Self::Failed(error),
            (None, _) => Self::Failed(GatewayError::BackendClosed),
        }
    }
}

impl<'a> Exchange<'a> {
    /// An exchange that has begun as `measured` says.
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        (upstream, rules): (&'a Upstream, Option<&'a Rules>),
        client: Client<'a>,
        request: Request,
        measured: &'a Measured<'a>,
    ) -> Self {
        let is_grpc = grpc::is_grpc(&request.fields);
        let callers = is_grpc.then(|| grpc::timeout(&request.fields)).flatten();
        let routes = rules.and_then(|rules| rules.deadline);
        let (limit, late) = match (callers, routes) {
            (Some(callers), Some(routes)) if routes < callers => {
                (Some(routes), GatewayError::Deadline)
            }
            (Some(callers), _) => (Some(callers), GatewayError::Timeout),
            (None, routes) => (routes, GatewayError::Deadline),
        };
        Self {
            worker,
            upstream,
            rules,
            client,
            request,
            measured,
            id: None,
            is_secure: false,
            is_grpc,
            deadline: limit.map(|limit| Instant::from_std(measured.begun()) + limit),
            has_callers_deadline: callers.is_some(),
            late,
            moved: Cell::new(0),
        }
    }

    /// The same for a request that is called so, and whose client speaks TLS or not.
    pub(crate) fn named(self, id: Option<&'a RequestId>, is_secure: bool) -> Self {
        Self {
            id,
            is_secure,
            ..self
        }
    }

    /// How the proxy itself answers it.
    pub(crate) fn manner(&self) -> Manner<'_> {
        manner(self.rules, self.id, self.is_secure)
    }

    /// An attempt at it by `endpoint`, whose connection had been idle or not.
    pub(crate) fn attempted<'b>(&'b self, endpoint: &'b Endpoint, was_idle: bool) -> Attempted<'b> {
        Attempted {
            limits: &self.worker.limits,
            upstream: self.upstream,
            endpoint,
            was_idle,
            has_deadline: self.has_callers_deadline,
        }
    }

    /// The longest silence within a body. A stream of calls may pause for as long as its caller
    /// is willing to wait.
    pub(crate) fn idle(&self) -> Silence<'_> {
        let own = self.rules.and_then(|rules| rules.idle);
        Silence {
            longest: own.unwrap_or(match self.is_grpc {
                true => Duration::MAX,
                false => self.worker.limits.body_idle,
            }),
            moved: &self.moved,
        }
    }

    /// How long the backend has from the end of the request to the head of its answer. Where the
    /// caller has set a deadline of its own, that counts.
    pub(crate) fn timeout(&self) -> Duration {
        const AGES: Duration = Duration::from_secs(365 * 24 * 3600);
        match self.has_callers_deadline {
            true => AGES,
            false => {
                let own = self.rules.and_then(|rules| rules.timeout);
                own.unwrap_or_else(|| self.upstream.timeout())
            }
        }
    }

    /// Does what is given unless the deadline comes first.
    pub(crate) async fn in_time<T>(&self, what: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        in_time(self.deadline, what).await
    }
}
