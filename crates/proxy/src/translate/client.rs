//! The client's side of an exchange: an answer, or word of why there is none.

use std::time::Duration;

use http::StatusCode;

use super::answer::Answer;
use super::grpc;
use super::sink::{Framing, Http1Sink, Sink};
use crate::http::gateway_error::{GatewayError, Reply};
use crate::http::manner::Manner;
use crate::http::message::{Body, RequestFacts};
use crate::http::phases::{BodyError, Next, Sent};
use crate::http1::answer_in_place;
use crate::http2::{Failure, Handle, Reason};
use crate::limits::MIRROR_ANSWER_BYTES;
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
    Http2 { worker: &'a Worker, stream: Handle },
    /// Nobody: the request is a copy.
    Nobody,
}

impl<'a> Client<'a> {
    /// Returns when the client does not want an answer any more.
    pub(crate) async fn gone(&self) {
        match self {
            Self::Http1 { socket, .. } => socket.was_reset().await,
            Self::Http2 { stream, .. } => stream.failed().await,
            Self::Nobody => std::future::pending().await,
        }
    }

    /// The same while nothing is done for it yet, when an end of its side is taken for its being gone
    /// too.
    pub(crate) async fn hung_up(&self) {
        match self {
            Self::Http1 { socket, .. } => socket.hung_up().await,
            Self::Http2 { .. } | Self::Nobody => self.gone().await,
        }
    }

    /// Passes an informational answer on.
    pub(crate) async fn inform(&self, interim: Answer, facts: RequestFacts) -> Result<(), ()> {
        match self {
            Self::Http1 { .. } if facts.old_version => Ok(()),
            Self::Nobody => Ok(()),
            Self::Http1 { worker, socket, .. } => {
                let mut out = worker.buffers.take_small();
                interim.write_interim(&mut out, None);
                let limit = worker.limits.body_idle;
                socket.write_all(out.bytes(), limit).await.map_err(drop)
            }
            Self::Http2 { stream, .. } => {
                let sent = stream.send_answer(interim.status, &interim.fields, false);
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
            Self::Http2 { stream, .. } => {
                stream.answered();
                let ends = answer.body == Body::None;
                let sent = stream.send_answer(answer.status, &answer.fields, ends);
                sent.map_err(|_| BodyError::Sink)?;
                let sink = match ends {
                    true => Sink::Ended,
                    false => Sink::Http2(stream.clone()),
                };
                Ok((sink, Next::Request))
            }
            Self::Nobody => Ok((Sink::Dropped(MIRROR_ANSWER_BYTES), Next::Close)),
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
            Self::Http2 { stream, .. } => {
                stream.answered();
                answer.status = StatusCode::OK;
                match stream.send_answer(answer.status, &answer.fields, false) {
                    Ok(()) => Ok(Sink::Http2(stream.clone())),
                    Err(_) => Err(BodyError::Sink),
                }
            }
            // What opens a WebSocket is not copied.
            Self::Nobody => Err(BodyError::Sink),
        }
    }

    /// Answers in place of a backend.
    pub(crate) async fn fail(
        &self,
        error: GatewayError,
        facts: RequestFacts,
        is_grpc: bool,
        manner: Manner<'_>,
    ) -> Next {
        // No caller of gRPC reads pages, in whichever version it calls.
        let manner = match is_grpc {
            true => manner.without_pages(),
            false => manner,
        };
        match self {
            Self::Http1 {
                worker,
                socket,
                listener,
            } => {
                let reply = Reply::to(facts, listener).given(manner);
                answer_in_place(worker, socket, error, reply).await
            }
            Self::Nobody => Next::Close,
            Self::Http2 { worker, stream } => {
                let limit = worker.limits.body_idle;
                let told = match is_grpc {
                    true => {
                        let mut fields = grpc::refusal(error);
                        manner.add_to(&mut fields);
                        stream.send_answer(StatusCode::OK, &fields, true)
                    }
                    false => fail_plainly(stream, error, facts, manner, limit).await,
                };
                if told.is_err() {
                    // It cannot be told, so the stream ends as far as it has not yet.
                    stream.cancel(Reason::INTERNAL_ERROR);
                }
                Next::Request
            }
        }
    }
}

async fn fail_plainly(
    stream: &Handle,
    error: GatewayError,
    facts: RequestFacts,
    manner: Manner<'_>,
    limit: Duration,
) -> Result<(), Failure> {
    let (status, fields, body) = error.response(facts.wants, manner);
    stream.send_answer(status, &fields, facts.is_head)?;
    match facts.is_head {
        true => Ok(()),
        false => stream.send(&body, true, limit).await,
    }
}
