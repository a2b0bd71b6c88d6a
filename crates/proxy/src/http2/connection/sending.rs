//! What those who serve a stream, or have opened one, send on it.

use std::task::{Context, Poll};

use super::stream::{Failure, Stream, register, wake};
use super::{Connection, Role};
use crate::http::field_section::{FieldLine, FieldSection};
use crate::http2::frame::{self, HEADER_BYTES, PAYLOAD_BYTES};
use crate::http2::reason::Reason;
use crate::limits::HTTP2_SEND_BUFFER;

impl Connection {
    /// Opens a stream with a request's head; `is_bodiless` where its answer has no content,
    /// whatever it says of its length.
    ///
    /// # Errors
    /// The connection takes no more streams; nothing was sent.
    pub(crate) fn open<'a>(
        &mut self,
        fields: impl Iterator<Item = impl Into<FieldLine<'a>>>,
        ends: bool,
        is_bodiless: bool,
    ) -> Result<u32, Failure> {
        debug_assert_eq!(self.role, Role::Client);
        if self.is_closed_to_more() || self.open >= self.allowed_streams() {
            return Err(Failure {
                is_unprocessed: true,
                ..Failure::of(Reason::REFUSED_STREAM)
            });
        }
        let id = match self.last {
            0 => 1,
            last => last + 2,
        };
        self.last = id;
        let mut stream = Stream::new(self.stream_window, self.peer.window);
        stream.is_sent = ends;
        stream.is_bodiless = is_bodiless;
        self.streams.insert(id, stream);
        self.open += 1;
        self.write_block(id, fields, ends);
        self.notify();
        Ok(id)
    }

    /// Sends a head, or trailers where it ends what has content.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) fn send_fields<'a>(
        &mut self,
        id: u32,
        fields: impl Iterator<Item = impl Into<FieldLine<'a>>>,
        ends: bool,
    ) -> Result<(), Failure> {
        self.sending(id)?;
        self.write_block(id, fields, ends);
        self.has_sent(id, ends);
        Ok(())
    }

    /// Sends trailers, which end the stream.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) fn send_trailers(&mut self, id: u32, fields: &FieldSection) -> Result<(), Failure> {
        self.send_fields(id, fields.lines(), true)
    }

    /// Sends as much of `content` as there is room for, waiting for some; how much that is. `ends`
    /// is whether nothing follows it.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) fn poll_send(
        &mut self,
        context: &Context<'_>,
        id: u32,
        content: &[u8],
        ends: bool,
    ) -> Poll<Result<usize, Failure>> {
        let mut sent = 0;
        loop {
            let window = match self.sending(id) {
                Ok(stream) => stream.send_window.min(self.send_window),
                Err(failure) => return Poll::Ready(Err(failure)),
            };
            let rest = &content[sent..];
            let room = HTTP2_SEND_BUFFER.saturating_sub(self.output().len());
            let count = rest.len().min(PAYLOAD_BYTES).min(room);
            let count = count.min(usize::try_from(window).unwrap_or(0));
            if count == 0 && !rest.is_empty() {
                return match sent {
                    0 => self.wait_to_send(context, id),
                    _ => Poll::Ready(Ok(sent)),
                };
            }
            let is_last = ends && count == rest.len();
            frame::write_data(&mut self.out, id, &rest[..count], is_last);
            self.send_window -= count as i64;
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.send_window -= count as i64;
            }
            sent += count;
            self.has_sent(id, is_last);
            if sent == content.len() {
                return Poll::Ready(Ok(sent));
            }
        }
    }

    fn wait_to_send(&mut self, context: &Context<'_>, id: u32) -> Poll<Result<usize, Failure>> {
        if let Some(stream) = self.streams.get_mut(&id) {
            register(&mut stream.wakers.sending, context);
            if !std::mem::replace(&mut stream.is_waiting, true) {
                self.waiting.push_back(id);
            }
        }
        Poll::Pending
    }

    /// Has those that wait for room try again, in the order in which they came.
    pub(super) fn wake_senders(&mut self) {
        if self.waiting.is_empty() || self.send_window <= 0 || self.is_clogged() {
            return;
        }
        let streams = &mut self.streams;
        self.waiting.retain(|id| {
            let Some(stream) = streams.get_mut(id) else {
                return false;
            };
            if stream.send_window <= 0 && stream.failure.is_none() {
                return true;
            }
            stream.is_waiting = false;
            wake(&mut stream.wakers.sending);
            false
        });
    }

    /// Resets a stream that is not over.
    pub(crate) fn cancel(&mut self, id: u32, reason: Reason) {
        if self
            .streams
            .get(&id)
            .is_some_and(|stream| !stream.is_over())
        {
            self.reset_stream(id, reason);
        }
    }

    /// Notes that nobody here holds the stream any more. What is left of it is given up.
    pub(crate) fn release(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.is_held = false;
        match (stream.is_over(), stream.is_sent) {
            (true, _) => self.settle(id),
            // The answer is there; the rest of the request is not needed (RFC 9113 section 8.1).
            (false, true) if self.role == Role::Server => self.reset_stream(id, Reason::NO_ERROR),
            (false, _) => self.reset_stream(id, Reason::CANCEL),
        }
    }

    fn sending(&mut self, id: u32) -> Result<&mut Stream, Failure> {
        let stream = self.streams.get_mut(&id).ok_or(Failure::OVER)?;
        match stream.failure {
            Some(failure) => Err(failure),
            None if stream.is_sent => Err(Failure::OVER),
            None => Ok(stream),
        }
    }

    fn write_block<'a>(
        &mut self,
        id: u32,
        fields: impl Iterator<Item = impl Into<FieldLine<'a>>>,
        ends: bool,
    ) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; HEADER_BYTES]);
        self.encoder.begin(&mut self.out);
        for field in fields {
            self.encoder.field(&mut self.out, field.into());
        }
        frame::finish_headers(&mut self.out, start, id, ends);
    }

    fn has_sent(&mut self, id: u32, ends: bool) {
        if ends {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.is_sent = true;
            }
            self.settle(id);
        }
        self.notify();
    }
}
