//! One request and its answer. Both directions run at once: a backend may answer before it has
//! read the request, and a client may wait for `100 Continue` before it sends the rest.

use std::cell::Cell;
use std::pin::pin;
use std::time::Instant;

use super::body::{Coding, Relay, Turn};
use super::context::Exchange;
use super::response::ResponseHead;
use super::rewrite::Framing;
use super::{answer, hedged, in_place, translated};
use crate::buffers::Pooled;
use crate::dial::{Backend, Connected, dial};
use crate::http::gateway_error::{GatewayError, Reply};
use crate::http::message::Body;
use crate::http::phases::{BodyError, Next, NoAnswer, Sent, await_end, await_head, in_time};
use crate::retry::{Attempted, Fault, Heard, Seen, Tries};
use crate::routing::rules::{body_limit, priority};
use crate::socket::Socket;
use crate::tunnel;

/// How one attempt at a backend ended.
pub(super) enum Attempt {
    /// The client has its answer, or will never have it.
    Over(Next),
    /// Nothing was sent to the client yet.
    Failed(GatewayError),
    /// The same, and another attempt may do better.
    Again(Fault),
}

/// Sends the request whose rewritten head is `out`, with its body from `input`, and passes the
/// answer on.
pub(crate) async fn exchange(
    exchange: Exchange<'_>,
    input: &mut Option<Pooled>,
    mut out: Pooled,
) -> Next {
    let Exchange { worker, facts, .. } = exchange;
    if facts.body == Body::None && input.as_ref().is_some_and(|input| input.is_empty()) {
        // Nothing is read from the client before the answer is there.
        *input = None;
    }
    let mut tries = Tries::of(facts, exchange.rules);
    let admitted = {
        let gone = async || exchange.client.hung_up().await;
        let admitting = pin!(tries.admit(exchange.upstream, priority(exchange.rules), gone));
        in_time(exchange.deadline(), admitting).await
    };
    let admitted = admitted.unwrap_or(Err(NoAnswer::Failed(GatewayError::Deadline)));
    let error = loop {
        match admitted {
            Ok(()) => {}
            Err(NoAnswer::Failed(error)) => break error,
            Err(_) => return Next::Close,
        }
        let dialed = {
            let dialing = pin!(dial(worker, exchange.upstream, &tries));
            in_time(exchange.deadline(), dialing).await
        };
        let connected = match dialed.unwrap_or(Err(GatewayError::Deadline)) {
            Ok(connected) => connected,
            Err(error) => break error,
        };
        tries.went_to(connected.endpoint());
        exchange
            .measured
            .goes_to(connected.shared_endpoint(), &tries);
        let backend = match connected {
            Connected::Alone(backend) => backend,
            // The upstream has changed since the request was on its way to HTTP/1.1.
            Connected::Shared(_) => match translated::again(out.bytes(), facts) {
                Ok(request) => {
                    // It is let in once more there, and must not wait for the place that it has.
                    drop(tries);
                    return Box::pin(translated::serve(exchange, request, input)).await;
                }
                Err(error) => break error,
            },
        };
        let attempt = match tries.may_hedge(exchange.upstream) {
            false => attempt(exchange, backend, &tries, input, &mut out).await,
            true => Box::pin(hedged::attempt(exchange, backend, &tries, input, &mut out)).await,
        };
        match attempt {
            Attempt::Over(next) => return next,
            Attempt::Failed(error) => break error,
            Attempt::Again(fault) if tries.again(exchange.upstream, fault, Instant::now()) => {}
            Attempt::Again(_) => break GatewayError::BackendClosed,
        }
    };
    exchange.measured.refused(error, None);
    let reply = Reply::to(facts, exchange.listener).given(exchange.manner());
    in_place::answer(worker, exchange.client, error, reply).await
}

