//! The backend's answer: reading its head and passing it on.

use std::cell::Cell;

use super::body::{BodyError, Coding, Relay, Turn};
use super::exchange::Exchange;
use super::fields::head_end;
use super::request::Body;
use super::response::{self, ResponseHead};
use super::rewrite::{self, Framing};
use crate::http::gateway_error::GatewayError;
use crate::http::phases::NoAnswer;
use crate::limits::{HEAD_BYTES, INTERIM_ANSWERS};
use crate::socket::Socket;
use crate::worker::Worker;
use crate::worker::buffers::Pooled;

/// Reads the head of the final answer, which stays in `incoming`. Informational answers before
/// it are passed on. `begun` is set once any byte of an answer has arrived.
pub(crate) async fn read_head(
    exchange: &Exchange<'_>,
    backend: &Socket,
    incoming: &mut Option<Pooled>,
    begun: &Cell<bool>,
) -> Result<ResponseHead, NoAnswer> {
    let bad = |refusal| NoAnswer::Failed(GatewayError::BadResponse(refusal));
    for _ in 0..=INTERIM_ANSWERS {
        let end = read_one(exchange.worker, backend, incoming, begun).await?;
        let Some(buffer) = incoming else { break };
        let bytes = &buffer.bytes()[..end];
        let head = response::parse_complete(bytes, exchange.facts.is_head).map_err(bad)?;
        if head.status == 101 && !(head.upgrade && exchange.facts.upgrade) {
            return Err(bad(crate::http::Refusal::Malformed(
                "it switches protocols unasked",
            )));
        }
        if !head.is_interim() {
            return Ok(head);
        }
        if !exchange.facts.old_version {
            let mut out = exchange.worker.buffers.take_small();
            let framing = Framing {
                old_version: false,
                keep_alive: true,
            };
            rewrite::response(&mut out, bytes, &head, framing);
            let limit = exchange.worker.limits.body_idle;
            let sent = exchange.client.write_all(out.bytes(), limit).await;
            sent.map_err(|_| NoAnswer::ClientGone)?;
        }
        buffer.consume(end);
    }
    Err(bad(crate::http::Refusal::Malformed(
        "it has too many informational answers",
    )))
}

/// Reads until a whole head is in the buffer, which is taken when its first byte arrives.
pub(crate) async fn read_one(
    worker: &Worker,
    backend: &Socket,
    incoming: &mut Option<Pooled>,
    begun: &Cell<bool>,
) -> Result<usize, NoAnswer> {
    let closed = NoAnswer::Failed(GatewayError::BackendClosed);
    let buffer = match incoming {
        Some(buffer) => buffer,
        None => match backend.read_first(&worker.buffers).await {
            Ok(Some(first)) => {
                begun.set(true);
                incoming.insert(first)
            }
            Ok(None) | Err(_) => return Err(closed),
        },
    };
    let mut scanned = 0;
    loop {
        match head_end(buffer.bytes(), scanned) {
            Ok(Some(end)) => return Ok(end),
            Ok(None) => scanned = buffer.bytes().len(),
            Err(refusal) => return Err(NoAnswer::Failed(GatewayError::BadResponse(refusal))),
        }
        if buffer.is_full() {
            buffer.grow(HEAD_BYTES + 1);
        }
        match backend.read(buffer).await {
            Ok(0) | Err(_) => return Err(closed),
            Ok(_) => begun.set(true),
        }
    }
}

/// Passes the answer in `incoming` on to the client, whose head is `head`.
pub(crate) async fn relay(
    exchange: &Exchange<'_>,
    backend: &Socket,
    incoming: &mut Pooled,
    head: &ResponseHead,
    framing: Framing,
) -> Result<(), BodyError> {
    let mut out = exchange.worker.buffers.take();
    rewrite::response(&mut out, &incoming.bytes()[..head.length], head, framing);
    incoming.consume(head.length);
    let relay = Relay {
        from: backend,
        input: incoming,
        to: exchange.client,
        out: &mut out,
        idle: exchange.worker.limits.body_idle,
        turn: Turn::default(),
    };
    let coding = match framing.old_version {
        true => Coding::Plain,
        false => Coding::Chunked,
    };
    relay.run(head.body, coding).await
}

/// Whether the client can tell where this answer ends without its connection's end.
pub(crate) fn delimits_itself(head: &ResponseHead, old_version: bool) -> bool {
    !old_version || matches!(head.body, Body::None | Body::Length(_))
}
