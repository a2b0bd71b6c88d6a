//! One request and its answer: a backend is found, tried, and another is tried where the first
//! cannot have done anything with the request.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::grpc;
use super::request::Request;
use super::source::Replayable;
use super::{to_http1, to_http2};
use crate::dial::{Connected, Reuse, dial};
use crate::http::gateway_error::GatewayError;
use crate::http1::Next;
use crate::http1::request::Body;
use crate::worker::{Upstream, Worker};

/// What all phases of a request know.
pub(crate) struct Exchange<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) upstream: &'a Upstream,
    pub(crate) client: Client<'a>,
    pub(crate) request: Request,
    pub(crate) is_grpc: bool,
    /// When the caller gives up, where it said so.
    pub(crate) deadline: Option<Instant>,
}

/// How one attempt at a backend ended.
pub(crate) enum Attempt {
    /// The client has its answer, or will never have it.
    Over(Next),
    /// Nothing was sent to the client yet.
    Failed(GatewayError),
    /// The connection ended before any byte of an answer, as when the backend closes an idle
    /// connection at the moment that it is used, or dies.
    Stale,
    /// The backend says that it has not looked at the request (RFC 9113 section 8.7).
    Unprocessed,
}

impl<'a> Exchange<'a> {
    /// An exchange that begins now.
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        upstream: &'a Upstream,
        client: Client<'a>,
        request: Request,
    ) -> Self {
        let is_grpc = grpc::is_grpc(&request.headers);
        let timeout = is_grpc.then(|| grpc::timeout(&request.headers)).flatten();
        Self {
            worker,
            upstream,
            client,
            request,
            is_grpc,
            deadline: timeout.map(|timeout| Instant::now() + timeout),
        }
    }

    /// The longest silence within a body. A stream of calls may pause for as long as its caller
    /// is willing to wait.
    pub(crate) fn idle(&self) -> Duration {
        match self.is_grpc {
            true => Duration::MAX,
            false => self.worker.limits.body_idle,
        }
    }

    /// How long the backend has from the end of the request to the head of its answer. Where the
    /// caller has set a deadline of its own, that counts.
    pub(crate) fn timeout(&self) -> Duration {
        const AGES: Duration = Duration::from_secs(365 * 24 * 3600);
        match self.deadline {
            Some(_) => AGES,
            None => self.upstream.timeout(),
        }
    }

    /// Does what is given unless the deadline comes first.
    pub(crate) async fn in_time<T>(&self, what: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match self.deadline {
            None => Some(what.await),
            Some(deadline) => {
                let what = Box::pin(tokio::time::timeout_at(deadline, what));
                what.await.ok()
            }
        }
    }
}

/// Has a backend answer a request whose body is `body`; what becomes of the client's connection.
pub(crate) async fn exchange(exchange: &Exchange<'_>, mut body: Replayable<'_>) -> Next {
    let facts = exchange.request.facts;
    // A request without body can be sent once more if doing it twice is harmless.
    let repeatable = facts.idempotent && facts.body == Body::None && !facts.upgrade;
    let mut reuse = match repeatable {
        true => Reuse::Any,
        false => Reuse::Safe,
    };
    let (mut is_first, mut tried) = (true, None);
    let error = loop {
        let dialed = pin!(dial(exchange.worker, exchange.upstream, reuse, tried));
        let dialed = exchange.in_time(dialed).await;
        if let Some(Ok(connected)) = &dialed {
            tried = Some(connected.endpoint());
        }
        let attempt = match dialed {
            Some(Ok(Connected::Alone(backend))) => {
                to_http1::attempt(exchange, backend, &mut body).await
            }
            Some(Ok(Connected::Shared(backend))) => {
                Box::pin(to_http2::attempt(exchange, backend, &mut body)).await
            }
            Some(Err(error)) => break error,
            None => break GatewayError::Timeout,
        };
        match attempt {
            Attempt::Over(next) => return next,
            Attempt::Failed(error) => break error,
            Attempt::Stale if is_first && repeatable => {}
            Attempt::Unprocessed if is_first && !facts.upgrade && body.rewind() => {}
            Attempt::Stale | Attempt::Unprocessed => break GatewayError::BackendClosed,
        }
        (is_first, reuse) = (false, Reuse::Never);
    };
    let is_grpc = exchange.is_grpc;
    let status = is_grpc.then(|| grpc::status_of(error));
    let counters = &exchange.upstream.counters;
    counters.answered(error.status(), status);
    exchange.client.fail(error, facts, is_grpc).await
}
