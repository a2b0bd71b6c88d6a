//! Where content goes, whichever codec takes it.

use std::cell::Cell;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;

use super::source::{Piece, Replayable, Source};
use super::{fields, grpc};
use crate::buffers::Pooled;
use crate::http::field_section::FieldSection;
use crate::http::phases::BodyError;
use crate::http1::chunked;
use crate::http2::{Handle, Reason};
use crate::limits::COPIED_BYTES;
use crate::measure::Meter;
use crate::socket::{Socket, unless};

/// Where pieces go.
#[derive(Debug)]
pub(crate) enum Sink<'a> {
    /// The message is over; nothing can follow.
    Ended,
    /// A message in HTTP/1.1.
    Http1(Http1Sink<'a>),
    /// A stream of HTTP/2.
    Http2(Handle),
    /// Nobody, who takes so many bytes.
    Dropped(u64),
}

/// How content is framed in HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As it is: its length was said, or the connection ends with it.
    Plain,
    /// In chunks.
    Chunked,
    /// As it is, and its end is told by ending our side of the connection.
    Raw,
}

/// A message that leaves in HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Http1Sink<'a> {
    pub(crate) socket: &'a Socket,
    /// What is to be written first, such as a head, so that both leave at once.
    pub(crate) out: Pooled,
    pub(crate) framing: Framing,
}

impl Sink<'_> {
    /// Sends content; `last` is whether nothing follows.
    async fn data(&mut self, data: Bytes, last: bool, idle: Duration) -> Result<(), BodyError> {
        match self {
            Self::Ended => Err(BodyError::Sink),
            Self::Http1(sink) => sink.data(&data, last, idle).await,
            Self::Http2(stream) => {
                let sent = stream.send(&data, last, idle).await;
                sent.map_err(|_| BodyError::Sink)?;
                if last {
                    *self = Self::Ended;
                }
                Ok(())
            }
            Self::Dropped(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(BodyError::Sink)?;
                Ok(())
            }
        }
    }

    /// Ends the message.
    async fn end(
        &mut self,
        trailers: Option<FieldSection>,
        idle: Duration,
    ) -> Result<(), BodyError> {
        match std::mem::replace(self, Self::Ended) {
            Self::Ended | Self::Dropped(_) => Ok(()),
            Self::Http1(mut sink) => sink.end(trailers, idle).await,
            Self::Http2(stream) => match trailers {
                Some(trailers) => stream.send_trailers(&trailers),
                None => stream.send(b"", true, idle).await,
            }
            .map_err(|_| BodyError::Sink),
        }
    }

    /// Sends what is held back until content follows, when none is there yet.
    pub(crate) async fn flush(&mut self, idle: Duration) -> Result<(), BodyError> {
        match self {
            Self::Http1(sink) => sink.flush(idle).await,
            Self::Ended | Self::Http2(_) | Self::Dropped(_) => Ok(()),
        }
    }

    /// Returns when the receiver wants nothing more.
    async fn gone(&mut self) {
        match self {
            Self::Ended | Self::Dropped(_) => std::future::pending().await,
            Self::Http1(sink) => sink.socket.was_reset().await,
            Self::Http2(stream) => stream.failed().await,
        }
    }

    /// Ends the message in a way that cannot be taken for its orderly end.
    pub(crate) fn cut(&mut self, reason: Reason) {
        match self {
            Self::Ended | Self::Dropped(_) => {}
            Self::Http1(sink) => sink.socket.reset_on_close(),
            Self::Http2(stream) => stream.cancel(reason),
        }
    }

    /// Ends a stream of HTTP/2 with trailers that tell of a failure; false for another sink.
    pub(crate) fn fail_with(&mut self, trailers: &FieldSection) -> bool {
        match self {
            Self::Http2(stream) => stream.send_trailers(trailers).is_ok(),
            _ => false,
        }
    }
}

