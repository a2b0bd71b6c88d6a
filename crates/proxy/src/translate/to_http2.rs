//! An attempt at a backend that speaks HTTP/2.

use std::cell::Cell;
use std::pin::pin;

use http::StatusCode;
use tokio::time::Instant;

use super::answer::Answer;
use super::context::{Attempt, Exchange};
use super::sink::{Sink, pump};
use super::source::{Replayable, Source};
use super::tunnel;
use crate::dial::SharedBackend;
use crate::http::Refusal;
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::{BodyError, Next, NoAnswer, Sent, await_end, await_head};
use crate::http2::{Failure, Handle, Reason};
use crate::limits::INTERIM_ANSWERS;
use crate::retry::{Fault, Heard, Tries};

/// Sends the request and passes the answer on.
pub(crate) async fn attempt(
    exchange: &Exchange<'_>,
    backend: SharedBackend,
    tries: &Tries,
    body: &mut Replayable<'_>,
) -> Attempt {
    let facts = exchange.request.facts;
    if facts.upgrade && !backend.slot.opens_websockets() {
        return Attempt::Failed(GatewayError::NoWebSocket);
    }
    let ended = body.is_over() && !facts.upgrade;
    let Ok(stream) = open(exchange, &backend, ended) else {
        // Nothing of the request has left us: the connection turned out to be at its end.
        backend.slot.end_connection();
        return Attempt::Again(Fault::Unprocessed);
    };
    let mut to_backend = match ended {
        true => Sink::Ended,
        false => Sink::Http2(stream.clone()),
    };
    let mut sent = if ended { Sent::Wholly } else { Sent::Partly };
    let attempted = exchange.attempted(backend.endpoint(), false);
    let (unprocessed, heard) = (Cell::new(false), Cell::new(Heard::Nothing));
    let idle = exchange.idle();
    let received = exchange.measured.received();
    let relayed = {
        let mut sending = pin!(async {
            match facts.upgrade || ended {
                true => Ok(()),
                false => Box::pin(pump(body, &mut to_backend, idle, received))
                    .await
                    .map(drop),
            }
        });
        let head = {
            let wins = || tries.race.wins(attempted.endpoint);
            let reading = pin!(read_head(exchange, &stream, (&unprocessed, &heard), wins));
            let gone = async || exchange.client.gone().await;
            let timeout = exchange.timeout();
            let head = await_head(
                sending.as_mut(),
                &mut sent,
                reading,
                (gone, || tries.is_whole()),
                timeout,
            );
            exchange.in_time(pin!(head)).await
        };
        let head = match head.unwrap_or(Err(NoAnswer::Failed(exchange.late))) {
            // It says nothing of how well the endpoint is.
            Err(error) if unprocessed.get() => Err(error),
            head => {
                let now = std::time::Instant::now();
                let see = |answer: &Answer| answer.seen(exchange.is_grpc);
                attempted.judge(tries, heard.get(), head, now, see)
            }
        };
        if head.is_ok() && !tries.race.wins(attempted.endpoint) {
            // Another attempt has answered, and whoever knows of both drops this one.
            std::future::pending::<()>().await;
        }
        match head {
            Err(error) => Err(error),
            Ok(answer) if facts.upgrade && answer.status == StatusCode::OK => Ok(Err(answer)),
            Ok(answer) => {
                let content = match answer.body {
                    Body::None => Source::Nothing,
                    _ => Source::Http2(stream.clone().into()),
                };
                let relay = super::relay::answer(exchange, Some(attempted), answer, content, sent);
                let pending = async || std::future::pending().await;
                let end = await_end(sending.as_mut(), &mut sent, pin!(relay), pending).await;
                Ok(Ok(end))
            }
        }
    };
    match relayed {
        Ok(Err(answer)) => {
            Box::pin(tunnel::to_http2(exchange, answer, body, to_backend, stream)).await
        }
        Ok(Ok(Ok(next))) => Attempt::Over(next),
        Ok(Ok(Err(error))) => {
            to_backend.cut(Reason::CANCEL);
            Attempt::Over(match error {
                BodyError::Sink => Next::Close,
                _ => Next::Reset,
            })
        }
        Err(NoAnswer::ClientGone) => {
            to_backend.cut(Reason::CANCEL);
            Attempt::Over(Next::Close)
        }
        Err(NoAnswer::Failed(_)) if unprocessed.get() => Attempt::Again(Fault::Unprocessed),
        Err(error) => {
            if error == NoAnswer::Failed(GatewayError::Timeout) && !exchange.has_callers_deadline {
                // The connection may be dead, which nothing else would tell.
                backend.slot.end_connection();
            }
            to_backend.cut(Reason::CANCEL);
            Attempt::failed(error, attempted.fault(error, heard.get()))
        }
    }
}

/// Opens a stream with the request's head.
fn open(exchange: &Exchange<'_>, backend: &SharedBackend, ends: bool) -> Result<Handle, Failure> {
    let request = &exchange.request;
    let default_host = exchange.upstream.id.service.as_str();
    let mut head = request.http2_head(default_host, backend.is_secure());
    if exchange.is_grpc {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        head = head.with_grpc(exchange.deadline.map(left));
    }
    let is_bodiless = request.facts.is_head;
    backend.slot.open(head.block(), ends, is_bodiless)
}

/// Waits for the head of the final answer. Informational answers before it are passed on, if `wins`
/// says that this is what the client gets.
async fn read_head(
    exchange: &Exchange<'_>,
    stream: &Handle,
    (unprocessed, heard): (&Cell<bool>, &Cell<Heard>),
    wins: impl Fn() -> bool,
) -> Result<Answer, NoAnswer> {
    let bad = |refusal| NoAnswer::Failed(GatewayError::BadResponse(refusal));
    for _ in 0..=INTERIM_ANSWERS {
        let head = stream.head().await.map_err(|failure| {
            unprocessed.set(failure.is_unprocessed);
            match failure.is_malformed {
                true => bad(Refusal::Malformed("it breaks a rule of HTTP/2")),
                false => NoAnswer::Failed(GatewayError::BackendClosed),
            }
        })?;
        let is_interim = head.status.is_informational();
        let is_over = is_interim || exchange.request.facts.is_head || stream.is_at_end();
        let answer = Answer::from_http2(head, is_over).map_err(bad)?;
        if !is_interim {
            return Ok(answer);
        }
        if !wins() {
            std::future::pending::<()>().await;
        }
        let told = Box::pin(exchange.client.inform(answer, exchange.request.facts)).await;
        told.map_err(|()| NoAnswer::ClientGone)?;
        heard.set(Heard::PassedOn);
    }
    Err(bad(Refusal::Malformed(
        "it has too many informational answers",
    )))
}