pub(super) async fn attempt(
    exchange: Exchange<'_>,
    backend: Backend,
    tries: &Tries,
    input: &mut Option<Pooled>,
    out: &mut Pooled,
) -> Attempt {
    let attempted = Attempted {
        limits: &exchange.worker.limits,
        upstream: exchange.upstream,
        endpoint: backend.endpoint(),
        was_idle: backend.was_idle,
        has_deadline: false,
    };
    let heard = Cell::new(Heard::Nothing);
    let mut sent = Sent::Partly;
    let mut incoming = None;
    // The borrows of both directions end with this block.
    let relayed = {
        let _cut = tries.race.cuts(&backend.socket, attempted.endpoint);
        let mut sending = pin!(send(&exchange, &backend.socket, input, out));
        let gone = async || exchange.client.was_reset().await;
        let head = {
            let backend = &backend.socket;
            let wins = || tries.race.wins(attempted.endpoint);
            let reading = answer::read_head(&exchange, backend, &mut incoming, &heard, wins);
            let reading = pin!(reading);
            let timeout = exchange.timeout();
            let head = await_head(
                sending.as_mut(),
                &mut sent,
                reading,
                (gone, || tries.is_whole()),
                timeout,
            );
            let head = in_time(exchange.deadline(), pin!(head)).await;
            head.unwrap_or(Err(NoAnswer::Failed(GatewayError::Deadline)))
        };
        let arrived = incoming.as_ref().map_or(0, |buffer| buffer.bytes().len());
        let see = |head: &ResponseHead| {
            let bytes = incoming.as_ref().map_or(&[][..], |buffer| buffer.bytes());
            Seen {
                status: head.status,
                rest: head.rest_after(arrived - head.length),
                is_open: false,
                forbids_retry: head.forbids_retry(bytes),
            }
        };
        let head = attempted.judge(tries, heard.get(), head, Instant::now(), see);
        if head.is_ok() && !tries.race.wins(attempted.endpoint) {
            // Another attempt has answered, and whoever knows of both drops this one.
            std::future::pending::<()>().await;
        }
        match (head, &mut incoming) {
            (Ok(head), _) if head.upgrade => Ok((head, None)),
            (Ok(head), Some(incoming)) => {
                let framing = framing(&exchange, &head, sent);
                let end = {
                    let backend = &backend.socket;
                    let relay = answer::relay(&exchange, backend, incoming, &head, framing);
                    let relay = pin!(relay);
                    let end = await_end(sending.as_mut(), &mut sent, relay, gone);
                    let end = in_time(exchange.deadline(), pin!(end)).await;
                    end.unwrap_or(Err(BodyError::Source))
                };
                Ok((head, Some((framing, end))))
            }
            (Ok(_), None) => Err(NoAnswer::Failed(GatewayError::BackendClosed)),
            (Err(error), _) => Err(error),
        }
    };
    match relayed {
        Ok((head, None)) => {
            exchange.measured.switched(head.status);
            Attempt::Over(switch_protocols(&exchange, &backend, &head, input, incoming).await)
        }
        Ok((head, Some((framing, Ok(()))))) => {
            exchange.measured.answered(head.status, None);
            let clean = incoming.is_none_or(|incoming| incoming.is_empty());
            match head.keep_alive && clean && sent == Sent::Wholly {
                true => backend.keep(),
                false => drop(backend),
            }
            Attempt::Over(if framing.keep_alive {
                Next::Request
            } else {
                Next::Linger
            })
        }
        Ok((_, Some((_, Err(error))))) => {
            backend.abort();
            Attempt::Over(if matches!(error, BodyError::Sink) {
                Next::Close
            } else {
                Next::Reset
            })
        }
        Err(NoAnswer::ClientGone) => {
            backend.abort();
            Attempt::Over(Next::Close)
        }
        Err(error) => {
            let fault = attempted.fault(error, heard.get());
            backend.give_up(exchange.worker, error);
            match (fault, error) {
                (Some(fault), _) => Attempt::Again(fault),
                (None, NoAnswer::Failed(error)) => Attempt::Failed(error),
                (None, _) => Attempt::Failed(GatewayError::BackendClosed),
            }
        }
    }
}

/// Sends the head in `out`, which is kept, and then the body.
async fn send(
    exchange: &Exchange<'_>,
    backend: &Socket,
    input: &mut Option<Pooled>,
    out: &mut Pooled,
) -> Result<(), BodyError> {
    let idle = exchange.idle();
    match (exchange.facts.body, input) {
        (Body::None, _) | (_, None) => backend
            .write_all(out.bytes(), idle)
            .await
            .map_err(|_| BodyError::Sink),
        (body, Some(input)) => {
            let relay = Relay {
                from: exchange.client,
                input,
                to: backend,
                out,
                idle,
                turn: Turn::default(),
                moved: exchange.measured.received(),
                limit: body_limit(exchange.rules, exchange.facts),
            };
            relay.run(body, Coding::Chunked).await
        }
    }
}

/// How the answer is framed, and with that whether the client's connection is kept.
fn framing(exchange: &Exchange<'_>, head: &ResponseHead, sent: Sent) -> Framing {
    let old_version = exchange.facts.old_version;
    let keep_alive = exchange.facts.keep_alive
        && sent == Sent::Wholly
        && !exchange.listener.is_gone()
        && answer::delimits_itself(head, old_version);
    Framing {
        old_version,
        keep_alive,
    }
}

/// Passes the backend's 101 on and then bytes both ways.
async fn switch_protocols(
    exchange: &Exchange<'_>,
    backend: &Backend,
    head: &ResponseHead,
    input: &mut Option<Pooled>,
    incoming: Option<Pooled>,
) -> Next {
    let Some(mut incoming) = incoming else {
        return Next::Close;
    };
    let framing = Framing {
        old_version: false,
        keep_alive: true,
    };
    // 101 has no body: only its head is passed on.
    let passed_on = answer::relay(exchange, &backend.socket, &mut incoming, head, framing).await;
    if passed_on.is_err() {
        return Next::Close;
    }
    let from_client = (exchange.client, input.take());
    tunnel::relay(
        exchange.worker,
        (exchange.measured.received(), exchange.measured.sent()),
        from_client,
        (&backend.socket, Some(incoming)),
    )
    .await;
    Next::Close
}
