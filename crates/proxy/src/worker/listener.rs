//! Accepting connections: one task per listening socket and worker.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;

use model::{Protocol, TrustedHops};
use rustix::net::SocketFlags;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Worker;
use crate::limits::ACCEPT_PAUSE;
use crate::socket::Socket;
use crate::upstream::Upstream;
use crate::{serve, tcp};

/// What a connection keeps of the listener that accepted it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The one upstream behind it; none at the edge, where the request decides. It changes
    /// when the server gives the listener another upstream.
    upstream: RefCell<Option<Rc<Upstream>>>,
    /// The service that calls here; none at the edge.
    caller: Option<Rc<str>>,
    /// Whether clients speak TLS.
    tls: Cell<bool>,
    /// Whom to believe what they say of requests that they bring.
    trusted: RefCell<TrustedHops>,
    gone: Cell<bool>,
    /// Wakes idle connections when `gone` is set.
    closing: Notify,
}

impl Listener {
    /// The one upstream behind it; none at the edge.
    pub(crate) fn upstream(&self) -> Option<Rc<Upstream>> {
        self.upstream.borrow().clone()
    }

    /// The service that calls here; none at the edge.
    pub(crate) fn caller(&self) -> Option<Rc<str>> {
        self.caller.clone()
    }

    /// Whether requests from outside arrive here.
    pub(crate) fn is_edge(&self) -> bool {
        self.upstream.borrow().is_none()
    }

    /// Whom to believe where requests come from, if `peer` is one of them.
    pub(crate) fn trusts(&self, peer: IpAddr) -> Option<TrustedHops> {
        let trusted = self.trusted.borrow();
        trusted.contains(peer).then(|| trusted.clone())
    }

    /// Whether connections should end after the request that they serve.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Returns when connections that serve no request should end.
    pub(crate) async fn gone(&self) {
        let mut notified = std::pin::pin!(self.closing.notified());
        notified.as_mut().enable();
        if !self.gone.get() {
            notified.await;
        }
    }
}

/// A listening socket with the task that accepts from it.
#[derive(Debug)]
pub(crate) struct Accepting {
    pub(crate) listener: Rc<Listener>,
    socket: Rc<TcpListener>,
    task: JoinHandle<()>,
}

impl Accepting {
    /// Begins to accept.
    pub(crate) fn start(
        worker: &Rc<Worker>,
        socket: std::net::TcpListener,
        wanted: &model::Listener,
        (upstream, caller): (Option<Rc<Upstream>>, Option<Rc<str>>),
    ) -> io::Result<Self> {
        let listener = Rc::new(Listener {
            upstream: RefCell::new(upstream),
            caller,
            tls: Cell::new(wanted.tls),
            trusted: RefCell::new(wanted.trusted.clone()),
            gone: Cell::new(false),
            closing: Notify::new(),
        });
        let socket = Rc::new(TcpListener::from_std(socket)?);
        let accept = accept(worker.clone(), listener.clone(), socket.clone());
        Ok(Self {
            listener,
            socket,
            task: tokio::task::spawn_local(accept),
        })
    }

    /// Makes the listener what it should be; its connections follow another upstream with their next
    /// request, and whom to believe was decided when they began.
    pub(crate) fn retarget(&self, upstream: Option<Rc<Upstream>>, wanted: &model::Listener) {
        *self.listener.upstream.borrow_mut() = upstream;
        self.listener.tls.set(wanted.tls);
        *self.listener.trusted.borrow_mut() = wanted.trusted.clone();
    }

    /// Stops accepting. What the kernel has accepted already is served, so that no caller sees
    /// its connection refused half-way; then this worker's hold on the socket is given up.
    pub(crate) async fn stop(self, worker: &Rc<Worker>) {
        self.listener.gone.set(true);
        self.task.abort();
        // Ends with the task's own hold on the socket; that it was cancelled is no news.
        let _ = self.task.await;
        loop {
            match accept_queued(&self.socket) {
                Ok(accepted) => begin(worker, &self.listener, accepted),
                // Others wait behind the one that is gone.
                Err(error) if is_about_one_connection(&error) => {}
                Err(_) => break,
            }
        }
        self.listener.closing.notify_waiters();
    }
}

fn accept_queued(socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (accepted, peer) = rustix::net::acceptfrom_with(socket.as_fd(), flags)?;
    let peer = peer.and_then(|address| SocketAddr::try_from(address).ok());
    let stream = TcpStream::from_std(accepted.into())?;
    let peer = peer.map_or_else(|| stream.peer_addr(), Ok)?;
    Ok((stream, peer))
}

async fn accept(worker: Rc<Worker>, listener: Rc<Listener>, socket: Rc<TcpListener>) {
    loop {
        worker.connections.room().await;
        match socket.accept().await {
            Ok(accepted) => begin(&worker, &listener, accepted),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the error is that of a connection which ended before it was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn begin(worker: &Rc<Worker>, listener: &Rc<Listener>, (stream, peer): (TcpStream, SocketAddr)) {
    let open = worker.connections.open();
    let (worker, listener, socket) = (worker.clone(), listener.clone(), Socket::new(stream));
    let upstream = listener.upstream();
    match upstream.filter(|upstream| upstream.protocol() == Protocol::Tcp) {
        _ if listener.tls.get() => drop(tokio::task::spawn_local(async move {
            if let Some(socket) = Box::pin(secure(&worker, socket)).await {
                serve(&worker, &listener, socket, peer.ip()).await;
            }
            drop(open);
        })),
        Some(upstream) => drop(tokio::task::spawn_local(async move {
            tcp::serve(&worker, socket, &upstream).await;
            drop(open);
        })),
        None => drop(tokio::task::spawn_local(async move {
            serve::serve(&worker, socket, &listener, peer.ip()).await;
            drop(open);
        })),
    }
}

/// Serves a connection whose TLS is agreed on.
async fn serve(worker: &Rc<Worker>, listener: &Rc<Listener>, socket: Socket, peer: IpAddr) {
    match listener.upstream() {
        Some(upstream) if upstream.protocol() == Protocol::Tcp => {
            tcp::serve(worker, socket, &upstream).await;
        }
        _ => serve::serve(worker, socket, listener, peer).await,
    }
}

/// Agrees on TLS with a client; none when that fails.
async fn secure(worker: &Rc<Worker>, socket: Socket) -> Option<Socket> {
    let config = worker.trust.borrow().server()?;
    let limit = worker.limits.head;
    let agreed = socket.accept_tls(config, &worker.buffers, limit).await;
    agreed
        .inspect_err(|error| tracing::debug!(%error, "a client and we do not agree on TLS"))
        .ok()
}
