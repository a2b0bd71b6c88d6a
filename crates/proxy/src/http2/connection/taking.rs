//! What those who serve a stream, or have opened one, take from it.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Connection;
use super::stream::{Failure, register};
use crate::http::field_section::FieldSection;
use crate::http2::head::AnswerHead;

/// A piece of what follows a head.
#[derive(Debug)]
pub(crate) enum Received {
    Content(Bytes),
    /// Nothing follows them.
    Trailers(FieldSection),
    End,
}

impl Connection {
    /// The next head of an answer, informational ones included.
    ///
    /// # Errors
    /// The stream ended before it.
    pub(crate) fn poll_head(
        &mut self,
        context: &Context<'_>,
        id: u32,
    ) -> Poll<Result<AnswerHead, Failure>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Failure::OVER));
        };
        if let Some(head) = stream.heads.pop_front() {
            return Poll::Ready(Ok(head));
        }
        if let Some(failure) = stream.failure {
            return Poll::Ready(Err(failure));
        }
        register(&mut stream.wakers.receiving, context);
        Poll::Pending
    }

    /// What follows next. What had arrived before the stream failed comes before the failure.
    ///
    /// # Errors
    /// The stream ended before it.
    pub(crate) fn poll_receive(
        &mut self,
        context: &Context<'_>,
        id: u32,
    ) -> Poll<Result<Received, Failure>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Failure::OVER));
        };
        if !stream.content.is_empty() {
            let content = std::mem::take(&mut stream.content);
            return Poll::Ready(Ok(Received::Content(content.into())));
        }
        if stream.is_received {
            return Poll::Ready(Ok(match stream.trailers.take() {
                Some(trailers) => Received::Trailers(trailers),
                None => Received::End,
            }));
        }
        if let Some(failure) = stream.failure {
            return Poll::Ready(Err(failure));
        }
        register(&mut stream.wakers.receiving, context);
        Poll::Pending
    }

    /// Whether it is known that nothing follows what was taken.
    pub(crate) fn is_at_end(&self, id: u32) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.is_received && stream.content.is_empty() && stream.trailers.is_none()
        })
    }

    /// Notes that content was passed on: as much may follow.
    pub(crate) fn passed_on(&mut self, id: u32, count: usize) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        // Never more than was taken.
        let count = (count as u32).min(stream.owed);
        stream.owed -= count;
        self.claim(count);
        self.claim_stream(id, count);
    }

    /// Drops what arrives from now on, and what has arrived.
    pub(crate) fn ignore(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.is_ignored = true;
            stream.content = Vec::new();
            let owed = std::mem::take(&mut stream.owed);
            self.claim(owed);
        }
    }

    /// Ready when the other side has reset the stream, or the connection is at its end.
    pub(crate) fn poll_failed(&mut self, context: &Context<'_>, id: u32) -> Poll<()> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(());
        };
        if stream.failure.is_some() {
            return Poll::Ready(());
        }
        register(&mut stream.wakers.ending, context);
        Poll::Pending
    }
}