impl Http1Sink<'_> {
    async fn data(&mut self, data: &[u8], last: bool, idle: Duration) -> Result<(), BodyError> {
        if data.is_empty() {
            return Ok(());
        }
        if data.len() > COPIED_BYTES {
            return Box::pin(self.large(data, idle)).await;
        }
        match self.framing {
            Framing::Chunked => chunked::encode(&mut self.out, data),
            Framing::Plain | Framing::Raw => self.out.append(data),
        }
        // The end of a chunked message leaves with its last chunk.
        match last && self.framing == Framing::Chunked {
            true => Ok(()),
            false => self.flush(idle).await,
        }
    }

    /// Sends content from where it is, behind what is held back. The end of its chunk leaves with
    /// what follows.
    async fn large(&mut self, data: &[u8], idle: Duration) -> Result<(), BodyError> {
        if self.framing == Framing::Chunked {
            chunked::encode_size(&mut self.out, data.len());
        }
        let sent = self.socket.write_parts([self.out.bytes(), data], idle);
        sent.await.map_err(|_| BodyError::Sink)?;
        self.out.clear();
        if self.framing == Framing::Chunked {
            self.out.append(chunked::LINE_END);
        }
        Ok(())
    }

    async fn end(
        &mut self,
        trailers: Option<FieldSection>,
        idle: Duration,
    ) -> Result<(), BodyError> {
        if self.framing == Framing::Chunked {
            let lines = trailers.as_ref().map(fields::trailer_lines);
            match &lines {
                // It would mislead whoever reads it; the sender broke the rules.
                Some(None) => return Err(BodyError::Source),
                Some(Some(lines)) => chunked::encode_end(&mut self.out, lines.bytes()),
                None => chunked::encode_end(&mut self.out, b""),
            }
        }
        self.flush(idle).await?;
        if self.framing == Framing::Raw {
            self.socket.shutdown_write();
        }
        Ok(())
    }

    async fn flush(&mut self, idle: Duration) -> Result<(), BodyError> {
        if !self.out.is_empty() {
            let sent = self.socket.write_all(self.out.bytes(), idle).await;
            sent.map_err(|_| BodyError::Sink)?;
            self.out.clear();
        }
        Ok(())
    }
}

/// What a pump takes pieces from.
pub(crate) trait Pieces {
    async fn next(&mut self, idle: Duration) -> Result<Option<Piece>, BodyError>;
    fn is_over(&self) -> bool;
    fn passed_on(&mut self, count: usize);
}

impl Pieces for Source<'_> {
    async fn next(&mut self, idle: Duration) -> Result<Option<Piece>, BodyError> {
        Source::next(self, idle).await
    }
    fn is_over(&self) -> bool {
        Source::is_over(self)
    }
    fn passed_on(&mut self, count: usize) {
        Source::passed_on(self, count);
    }
}

impl Pieces for Replayable<'_> {
    async fn next(&mut self, idle: Duration) -> Result<Option<Piece>, BodyError> {
        Replayable::next(self, idle).await
    }
    fn is_over(&self) -> bool {
        Replayable::is_over(self)
    }
    fn passed_on(&mut self, count: usize) {
        Replayable::passed_on(self, count);
    }
}

/// How long nothing may move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence<'a> {
    /// The longest wait for a piece, or for one to be taken. It begins anew as long as pieces move the
    /// other way.
    pub(crate) longest: Duration,
    /// Counts the pieces that move either way.
    pub(crate) moved: &'a Cell<u32>,
}

/// Passes all pieces on, each when the one before was taken. `moved` counts the bytes. What is returned is the status of gRPC in the trailers, where they have one.
pub(crate) async fn pump(
    pieces: &mut impl Pieces,
    sink: &mut Sink<'_>,
    silence: Silence<'_>,
    moved: Meter<'_>,
) -> Result<Option<u8>, BodyError> {
    let idle = silence.longest;
    loop {
        let before = silence.moved.get();
        let next = {
            let mut next = std::pin::pin!(pieces.next(idle));
            match poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx))).await {
                std::task::Poll::Ready(next) => next,
                std::task::Poll::Pending => {
                    sink.flush(idle).await?;
                    // A wait is rare where messages are small, and takes much room.
                    Box::pin(unless(sink.gone(), next))
                        .await
                        .unwrap_or(Err(BodyError::Sink))
                }
            }
        };
        let next = match next {
            Ok(next) => next,
            // The other direction was not silent.
            Err(BodyError::Idle) if silence.moved.get() != before => continue,
            Err(error) => {
                // What came before the failure is passed on; the failure is what matters.
                let _ = sink.flush(idle).await;
                return Err(error);
            }
        };
        match next {
            None => return sink.end(None, idle).await.map(|()| None),
            Some(Piece::Trailers(trailers)) => {
                let status = grpc::status(&trailers);
                return sink.end(Some(trailers), idle).await.map(|()| status);
            }
            Some(Piece::Data(data)) => {
                let (count, last) = (data.len(), pieces.is_over());
                sink.data(data, last, idle).await?;
                moved.add(count);
                silence.moved.set(silence.moved.get().wrapping_add(1));
                pieces.passed_on(count);
            }
        }
    }
}
