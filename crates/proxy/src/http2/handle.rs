//! A stream as those see it who serve it, or have opened it.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;

use super::connection::{Connection, Failure, Received};
use super::head::AnswerHead;
use super::reason::Reason;
use crate::http::field_section::FieldSection;
use crate::socket::within;

/// A stream of a connection. Once nobody holds it, what is left of it is given up.
#[derive(Clone)]
pub(crate) struct Handle(Rc<Held>);

struct Held {
    connection: Rc<RefCell<Connection>>,
    id: u32,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.borrow_mut().release(self.id);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0.id).finish()
    }
}

impl Handle {
    /// The stream `id` of `connection`, which is there.
    pub(crate) fn new(connection: &Rc<RefCell<Connection>>, id: u32) -> Self {
        Self(Rc::new(Held {
            connection: connection.clone(),
            id,
        }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Connection, u32) -> T) -> T {
        act(&mut self.0.connection.borrow_mut(), self.0.id)
    }

    /// The next head of an answer, informational ones included.
    ///
    /// # Errors
    /// The stream ended before it.
    pub(crate) async fn head(&self) -> Result<AnswerHead, Failure> {
        poll_fn(|cx| self.with(|connection, id| connection.poll_head(cx, id))).await
    }

    /// What follows next.
    ///
    /// # Errors
    /// The stream ended before it.
    pub(crate) async fn receive(&self) -> Result<Received, Failure> {
        poll_fn(|cx| self.with(|connection, id| connection.poll_receive(cx, id))).await
    }

    /// Whether it is known that nothing follows what was taken.
    pub(crate) fn is_at_end(&self) -> bool {
        self.with(|connection, id| connection.is_at_end(id))
    }

    /// Notes that content was passed on: as much may follow.
    pub(crate) fn passed_on(&self, count: usize) {
        self.with(|connection, id| connection.passed_on(id, count));
    }

    /// Drops all content from now on.
    pub(crate) fn ignore(&self) {
        self.with(|connection, id| connection.ignore(id));
    }

    /// Sends the head of an answer.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) fn send_answer(
        &self,
        status: StatusCode,
        fields: &FieldSection,
        ends: bool,
    ) -> Result<(), Failure> {
        let status = (&b":status"[..], status.as_str().as_bytes());
        let head = std::iter::once(status.into()).chain(fields.lines());
        self.with(|connection, id| connection.send_fields(id, head, ends))
    }

    /// Sends content as the receiver opens its window for it; `ends` is whether nothing follows.
    /// `limit` bounds each wait.
    ///
    /// # Errors
    /// The stream is over, or its receiver takes nothing.
    pub(crate) async fn send(
        &self,
        mut content: &[u8],
        ends: bool,
        limit: Duration,
    ) -> Result<(), Failure> {
        loop {
            let send = |cx: &mut Context<'_>| -> Poll<Result<usize, Failure>> {
                self.with(|connection, id| connection.poll_send(cx, id, content, ends))
            };
            let sent = within(limit, poll_fn(send)).await;
            let sent = sent.unwrap_or(Err(Failure::of(Reason::CANCEL)))?;
            content = &content[sent..];
            if content.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends trailers, which end the stream.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) fn send_trailers(&self, trailers: &FieldSection) -> Result<(), Failure> {
        self.with(|connection, id| connection.send_trailers(id, trailers))
    }

    /// Ends the stream before its time.
    pub(crate) fn cancel(&self, reason: Reason) {
        self.with(|connection, id| connection.cancel(id, reason));
    }

    /// Returns when the other side has reset the stream, or the connection is at its end.
    pub(crate) async fn failed(&self) {
        poll_fn(|cx| self.with(|connection, id| connection.poll_failed(cx, id))).await;
    }

    /// Notes that its answer has begun.
    pub(crate) fn answered(&self) {
        self.0.connection.borrow().answered();
    }
}
