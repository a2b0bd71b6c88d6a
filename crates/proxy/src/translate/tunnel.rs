//! WebSockets: bytes both ways, of which each side ends its own.

use std::cell::Cell;
use std::time::Duration;

use super::answer::Answer;
use super::context::{Attempt, Exchange};
use super::sink::{Framing, Http1Sink, Silence, Sink, pump};
use super::source::{Http1Source, Replayable, Source};
use super::websocket;
use crate::buffers::Pooled;
use crate::dial::Backend;
use crate::http::Refusal;
use crate::http::gateway_error::GatewayError;
use crate::http::phases::{BodyError, Next};
use crate::http2::{Handle, Reason};
use crate::measure::Measured;

/// Opens the WebSocket that a backend of HTTP/1.1 has agreed to, whose key was `key`.
pub(crate) async fn to_http1(
    exchange: &Exchange<'_>,
    backend: &Backend,
    answer: Answer,
    key: &str,
    body: &mut Replayable<'_>,
    mut incoming: Option<Pooled>,
) -> Result<Attempt, GatewayError> {
    let accept = websocket::accept(key);
    let proof = answer.fields.get(b"sec-websocket-accept");
    if proof.is_none_or(|proof| proof != accept.as_bytes()) {
        let refusal = Refusal::Malformed("it accepts another WebSocket than was asked for");
        return Err(GatewayError::BadResponse(refusal));
    }
    exchange.measured.switched(101);
    let Ok(client) = exchange.client.open_websocket(answer, Some(&accept)).await else {
        return Ok(Attempt::Over(Next::Close));
    };
    backend.socket.keep_alive();
    let to_backend = Sink::Http1(Http1Sink {
        socket: &backend.socket,
        out: exchange.worker.buffers.take_small(),
        framing: Framing::Raw,
    });
    let from = Http1Source::raw(exchange.worker, &backend.socket, &mut incoming);
    let measured = exchange.measured;
    Ok(both_ways(measured, body, to_backend, Source::Http1(from), client).await)
}

/// Opens the WebSocket that a backend of HTTP/2 has agreed to.
pub(crate) async fn to_http2(
    exchange: &Exchange<'_>,
    answer: Answer,
    body: &mut Replayable<'_>,
    to_backend: Sink<'_>,
    from_backend: Handle,
) -> Attempt {
    let key = exchange.request.fields.get(b"sec-websocket-key");
    let key = key.and_then(|key| str::from_utf8(key).ok());
    let accept = key.map(websocket::accept);
    exchange.measured.switched(200);
    let client = exchange.client.open_websocket(answer, accept.as_deref());
    match client.await {
        Ok(client) => {
            let measured = exchange.measured;
            let from_backend = Source::Http2(from_backend.into());
            both_ways(measured, body, to_backend, from_backend, client).await
        }
        Err(_) => Attempt::Over(Next::Close),
    }
}

async fn both_ways(
    measured: &Measured<'_>,
    from_client: &mut Replayable<'_>,
    mut to_backend: Sink<'_>,
    mut from_backend: Source<'_>,
    mut to_client: Sink<'_>,
) -> Attempt {
    from_client.forget();
    // A stream may pause for as long as its two ends like.
    let silence = Silence {
        longest: Duration::MAX,
        moved: &Cell::new(0),
    };
    let to_backend_wholly = async {
        match pump(from_client, &mut to_backend, silence, measured.received()).await {
            Ok(_) => Ok(true),
            // What it has said before is still passed on. Reading from it ends soon, too.
            Err(BodyError::Sink) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let outcome = tokio::try_join!(
        to_backend_wholly,
        pump(&mut from_backend, &mut to_client, silence, measured.sent()),
    );
    if !matches!(outcome, Ok((true, _))) {
        // The reset of a stream destroys what its connection's task has not written yet.
        tokio::task::yield_now().await;
        // Neither side may take this for an orderly end.
        to_backend.cut(Reason::CANCEL);
        to_client.cut(Reason::CANCEL);
        return Attempt::Over(Next::Reset);
    }
    Attempt::Over(Next::Close)
}
