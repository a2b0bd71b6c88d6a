//! The one place that touches TCP sockets. TLS, io_uring or splice replace what is in here and
//! nothing else.
//!
//! All methods take `&self`, so that both directions of a connection can be served at once.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustix::net::{RecvFlags, Shutdown, sockopt};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::worker::buffers::{Buffer, Buffers, Pooled};

/// A connected TCP socket.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

impl Socket {
    /// Takes over an accepted or connected stream.
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Fails only on a connection that is already gone, which the next read reports.
        let _ = stream.set_nodelay(true);
        Self(stream)
    }

    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(stream) => stream.map(Self::new),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits until a read would not block: bytes, end or error.
    async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.0.poll_read_ready(cx)).await
    }

    /// Reads what there is into the free part of `buffer`, waiting for at least one byte.
    /// 0 is the end.
    pub(crate) async fn read(&self, buffer: &mut Buffer) -> io::Result<usize> {
        debug_assert!(!buffer.is_full(), "a read needs room");
        loop {
            if let Some(result) = self.try_read(buffer) {
                return result;
            }
            self.readable().await?;
        }
    }

    /// Waits for bytes without holding a buffer and takes one when they are there; none at the
    /// end.
    pub(crate) async fn read_first(&self, buffers: &Rc<Buffers>) -> io::Result<Option<Pooled>> {
        loop {
            self.readable().await?;
            let mut buffer = buffers.take();
            // That a socket is readable is a hint, which may be wrong.
            if let Some(count) = self.try_read(&mut buffer) {
                return Ok((count? > 0).then_some(buffer));
            }
        }
    }

    /// Reads without waiting; none when nothing has arrived.
    fn try_read(&self, buffer: &mut Buffer) -> Option<io::Result<usize>> {
        let free = buffer.free();
        let mut count = 0;
        // A read that leaves room has emptied the socket. Saying so with `WouldBlock` makes the
        // next wait sleep at once instead of spending a system call to learn the same.
        let result = self.0.try_io(Interest::READABLE, || {
            count = rustix::io::read(&self.0, &mut *free)?;
            if 0 < count && count < free.len() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && count == 0 => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Some(Err(error)),
            _ => {
                buffer.filled(count);
                Some(Ok(count))
            }
        }
    }

    /// Writes all of `bytes`; `limit` bounds each wait for room, not the whole.
    pub(crate) async fn write_all(&self, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.0.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = poll_fn(|cx| self.0.poll_write_ready(cx));
                    match tokio::time::timeout(limit, writable).await {
                        Ok(ready) => ready?,
                        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether an idle connection is known to have been closed, to have failed, or to have sent
    /// what nobody asked for. What arrived since the runtime last looked is not known yet.
    pub(crate) fn is_spent(&self) -> bool {
        let mut byte = [0; 1];
        !matches!(self.0.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// As [`Self::is_spent`], but asks the kernel, which knows of everything that has arrived.
    pub(crate) fn is_spent_now(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let arrived = rustix::net::recv(&self.0, &mut [0; 1], flags);
        !matches!(arrived, Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Returns when the other side reset the connection. Its orderly end is no reset: it may
    /// still be reading.
    pub(crate) async fn was_reset(&self) {
        loop {
            match self.0.ready(Interest::ERROR).await {
                Ok(ready) if !ready.is_error() => {}
                _ => return,
            }
        }
    }

    /// Tells the other side that nothing more is coming.
    pub(crate) fn shutdown_write(&self) {
        // Fails only when the connection is gone, which the reading side reports.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Write);
    }

    /// Makes the closing of this socket a reset, which cannot be taken for an orderly end.
    pub(crate) fn reset_on_close(&self) {
        // Fails only when the connection is gone already.
        let _ = sockopt::set_socket_linger(&self.0, Some(Duration::ZERO));
    }

    /// Lets the kernel find out, over hours of silence, whether the other side is still there.
    pub(crate) fn keep_alive(&self) {
        // Fails only when the connection is gone already.
        let _ = sockopt::set_socket_keepalive(&self.0, true);
    }
}

/// Runs `first` unless `second` completes before.
pub(crate) async fn unless<T>(
    second: impl Future<Output = ()>,
    first: impl Future<Output = T>,
) -> Option<T> {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    poll_fn(|cx| {
        if let Poll::Ready(value) = first.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        second.as_mut().poll(cx).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_kernel_is_asked_what_the_runtime_has_not_seen_yet() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for (last, is_spent) in [(None, true), (Some(&b"x"[..]), true), (Some(b""), false)] {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                let socket = Socket::connect(address, Duration::from_secs(5)).await;
                let (socket, (mut peer, _)) = (socket.unwrap(), listener.accept().unwrap());
                peer.write_all(b"answer").unwrap();
                socket.read(&mut Buffer::new(16)).await.unwrap();
                // From here on the runtime has no chance to look.
                let _open = last.map(|last| {
                    peer.write_all(last).unwrap();
                    peer
                });
                assert_eq!(socket.is_spent_now(), is_spent, "{last:?}");
            }
        });
    }
}
