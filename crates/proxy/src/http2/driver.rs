//! Moving bytes between a connection and its socket.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::{Connection, Role};
use super::reason::Reason;
use crate::buffers::{Buffers, Pooled};
use crate::http::linger::linger;
use crate::limits::{Limits, TURN_BYTES};
use crate::socket::Socket;

/// A connection and its socket.
pub(crate) struct Driver {
    pub(crate) connection: Rc<RefCell<Connection>>,
    socket: Socket,
    buffers: Rc<Buffers>,
    /// What has arrived of a frame that is not whole.
    input: Option<Pooled>,
    /// The socket may hold back what was written to it.
    is_unflushed: bool,
    /// The other side has said that nothing more comes, or has failed.
    is_at_end: bool,
}

impl Driver {
    /// A connection on `socket`, from which `read_already` was read.
    pub(crate) fn new(
        role: Role,
        socket: Socket,
        read_already: Option<Pooled>,
        buffers: &Rc<Buffers>,
    ) -> Self {
        let mut driver = Self {
            connection: Rc::new(RefCell::new(Connection::new(role))),
            socket,
            buffers: buffers.clone(),
            input: None,
            is_unflushed: false,
            is_at_end: false,
        };
        if let Some(mut input) = read_already {
            input.enlarge();
            driver.follow(input);
        }
        driver
    }

    /// Moves bytes both ways as far as they go; ready when the connection is over and all was
    /// sent that could be.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.borrow_mut().clear_driver();
        let mut turn = TURN_BYTES;
        loop {
            let is_closed = self.is_at_end || self.connection.borrow().is_over();
            let read = match is_closed || self.connection.borrow().is_clogged() {
                true => Poll::Pending,
                false => self.poll_read(cx),
            };
            if self.poll_send(cx).is_ready() {
                return Poll::Ready(());
            }
            turn = turn.saturating_sub(ready!(read));
            if turn == 0 {
                // Others have their turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Sends what there is to send as far as it goes; ready when the connection is over and all was
    /// sent that could be.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sent = self.poll_flush(cx);
        if let Poll::Ready(Err(error)) = &sent {
            tracing::debug!(%error, "a connection of HTTP/2 failed");
            self.is_at_end = true;
        }
        let mut connection = self.connection.borrow_mut();
        if self.is_at_end {
            connection.end(Reason::CANCEL);
        }
        if self.is_at_end || (sent.is_ready() && connection.is_over()) {
            return Poll::Ready(());
        }
        connection.set_driver(cx.waker());
        Poll::Pending
    }

    /// Reads and follows what there is; how many bytes.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut input = match self.input.take() {
            Some(input) => input,
            None => self.buffers.take_large(),
        };
        match self.socket.poll_read(cx, input.free()) {
            Poll::Pending => {
                self.input = Some(input).filter(|input| !input.is_empty());
                Poll::Pending
            }
            Poll::Ready(Ok(count)) if count > 0 => {
                input.filled(count);
                self.follow(input);
                Poll::Ready(count)
            }
            Poll::Ready(end) => {
                if let Err(error) = end {
                    tracing::debug!(%error, "a connection of HTTP/2 failed");
                }
                self.is_at_end = true;
                Poll::Ready(0)
            }
        }
    }

    fn follow(&mut self, mut input: Pooled) {
        let used = self.connection.borrow_mut().receive(input.bytes());
        input.consume(used);
        if !input.is_empty() {
            self.input = Some(input);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut connection = self.connection.borrow_mut();
        while !connection.output().is_empty() {
            let count = ready!(self.socket.poll_write(cx, connection.output()))?;
            connection.sent(count);
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            ready!(self.socket.poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the connection so that its other end can read what it was told: what it still sends
    /// is read and dropped for a while.
    pub(crate) async fn close(self, limits: &Limits) {
        if self.is_at_end {
            return;
        }
        linger(&self.socket, &self.buffers, limits).await;
    }
}
