//! Connections to one endpoint that speaks HTTP/2: many requests share one, and another is opened
//! when all of them are full.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::connection::{Connection, Failure, Ping, Role};
use super::driver::Driver;
use super::handle::Handle;
use super::reason::Reason;
use crate::buffers::Buffers;
use crate::http::field_section::FieldLine;
use crate::limits::{HTTP2_STREAMS_TO_BACKEND, PING_AGAIN, PING_PATIENCE};
use crate::socket::Socket;

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
    connection: Rc<RefCell<Connection>>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    /// When it is too old for another request.
    expires: Option<Instant>,
    /// It takes no more requests.
    ended: Cell<bool>,
}

impl Shared {
    /// Whether it takes no more requests: it has ended, the backend is about to leave, or all of
    /// its streams' numbers are used up.
    fn is_over(&self) -> bool {
        let is_old = || {
            self.expires
                .is_some_and(|expires| Instant::now() >= expires)
        };
        self.ended.get() || self.connection.borrow().is_closed_to_more() || is_old()
    }

    fn has_room(&self) -> bool {
        let allowed = self.connection.borrow().allowed_streams();
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

/// How a connection is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// What a backend is given to say what it supports.
    pub(crate) limit: Duration,
    /// How long it may be silent while requests wait, see [`Limits::ping`].
    ///
    /// [`Limits::ping`]: crate::limits::Limits::ping
    pub(crate) ping: Duration,
    /// When the connection will be too old.
    pub(crate) expires: Option<Instant>,
}

/// A place for one request on a shared connection.
#[derive(Debug)]
pub(crate) struct Slot(Rc<Shared>);

impl Pool {
    /// A place on a connection that is there, or on one that `connect` opens.
    pub(crate) async fn slot(
        &self,
        opening: Opening,
        buffers: &Rc<Buffers>,
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
            Ok(socket) => open(socket, buffers, opening).await,
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

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Gives all connections up; each ends with its last request.
    pub(crate) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Closes connections that nobody has used for longer than `limit`.
    pub(crate) fn sweep(&self, limit: Duration) {
        self.connections.borrow_mut().retain(|shared| {
            let idle = shared.streams.get() == 0 && shared.idle_since.get().elapsed() > limit;
            !shared.is_over() && !idle
        });
    }
}

impl Slot {
    fn take(shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self(shared.clone())
    }

    /// Opens a stream with a request's head; `is_bodiless` where its answer has no content,
    /// whatever it says of its length.
    ///
    /// # Errors
    /// The connection takes no more streams; nothing was sent.
    pub(crate) fn open<'a>(
        &self,
        fields: impl Iterator<Item = impl Into<FieldLine<'a>>>,
        ends: bool,
        is_bodiless: bool,
    ) -> Result<Handle, Failure> {
        let connection = &self.0.connection;
        let id = connection.borrow_mut().open(fields, ends, is_bodiless)?;
        Ok(Handle::new(connection, id))
    }

    /// Whether the backend opens WebSockets (RFC 8441), which it says at the beginning.
    pub(crate) fn opens_websockets(&self) -> bool {
        self.0.connection.borrow().opens_websockets()
    }

    /// Sends no more requests on this connection.
    pub(crate) fn end_connection(&self) {
        self.0.ended.set(true);
    }
}

/// The last who holds a connection has its task notice.
impl Drop for Shared {
    fn drop(&mut self) {
        self.connection.borrow_mut().notify();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.idle_since.set(Instant::now());
    }
}

/// Opens a connection. How many streams the backend allows, and whether it opens WebSockets, comes
/// before its answer to a ping; without an answer in time, what is known by then has to do.
async fn open(socket: Socket, buffers: &Rc<Buffers>, opening: Opening) -> io::Result<Rc<Shared>> {
    socket.keep_alive();
    let mut driver = Driver::new(Role::Client, socket, None, buffers);
    let connection = driver.connection.clone();
    connection.borrow_mut().ping(Ping::Opening);
    let answered = poll_fn(|cx| match driver.poll(cx) {
        Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        Poll::Pending if connection.borrow().is_answered(Ping::Opening) => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    });
    if let Ok(Err(error)) = tokio::time::timeout(opening.limit, answered).await {
        return Err(error);
    }
    let shared = Rc::new(Shared {
        connection,
        streams: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        expires: opening.expires,
        ended: Cell::new(false),
    });
    let watched = Rc::downgrade(&shared);
    drop(tokio::task::spawn_local(drive(
        driver,
        watched,
        opening.ping,
    )));
    Ok(shared)
}

/// Moves a connection's bytes until it ends, or nobody holds it any more.
async fn drive(mut driver: Driver, watched: Weak<Shared>, ping: Duration) {
    let mut dead = Box::pin(is_dead(driver.connection.clone(), watched.clone(), ping));
    poll_fn(|cx| match driver.poll(cx) {
        Poll::Pending if watched.strong_count() == 0 => Poll::Ready(()),
        Poll::Pending => dead.as_mut().poll(cx),
        moved => moved,
    })
    .await;
    driver.connection.borrow_mut().end(Reason::CANCEL);
    if let Some(shared) = watched.upgrade() {
        shared.ended.set(true);
    }
}

/// Returns when the backend has not answered a ping for long, while requests waited and nothing came.
async fn is_dead(connection: Rc<RefCell<Connection>>, watched: Weak<Shared>, ping: Duration) {
    let mut heard = 0;
    let mut pinged: Option<Instant> = None;
    loop {
        tokio::time::sleep(ping).await;
        let Some(shared) = watched.upgrade() else {
            return;
        };
        let mut connection = connection.borrow_mut();
        if shared.streams.get() == 0 || connection.heard() != heard {
            (heard, pinged) = (connection.heard(), None);
            continue;
        }
        let waits = pinged.map(|at| at.elapsed());
        let is_answered = connection.is_answered(Ping::Alive);
        match waits {
            Some(waits) if is_answered && waits < PING_AGAIN => {}
            Some(waits) if !is_answered && waits < ping * PING_PATIENCE => {}
            Some(_) if !is_answered => {
                tracing::info!("a backend of HTTP/2 does not answer pings: its connection ends");
                return;
            }
            _ => {
                connection.ping(Ping::Alive);
                pinged = Some(Instant::now());
            }
        }
    }
}
