//! The backend's answer: reading its head and passing it on.

use std::cell::Cell;

use super::body::{Coding, Relay, Turn};
use super::context::Exchange;
use super::response::{self, ResponseHead};
use super::rewrite::{self, Framing, Told};
use crate::buffers::Pooled;
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::{BodyError, NoAnswer};
use crate::http1::head::read_one;
use crate::limits::INTERIM_ANSWERS;
use crate::retry::Heard;
use crate::socket::Socket;

/// Reads the head of the final answer, which stays in `incoming`. Informational answers before
/// it are passed on, if `wins` says that this is what the client gets. `heard` says how much of an
/// answer has arrived.
pub(crate) async fn read_head(
    exchange: &Exchange<'_>,
    backend: &Socket,
    incoming: &mut Option<Pooled>,
    heard: &Cell<Heard>,
    wins: impl Fn() -> bool,
) -> Result<ResponseHead, NoAnswer> {
    let bad = |refusal| NoAnswer::Failed(GatewayError::BadResponse(refusal));
    for _ in 0..=INTERIM_ANSWERS {
        let end = read_one(exchange.worker, backend, incoming, heard).await?;
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
            if !wins() {
                std::future::pending::<()>().await;
            }
            let mut out = exchange.worker.buffers.take_small();
            let framing = Framing {
                old_version: false,
                keep_alive: true,
            };
            rewrite::response(&mut out, bytes, &head, framing, Told::default());
            let limit = exchange.worker.limits.body_idle;
            let sent = exchange.client.write_all(out.bytes(), limit).await;
            sent.map_err(|_| NoAnswer::ClientGone)?;
            heard.set(Heard::PassedOn);
        }
        buffer.consume(end);
    }
    Err(bad(crate::http::Refusal::Malformed(
        "it has too many informational answers",
    )))
}

/// Passes the answer in `incoming` on to the client, whose head is `head`.
pub(crate) async fn relay(
    exchange: &Exchange<'_>,
    backend: &Socket,
    incoming: &mut Pooled,
    head: &ResponseHead,
    framing: Framing,
) -> Result<(), BodyError> {
    exchange.measured.head(head.status);
    let mut out = exchange.worker.buffers.take();
    let told = match head.upgrade {
        true => Told::default(),
        false => Told {
            rules: exchange.rules,
            id: exchange.id,
            is_secure: exchange.is_secure,
        },
    };
    let bytes = &incoming.bytes()[..head.length];
    rewrite::response(&mut out, bytes, head, framing, told);
    incoming.consume(head.length);
    let relay = Relay {
        from: backend,
        input: incoming,
        to: exchange.client,
        out: &mut out,
        idle: exchange.idle(),
        turn: Turn::default(),
        moved: exchange.measured.sent(),
        limit: u64::MAX,
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
