//! The one place that touches TCP sockets, with or without TLS on them. io_uring or splice replace
//! what is in here and nothing else.
//!
//! All methods take `&self`, so that both directions of a connection can be served at once.

mod hang_up;
mod session;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, Shutdown, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::Interest;
use tokio::net::TcpStream;

use self::session::Session;
use crate::buffers::{Buffer, Buffers, Pooled};

/// A connected TCP socket, with TLS on it or without.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    session: Option<Box<Session>>,
}

impl Socket {
    /// Takes over an accepted or connected stream.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        // Fails only on a connection that is already gone, which the next read reports.
        let _ = tcp.set_nodelay(true);
        Self { tcp, session: None }
    }

    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(stream) => stream.map(Self::new),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Agrees on TLS with a client, which shows who we are.
    pub(crate) async fn accept_tls(
        mut self,
        config: Arc<ServerConfig>,
        buffers: &Rc<Buffers>,
        limit: Duration,
    ) -> io::Result<Self> {
        self.session = Some(Box::new(Session::accepted(config, buffers)?));
        self.agree(limit).await?;
        Ok(self)
    }

    /// Agrees on TLS with a server, which must prove to be `name`.
    pub(crate) async fn open_tls(
        mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        buffers: &Rc<Buffers>,
        limit: Duration,
    ) -> io::Result<Self> {
        self.session = Some(Box::new(Session::opened(config, name, buffers)?));
        self.agree(limit).await?;
        Ok(self)
    }

    async fn agree(&self, limit: Duration) -> io::Result<()> {
        match tokio::time::timeout(limit, self.handshake()).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn handshake(&self) -> io::Result<()> {
        let Some(session) = &self.session else {
            return Ok(());
        };
        loop {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            if !session.is_handshaking() {
                return Ok(());
            }
            match session.advance() {
                Ok(true) => {}
                Ok(false) => {
                    if !poll_fn(|cx| self.poll_records(cx, session)).await? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(self.told(error)),
            }
        }
    }

    /// The protocol agreed on in TLS, where one was.
    pub(crate) fn protocol(&self) -> Option<Vec<u8>> {
        self.session.as_ref().and_then(|session| session.protocol())
    }

    /// The host that the client asked for in TLS, where it did.
    pub(crate) fn server_name(&self) -> Option<String> {
        let session = self.session.as_ref();
        session.and_then(|session| session.server_name())
    }

    /// Whether what is sent and received is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.session.is_some()
    }

    /// Waits until a read would not block: bytes, end or error.
    async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| match &self.session {
            None => self.tcp.poll_read_ready(cx),
            Some(session) => loop {
                if session.has_content() {
                    return Poll::Ready(Ok(()));
                }
                ready!(self.poll_records(cx, session))?;
            },
        })
        .await
    }

    /// Reads what there is into `free`. 0 is the end.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        free: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(result) = self.try_read(free) {
                return Poll::Ready(result);
            }
            match &self.session {
                None => ready!(self.tcp.poll_read_ready(cx))?,
                // Whether or not they have ended, the session knows now what to say.
                Some(session) => drop(ready!(self.poll_records(cx, session))?),
            }
        }
    }

    /// Reads what there is into the free part of `buffer`, waiting for at least one byte.
    /// 0 is the end.
    pub(crate) async fn read(&self, buffer: &mut Buffer) -> io::Result<usize> {
        debug_assert!(!buffer.is_full(), "a read needs room");
        let count = poll_fn(|cx| self.poll_read(cx, buffer.free())).await?;
        buffer.filled(count);
        Ok(count)
    }

    /// Waits for bytes without holding a buffer and takes one when they are there; none at the
    /// end.
    pub(crate) async fn read_first(&self, buffers: &Rc<Buffers>) -> io::Result<Option<Pooled>> {
        loop {
            self.readable().await?;
            let mut buffer = buffers.take();
            // That a socket is readable is a hint, which may be wrong.
            if let Some(count) = self.try_read(buffer.free()) {
                let count = count?;
                buffer.filled(count);
                return Ok((count > 0).then_some(buffer));
            }
        }
    }

    /// Reads without waiting; none when nothing has arrived.
    fn try_read(&self, free: &mut [u8]) -> Option<io::Result<usize>> {
        match &self.session {
            None => self.try_receive(free),
            Some(session) => session
                .take(free)
                .map(|taken| taken.map_err(|error| self.told(error))),
        }
    }

    /// Reads from the kernel without waiting; none when nothing has arrived.
    fn try_receive(&self, free: &mut [u8]) -> Option<io::Result<usize>> {
        let mut count = 0;
        // A read that leaves room has emptied the socket. Saying so with `WouldBlock` makes the
        // next wait sleep at once instead of spending a system call to learn the same.
        let result = self.tcp.try_io(Interest::READABLE, || {
            count = rustix::io::read(&self.tcp, &mut *free)?;
            if 0 < count && count < free.len() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && count == 0 => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Some(Err(error)),
            _ => Some(Ok(count)),
        }
    }

    /// Brings records from the kernel to the session, waiting for some; false at their end, which
    /// the session is told.
    fn poll_records(&self, cx: &mut Context<'_>, session: &Session) -> Poll<io::Result<bool>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            let mut room = session.room();
            match self.try_receive(room.free()) {
                None => {}
                Some(Ok(0)) => return Poll::Ready(session.end().map(|()| false)),
                Some(Ok(count)) => {
                    room.filled(count);
                    session.arrived(room);
                    return Poll::Ready(Ok(true));
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what the session has to say about an error, as far as that does not wait.
    fn told(&self, error: io::Error) -> io::Error {
        if let Some(session) = &self.session {
            // The error that is returned is the one that matters.
            let _ = session.send(&mut Kernel(&self.tcp));
        }
        error
    }

    /// Writes some of `bytes`. With TLS they are taken, and may not be sent before a flush.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(session) = &self.session else {
            return self.poll_send(cx, |tcp| tcp.try_write(bytes));
        };
        loop {
            let count = session.put(bytes)?;
            let flushed = self.poll_flush(cx);
            if count > 0 || bytes.is_empty() {
                // What could not be sent is, with the next write or flush.
                return match flushed {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Ready(Ok(count)),
                };
            }
            ready!(flushed)?;
        }
    }

    /// As [`Self::poll_write`], with bytes from several places in one system call.
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &self.session {
            None if parts.len() > 1 => self.poll_send(cx, |tcp| tcp.try_write_vectored(parts)),
            // The kernel takes one part sooner than a list of one.
            _ => {
                let first = parts.iter().find(|part| !part.is_empty());
                self.poll_write(cx, first.map_or(&[][..], |part| part))
            }
        }
    }

    /// Sends what writes have left behind.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(session) = &self.session {
            while session.has_records() {
                ready!(self.poll_send(cx, |tcp| session.send(&mut Kernel(tcp))))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match send(&self.tcp) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes all of `bytes`; `limit` bounds each wait for room, not the whole.
    pub(crate) async fn write_all(&self, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = poll_fn(|cx| self.poll_write(cx, bytes));
            let count = within(limit, write)
                .await
                .ok_or(io::ErrorKind::TimedOut)??;
            bytes = &bytes[count..];
        }
        if self.session.is_some() {
            let flush = poll_fn(|cx| self.poll_flush(cx));
            within(limit, flush)
                .await
                .ok_or(io::ErrorKind::TimedOut)??;
        }
        Ok(())
    }

    /// As [`Self::write_all`], for bytes in two places, in one system call as far as they fit.
    pub(crate) async fn write_parts(
        &self,
        [mut first, second]: [&[u8]; 2],
        limit: Duration,
    ) -> io::Result<()> {
        while !first.is_empty() && self.session.is_none() {
            let parts = [io::IoSlice::new(first), io::IoSlice::new(second)];
            let write = poll_fn(|cx| self.poll_write_vectored(cx, &parts));
            let count = within(limit, write)
                .await
                .ok_or(io::ErrorKind::TimedOut)??;
            match count.checked_sub(first.len()) {
                Some(of_second) => return self.write_all(&second[of_second..], limit).await,
                None => first = &first[count..],
            }
        }
        self.write_all(first, limit).await?;
        self.write_all(second, limit).await
    }

    /// Whether an idle connection is known to have been closed, to have failed, or to have sent
    /// what nobody asked for. What arrived since the runtime last looked is not known yet.
    pub(crate) fn is_spent(&self) -> bool {
        match &self.session {
            None => {
                let read = self.tcp.try_read(&mut [0; 1]);
                !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Some(session) => self.is_spent_beneath(session, |free| self.try_receive(free)),
        }
    }

    /// As [`Self::is_spent`], but asks the kernel, which knows of everything that has arrived.
    pub(crate) fn is_spent_now(&self) -> bool {
        match &self.session {
            None => {
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                let arrived = rustix::net::recv(&self.tcp, &mut [0; 1], flags);
                !matches!(arrived, Err(rustix::io::Errno::WOULDBLOCK))
            }
            Some(session) => self.is_spent_beneath(session, |free| {
                match rustix::net::recv(&self.tcp, free, RecvFlags::DONTWAIT) {
                    Err(rustix::io::Errno::WOULDBLOCK) => None,
                    Err(error) => Some(Err(error.into())),
                    Ok((_, count)) => Some(Ok(count)),
                }
            }),
        }
    }

    /// Records may arrive that hold nothing for us, such as a server's tickets.
    fn is_spent_beneath(
        &self,
        session: &Session,
        receive: impl Fn(&mut [u8]) -> Option<io::Result<usize>>,
    ) -> bool {
        loop {
            if session.has_content() {
                return true;
            }
            let mut room = session.room();
            match receive(room.free()) {
                None => return false,
                Some(Ok(count)) if count > 0 => {
                    room.filled(count);
                    session.arrived(room);
                }
                Some(_) => return true,
            }
        }
    }

    /// Returns when the other side reset the connection. Its orderly end is no reset: it may
    /// still be reading.
    pub(crate) async fn was_reset(&self) {
        loop {
            match self.tcp.ready(Interest::ERROR).await {
                Ok(ready) if !ready.is_error() => {}
                _ => return,
            }
        }
    }

    /// Tells the other side that nothing more is coming.
    pub(crate) fn shutdown_write(&self) {
        self.say_goodbye();
        // Fails only when the connection is gone, which the reading side reports.
        let _ = rustix::net::shutdown(&self.tcp, Shutdown::Write);
    }

    /// Says in TLS that the end of this connection is meant, as far as that does not wait.
    pub(crate) fn say_goodbye(&self) {
        if let Some(session) = &self.session {
            session.close();
            // Whoever does not take it sees an end that may have been a failure.
            let _ = session.send(&mut Kernel(&self.tcp));
        }
    }

    /// Makes the closing of this socket a reset, which cannot be taken for an orderly end.
    pub(crate) fn reset_on_close(&self) {
        // Fails only when the connection is gone already.
        let _ = sockopt::set_socket_linger(&self.tcp, Some(Duration::ZERO));
    }

    /// Lets the kernel find out, over hours of silence, whether the other side is still there.
    pub(crate) fn keep_alive(&self) {
        // Fails only when the connection is gone already.
        let _ = sockopt::set_socket_keepalive(&self.tcp, true);
    }
}

/// The kernel's side of a socket, written to without waiting.
struct Kernel<'a>(&'a TcpStream);

impl io::Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits at most for `limit`; none when it is over. What is ready at once takes no timer, and the
/// room for one is taken only when there is something to wait for.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(value) => Some(value),
        Poll::Pending => Box::pin(tokio::time::timeout(limit, future)).await.ok(),
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
