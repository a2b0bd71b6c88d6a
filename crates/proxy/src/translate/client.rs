//! The client's side of an exchange: an answer, or word of why there is none.

use std::cell::RefCell;
use std::future::poll_fn;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::StatusCode;

use super::answer::Answer;
use super::sink::{Framing, Http1Sink, Sink};
use super::{grpc, library};
use crate::http::gateway_error::{GatewayError, REASON, Reply};
use crate::http::message::{Body, RequestFacts};
use crate::http::phases::{BodyError, Next, Sent};
use crate::http1::answer_in_place;
use crate::http2::Guard;
use crate::socket::Socket;
use crate::worker::{Listener, Worker};

/// Whoever asked.
pub(crate) enum Client<'a> {
    /// A connection of HTTP/1.x.
    Http1 {
        worker: &'a Worker,
        socket: &'a Socket,
        listener: &'a Listener,
    },
    /// A stream of HTTP/2.
    Http2 {
        respond: RefCell<SendResponse<Bytes>>,
        guard: &'a Guard,
    },
}

impl<'a> Client<'a> {
    /// Returns when the client does not want an answer any more.
    pub(crate) async fn gone(&self) {
        match self {
            Self::Http1 { socket, .. } => socket.was_reset().await,
            // Either way the stream is over.
            Self::Http2 { respond, .. } => {
                drop(poll_fn(|cx| respond.borrow_mut().poll_reset(cx)).await);
            }
        }
    }

    /// Passes an informational answer on.
    pub(crate) async fn inform(&self, interim: Answer, facts: RequestFacts) -> Result<(), ()> {
        match self {
            Self::Http1 { .. } if facts.old_version => Ok(()),
            Self::Http1 { worker, socket, .. } => {
                let mut out = worker.buffers.take_small();
                interim.write_interim(&mut out, None);
                let limit = worker.limits.body_idle;
                socket.write_all(out.bytes(), limit).await.map_err(drop)
            }
            Self::Http2 { respond, .. } => {
                let response = library::response(interim.status, &interim.fields);
                let sent = respond.borrow_mut().send_informational(response);
                sent.map_err(drop)
            }
        }
    }

    /// Begins the answer: what takes its body, and what becomes of the connection after it.
    pub(crate) fn begin(
        &self,
        answer: Answer,
        facts: &RequestFacts,
        sent: Sent,
    ) -> Result<(Sink<'a>, Next), BodyError> {
        match self {
            Self::Http1 {
                worker,
                socket,
                listener,
            } => {
                let keep_alive = facts.keep_alive
                    && sent == Sent::Wholly
                    && !listener.is_gone()
                    && answer.delimits_itself(facts);
                let mut out = worker.buffers.take();
                answer.write_http1(&mut out, facts, keep_alive);
                let in_chunks = !matches!(answer.body, Body::None | Body::Length(_));
                let framing = match in_chunks && !facts.old_version {
                    true => Framing::Chunked,
                    false => Framing::Plain,
                };
                let sink = Sink::Http1(Http1Sink {
                    socket,
                    out,
                    framing,
                });
                let next = match keep_alive {
                    true => Next::Request,
                    false => Next::Linger,
                };
                Ok((sink, next))
            }
            Self::Http2 { respond, guard } => {
                guard.answered();
                let ends = answer.body == Body::None;
                let mut respond = respond.borrow_mut();
                let response = library::response(answer.status, &answer.fields);
                let stream = respond
                    .send_response(response, ends)
                    .map_err(|_| BodyError::Sink)?;
                let sink = match ends {
                    true => Sink::Ended,
                    false => Sink::Http2(stream),
                };
                Ok((sink, Next::Request))
            }
        }
    }

    /// Whether an ordinary answer would tell the client that a WebSocket is open, as any success
    /// does over HTTP/2 (RFC 8441 section 5).
    pub(crate) fn takes_for_websocket(&self, answer: &Answer) -> bool {
        matches!(self, Self::Http2 { .. }) && answer.status.is_success()
    }

    /// Agrees to open the WebSocket whose key was `key`: what takes the bytes that follow.
    pub(crate) async fn open_websocket(
        &self,
        mut answer: Answer,
        accept: Option<&str>,
    ) -> Result<Sink<'a>, BodyError> {
        // What a backend has proved to us is not what is proved to the client.
        answer.fields.remove(b"sec-websocket-accept");
        match self {
            Self::Http1 { worker, socket, .. } => {
                answer.status = StatusCode::SWITCHING_PROTOCOLS;
                let mut out = worker.buffers.take_small();
                answer.write_interim(&mut out, accept);
                let limit = worker.limits.body_idle;
                let sent = socket.write_all(out.bytes(), limit).await;
                sent.map_err(|_| BodyError::Sink)?;
                out.clear();
                Ok(Sink::Http1(Http1Sink {
                    socket,
                    out,
                    framing: Framing::Raw,
                }))
            }
            Self::Http2 { respond, guard } => {
                guard.answered();
                let response = library::response(StatusCode::OK, &answer.fields);
                let sent = respond.borrow_mut().send_response(response, false);
                sent.map(Sink::Http2).map_err(|_| BodyError::Sink)
            }
        }
    }

    /// Answers in place of a backend.
    pub(crate) async fn fail(
        &self,
        error: GatewayError,
        facts: RequestFacts,
        is_grpc: bool,
    ) -> Next {
        match self {
            Self::Http1 {
                worker,
                socket,
                listener,
            } => answer_in_place(worker, socket, error, Reply::to(facts, listener)).await,
            Self::Http2 { respond, .. } => {
                let mut respond = respond.borrow_mut();
                let told = match is_grpc {
                    true => fail_grpc(&mut respond, error),
                    false => fail_plainly(&mut respond, error, facts),
                };
                if told.is_err() {
                    // It cannot be told, so the stream ends as far as it has not yet.
                    respond.send_reset(Reason::INTERNAL_ERROR);
                }
                Next::Request
            }
        }
    }
}

fn fail_plainly(
    respond: &mut SendResponse<Bytes>,
    error: GatewayError,
    facts: RequestFacts,
) -> Result<(), h2::Error> {
    let (status, fields, body) = error.response(facts.prefers_json);
    let response = library::response(status, &fields);
    let mut stream = respond.send_response(response, facts.is_head)?;
    match facts.is_head {
        true => Ok(()),
        false => stream.send_data(body, true),
    }
}

/// A caller of gRPC is told by a status in what is head and trailers in one.
fn fail_grpc(respond: &mut SendResponse<Bytes>, error: GatewayError) -> Result<(), h2::Error> {
    let mut fields = grpc::failure(error);
    fields.push(b"content-type", b"application/grpc");
    fields.push(REASON, error.reason().as_bytes());
    let response = library::response(StatusCode::OK, &fields);
    respond.send_response(response, true).map(drop)
}
