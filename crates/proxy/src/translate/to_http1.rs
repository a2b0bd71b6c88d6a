//! An attempt at a backend that speaks HTTP/1.1.

use std::cell::Cell;
use std::pin::pin;
use std::time::Instant;

use super::answer::Answer;
use super::context::{Attempt, Exchange};
use super::sink::{Framing, Http1Sink, Sink, pump};
use super::source::{Http1Source, Replayable, Source};
use super::{tunnel, websocket};
use crate::buffers::Pooled;
use crate::dial::Backend;
use crate::http::Refusal;
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::{BodyError, Next, NoAnswer, Sent, await_end, await_head};
use crate::http1::head::read_one;
use crate::http1::response::{self, ResponseHead};
use crate::limits::INTERIM_ANSWERS;
use crate::retry::{Attempted, Heard, Seen, Tries};
use crate::socket::Socket;

/// Sends the request and passes the answer on.
pub(crate) async fn attempt(
    exchange: &Exchange<'_>,
    backend: Backend,
    tries: &Tries,
    body: &mut Replayable<'_>,
) -> Attempt {
    let facts = exchange.request.facts;
    let key = match facts.upgrade {
        true => match handshake_key(exchange) {
            Some(key) => Some(key),
            None => return Attempt::Failed(GatewayError::NoWebSocket),
        },
        false => None,
    };
    let attempted = exchange.attempted(backend.endpoint(), backend.was_idle);
    let heard = Cell::new(Heard::Nothing);
    let mut sent = Sent::Partly;
    let mut incoming = None;
    let mut to_backend = request_sink(exchange, &backend.socket, key.as_deref());
    let idle = exchange.idle();
    let received = exchange.measured.received();
    // The borrows of both directions end with this block.
    let relayed = {
        let _cut = tries.race.cuts(&backend.socket, attempted.endpoint);
        let mut sending = pin!(async {
            match facts.upgrade || facts.body == Body::None {
                true => to_backend.flush(idle.longest).await,
                // Most requests have no body, and a wait for one takes much room.
                false => Box::pin(pump(body, &mut to_backend, idle, received))
                    .await
                    .map(drop),
            }
        });
        let head = {
            let wins = || tries.race.wins(attempted.endpoint);
            let reading = read_head(exchange, &backend.socket, &mut incoming, &heard, wins);
            let reading = pin!(reading);
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
        let head = head.unwrap_or(Err(NoAnswer::Failed(exchange.late)));
        let arrived = incoming.as_ref().map_or(0, |buffer| buffer.bytes().len());
        let see = |(head, answer): &(ResponseHead, Answer)| Seen {
            rest: head.rest_after(arrived),
            ..answer.seen(exchange.is_grpc)
        };
        let head = attempted.judge(tries, heard.get(), head, Instant::now(), see);
        if head.is_ok() && !tries.race.wins(attempted.endpoint) {
            // Another attempt has answered, and whoever knows of both drops this one.
            std::future::pending::<()>().await;
        }
        match head {
            Err(error) => Err(error),
            Ok((head, answer)) if head.upgrade => Ok((head, Err(answer))),
            Ok((_, answer)) if facts.upgrade && exchange.client.takes_for_websocket(&answer) => {
                Err(NoAnswer::Failed(GatewayError::NoWebSocket))
            }
            Ok((head, answer)) => {
                let socket = &backend.socket;
                let relay = relay(exchange, (attempted, socket), &mut incoming, answer, sent);
                let pending = async || std::future::pending().await;
                let end = await_end(sending.as_mut(), &mut sent, pin!(relay), pending).await;
                Ok((head, Ok(end)))
            }
        }
    };
    match relayed {
        Ok((_, Err(answer))) => {
            let key = key.unwrap_or_default();
            let end = tunnel::to_http1(exchange, &backend, answer, &key, body, incoming);
            Box::pin(end).await.unwrap_or_else(|error| {
                backend.abort();
                Attempt::Failed(error)
            })
        }
        Ok((head, Ok(Ok(next)))) => {
            let clean = incoming.is_none_or(|incoming| incoming.is_empty());
            match head.keep_alive && clean && sent == Sent::Wholly {
                true => backend.keep(),
                false => drop(backend),
            }
            Attempt::Over(next)
        }
        Ok((_, Ok(Err(error)))) => {
            backend.abort();
            Attempt::Over(match error {
                BodyError::Sink => Next::Close,
                _ => Next::Reset,
            })
        }
        Err(NoAnswer::ClientGone) => {
            backend.abort();
            Attempt::Over(Next::Close)
        }
        Err(error) => {
            let attempt = Attempt::failed(error, attempted.fault(error, heard.get()));
            backend.give_up(exchange.worker, error);
            attempt
        }
    }
}

/// The key of the WebSocket that is opened: the client's own, or ours where it has none.
fn handshake_key(exchange: &Exchange<'_>) -> Option<String> {
    match exchange.request.websocket_key() {
        Some(key) if key.is_ascii() => str::from_utf8(key).ok().map(str::to_owned),
        Some(_) => None,
        None => websocket::key(),
    }
}

/// What takes the request, with its head in it.
fn request_sink<'a>(exchange: &Exchange<'_>, socket: &'a Socket, key: Option<&str>) -> Sink<'a> {
    let mut out = match exchange.request.facts.body {
        Body::None => exchange.worker.buffers.take_small(),
        _ => exchange.worker.buffers.take(),
    };
    let default_host = exchange.upstream.id.service.as_str();
    exchange.request.write_http1(&mut out, default_host, key);
    let framing = match exchange.request.facts.body {
        Body::Chunked => Framing::Chunked,
        _ => Framing::Plain,
    };
    Sink::Http1(Http1Sink {
        socket,
        out,
        framing,
    })
}

/// Reads the head of the final answer and uses it up. Informational answers before it are passed
/// on, if `wins` says that this is what the client gets.
async fn read_head(
    exchange: &Exchange<'_>,
    backend: &Socket,
    incoming: &mut Option<Pooled>,
    heard: &Cell<Heard>,
    wins: impl Fn() -> bool,
) -> Result<(ResponseHead, Answer), NoAnswer> {
    let bad = |refusal| NoAnswer::Failed(GatewayError::BadResponse(refusal));
    let facts = exchange.request.facts;
    for _ in 0..=INTERIM_ANSWERS {
        let end = read_one(exchange.worker, backend, incoming, heard).await?;
        let Some(buffer) = incoming else { break };
        let bytes = &buffer.bytes()[..end];
        let head = response::parse_complete(bytes, facts.is_head).map_err(bad)?;
        let answer = Answer::from_http1(bytes, &head);
        buffer.consume(end);
        if head.status == 101 && !(head.upgrade && facts.upgrade) {
            return Err(bad(Refusal::Malformed("it switches protocols unasked")));
        }
        if !head.is_interim() {
            return Ok((head, answer));
        }
        if !wins() {
            std::future::pending::<()>().await;
        }
        let told = Box::pin(exchange.client.inform(answer, facts)).await;
        told.map_err(|()| NoAnswer::ClientGone)?;
        heard.set(Heard::PassedOn);
    }
    Err(bad(Refusal::Malformed(
        "it has too many informational answers",
    )))
}

/// Passes the answer on.
async fn relay(
    exchange: &Exchange<'_>,
    (attempted, backend): (Attempted<'_>, &Socket),
    incoming: &mut Option<Pooled>,
    answer: Answer,
    sent: Sent,
) -> Result<Next, BodyError> {
    let body = Http1Source::new(exchange.worker, backend, incoming, answer.body);
    super::relay::answer(exchange, Some(attempted), answer, Source::Http1(body), sent).await
}
