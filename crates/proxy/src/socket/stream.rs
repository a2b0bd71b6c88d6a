//! A socket as the runtime's reader and writer, for a library that wants those.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;
use crate::worker::buffers::Pooled;

/// A socket, and what was already read from it.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    read_already: Option<Pooled>,
}

impl Stream {
    /// Reads `read_already` first.
    pub(crate) fn new(socket: Socket, read_already: Option<Pooled>) -> Self {
        Self {
            socket,
            read_already,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(buffer) = &mut self.read_already {
            let count = buffer.bytes().len().min(into.remaining());
            into.put_slice(&buffer.bytes()[..count]);
            buffer.consume(count);
            if buffer.is_empty() {
                self.read_already = None;
            }
            return Poll::Ready(Ok(()));
        }
        let count = ready!(self.socket.poll_read(cx, into.initialize_unfilled()))?;
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        !self.socket.is_secure()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket.poll_flush(cx))?;
        self.socket.shutdown_write();
        Poll::Ready(Ok(()))
    }
}
