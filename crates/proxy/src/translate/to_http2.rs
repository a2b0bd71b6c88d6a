//! An attempt at a backend that speaks HTTP/2.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use tokio::time::Instant;

use super::answer::Answer;
use super::context::{Attempt, Exchange};
use super::sink::{Sink, pump};
use super::source::{Replayable, Source};
use super::{library, tunnel};
use crate::dial::SharedBackend;
use crate::http::Refusal;
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::{BodyError, Next, NoAnswer, Sent, await_end, await_head};
use crate::limits::INTERIM_ANSWERS;

/// Sends the request and passes the answer on.
pub(crate) async fn attempt(
    exchange: &Exchange<'_>,
    backend: SharedBackend,
    body: &mut Replayable<'_>,
) -> Attempt {
    let facts = exchange.request.facts;
    if facts.upgrade && !backend.slot.opens_websockets() {
        return Attempt::Failed(GatewayError::NoWebSocket);
    }
    let ended = body.is_over() && !facts.upgrade;
    let (response, stream) = match open(exchange, &backend, ended).await {
        Ok(opened) => opened,
        Err(attempt) => return attempt,
    };
    let mut to_backend = match ended {
        true => Sink::Ended,
        false => Sink::Http2(stream),
    };
    let mut sent = if ended { Sent::Wholly } else { Sent::Partly };
    let unprocessed = Cell::new(false);
    let idle = exchange.idle();
    let relayed = {
        let mut sending = pin!(async {
            match facts.upgrade || ended {
                true => Ok(()),
                false => Box::pin(pump(body, &mut to_backend, idle)).await.map(drop),
            }
        });
        let head = {
            let reading = pin!(read_head(exchange, response, &unprocessed));
            let gone = async || exchange.client.gone().await;
            let timeout = exchange.timeout();
            let head = await_head(sending.as_mut(), &mut sent, reading, gone, timeout);
            exchange.in_time(pin!(head)).await
        };
        match head {
            None => Err(NoAnswer::Failed(GatewayError::Timeout)),
            Some(Err(error)) => Err(error),
            Some(Ok((answer, stream))) if facts.upgrade && answer.status == StatusCode::OK => {
                Ok(Err((answer, stream)))
            }
            Some(Ok((answer, stream))) => {
                let content = match answer.body {
                    Body::None => Source::Nothing,
                    _ => Source::Http2(stream),
                };
                let relay = super::relay::answer(exchange, answer, content, sent);
                let pending = async || std::future::pending().await;
                let end = await_end(sending.as_mut(), &mut sent, pin!(relay), pending).await;
                Ok(Ok(end))
            }
        }
    };
    match relayed {
        Ok(Err((answer, stream))) => {
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
            exchange.upstream.counters.cut();
            to_backend.cut(Reason::CANCEL);
            Attempt::Over(Next::Close)
        }
        Err(NoAnswer::Failed(_)) if unprocessed.get() => Attempt::Unprocessed,
        Err(NoAnswer::Failed(GatewayError::BackendClosed)) => Attempt::Stale,
        Err(NoAnswer::Failed(error)) => {
            if error == GatewayError::Timeout && exchange.deadline.is_none() {
                // The connection may be dead, which nothing else would tell.
                backend.slot.end_connection();
            }
            to_backend.cut(Reason::CANCEL);
            Attempt::Failed(error)
        }
    }
}

/// Opens a stream with the request's head.
async fn open(
    exchange: &Exchange<'_>,
    backend: &SharedBackend,
    ended: bool,
) -> Result<(ResponseFuture, SendStream<Bytes>), Attempt> {
    let default_host = exchange.upstream.id.service.as_str();
    let request = &exchange.request;
    let mut head = request.http2_head(default_host, backend.is_secure());
    if exchange.is_grpc {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        head = head.with_grpc(exchange.deadline.map(left));
    }
    let request = library::request(&head).map_err(|_| {
        let refusal = Refusal::Target("it cannot be sent in HTTP/2");
        Attempt::Failed(GatewayError::BadRequest(refusal))
    })?;
    // Nothing of the request has left us when the connection turns out to be at its end.
    let at_its_end = |_| {
        backend.slot.end_connection();
        Attempt::Unprocessed
    };
    let mut sender = backend.slot.sender().ready().await.map_err(at_its_end)?;
    sender.send_request(request, ended).map_err(at_its_end)
}

/// Waits for the head of the final answer. Informational answers before it are passed on.
async fn read_head(
    exchange: &Exchange<'_>,
    response: ResponseFuture,
    unprocessed: &Cell<bool>,
) -> Result<(Answer, RecvStream), NoAnswer> {
    let bad = |refusal| NoAnswer::Failed(GatewayError::BadResponse(refusal));
    let response = RefCell::new(response);
    for _ in 0..=INTERIM_ANSWERS {
        let head = poll_fn(|cx| {
            let response = &mut *response.borrow_mut();
            if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                return Poll::Ready(interim.map(Head::Interim));
            }
            let last = ready!(Pin::new(response).poll(cx));
            Poll::Ready(last.map(Head::Final))
        });
        let head = head.await.map_err(|error| {
            unprocessed.set(is_unprocessed(&error));
            NoAnswer::Failed(GatewayError::BackendClosed)
        })?;
        match head {
            Head::Interim(interim) => {
                let head = library::answer_head(&interim.into_parts().0).map_err(bad)?;
                let interim = Answer::from_http2(head, true).map_err(bad)?;
                let told = Box::pin(exchange.client.inform(interim, exchange.request.facts)).await;
                told.map_err(|()| NoAnswer::ClientGone)?;
            }
            Head::Final(response) => {
                let (head, stream) = response.into_parts();
                if head.status.is_informational() {
                    break;
                }
                let is_over = exchange.request.facts.is_head || stream.is_end_stream();
                let head = library::answer_head(&head).map_err(bad)?;
                return Ok((Answer::from_http2(head, is_over).map_err(bad)?, stream));
            }
        }
    }
    Err(bad(Refusal::Malformed(
        "it has too many informational answers",
    )))
}

enum Head {
    Interim(http::Response<()>),
    Final(http::Response<RecvStream>),
}

/// Whether the backend says that it has not looked at the request: it refuses the stream, or is
/// about to go away and names an earlier one as its last.
fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
