//! Connections to one endpoint that speaks HTTP/2: many requests share one, and another is opened
//! when all of them are full.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Ping;
use h2::client::{Connection, SendRequest};
use tokio::sync::Mutex;

use crate::limits::{
    HEAD_BYTES, HTTP2_BACKEND_WINDOW, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW,
    HTTP2_STREAMS_TO_BACKEND,
};
use crate::socket::{Socket, Stream};

/// The connections of one worker to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Held by whoever opens a connection, so that those who come meanwhile share it.
    opening: Mutex<()>,
    /// When one could not be opened the last time.
    failed: Cell<Option<Instant>>,
}

/// A connection that requests share.
pub(crate) struct Shared {
    sender: RefCell<SendRequest<Bytes>>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    /// It takes no more requests.
    ended: Cell<bool>,
}

impl Shared {
    /// Whether it takes no more requests: it has ended, the backend is about to leave, or all of
    /// its streams' numbers are used up.
    fn is_over(&self) -> bool {
        let context = &mut Context::from_waker(Waker::noop());
        self.ended.get()
            || matches!(
                self.sender.borrow_mut().poll_ready(context),
                Poll::Ready(Err(_))
            )
    }

    fn has_room(&self) -> bool {
        let allowed = self.sender.borrow().current_max_send_streams();
        self.streams.get() < allowed.min(HTTP2_STREAMS_TO_BACKEND)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("streams", &self.streams.get())
            .field("ended", &self.ended.get())
            .finish_non_exhaustive()
    }
}

/// A place for one request on a shared connection.
#[derive(Debug)]
pub(crate) struct Slot(Rc<Shared>);

impl Pool {
    /// A place on a connection that is there, or on one that `connect` opens. A backend is given
    /// `limit` to say what it supports.
    pub(crate) async fn slot(
        &self,
        limit: Duration,
        connect: impl Future<Output = io::Result<Socket>>,
    ) -> io::Result<Slot> {
        if let Some(slot) = self.free() {
            return Ok(slot);
        }
        let waiting_since = Instant::now();
        let _turn = self.opening.lock().await;
        if let Some(slot) = self.free() {
            return Ok(slot);
        }
        if self.failed.get().is_some_and(|at| at >= waiting_since) {
            // Whoever was first has tried for all of us.
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let opened = match connect.await {
            Ok(socket) => open(socket, limit).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(shared) => {
                let slot = Slot::take(&shared);
                self.connections.borrow_mut().push(shared);
                Ok(slot)
            }
            Err(error) => {
                self.failed.set(Some(Instant::now()));
                Err(error)
            }
        }
    }

    fn free(&self) -> Option<Slot> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|shared| !shared.is_over());
        connections
            .iter()
            .find(|shared| shared.has_room())
            .map(Slot::take)
    }

    /// Gives all connections up; each ends with its last request.
    pub(crate) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Closes connections that nobody has used for longer than `limit`.
    pub(crate) fn sweep(&self, limit: Duration) {
        self.connections.borrow_mut().retain(|shared| {
            let idle = shared.streams.get() == 0 && shared.idle_since.get().elapsed() > limit;
            !shared.ended.get() && !idle
        });
    }
}

impl Slot {
    fn take(shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self(shared.clone())
    }

    /// What sends a request on the connection.
    pub(crate) fn sender(&self) -> SendRequest<Bytes> {
        self.0.sender.borrow().clone()
    }

    /// Whether the backend opens WebSockets (RFC 8441), which it says at the beginning.
    pub(crate) fn opens_websockets(&self) -> bool {
        let sender = self.0.sender.borrow();
        sender.is_extended_connect_protocol_enabled()
    }

    /// Sends no more requests on this connection.
    pub(crate) fn end_connection(&self) {
        self.0.ended.set(true);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}

async fn open(socket: Socket, limit: Duration) -> io::Result<Rc<Shared>> {
    socket.keep_alive();
    let (sender, mut connection): (_, Connection<_, Bytes>) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_BACKEND_WINDOW)
        // What a slow client leaves waiting in small pieces must not end what others share. The
        // windows bound it.
        .data_frame_budget(usize::MAX)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_send_buffer_size(HTTP2_SEND_BUFFER)
        .handshake(Stream::new(socket, None))
        .await
        .map_err(io::Error::other)?;
    let pings = connection.ping_pong();
    let shared = Rc::new(Shared {
        sender: RefCell::new(sender),
        streams: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        ended: Cell::new(false),
    });
    let watched = Rc::downgrade(&shared);
    drop(tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a backend ended");
        }
        if let Some(shared) = watched.upgrade() {
            shared.ended.set(true);
        }
    }));
    // How many streams it allows, and whether it opens WebSockets, comes before its answer to a
    // ping. Without an answer in time, what is known by then has to do.
    if let Some(mut pings) = pings
        && let Ok(Err(error)) = tokio::time::timeout(limit, pings.ping(Ping::opaque())).await
    {
        return Err(io::Error::other(error));
    }
    Ok(shared)
}
