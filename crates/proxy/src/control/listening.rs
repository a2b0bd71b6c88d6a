//! The listening sockets. There is one per listener, of which every worker has a duplicate: no
//! two proxies can share a port unnoticed, and a connection that waits in the kernel belongs to
//! no worker and is lost with none.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};

use model::{ListenerId, SnapshotDelta};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::limits::BACKLOG;

/// Listeners with a new socket, of which there is a duplicate for each worker.
pub(crate) type Opened = BTreeMap<ListenerId, Vec<TcpListener>>;

/// What the proxy listens on.
#[derive(Debug)]
pub(crate) struct Listening {
    workers: usize,
    held: BTreeMap<ListenerId, (SocketAddr, TcpListener)>,
    /// Listeners whose address could not be bound, and why.
    failed: BTreeMap<ListenerId, (SocketAddr, String)>,
}

impl Listening {
    /// Nothing, for so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            held: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// The listeners that could not be bound, with the error.
    pub(crate) fn failures(&self) -> BTreeMap<ListenerId, String> {
        self.failed
            .iter()
            .map(|(id, (_, error))| (id.clone(), error.clone()))
            .collect()
    }

    /// Whether any listener could not be bound.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Follows `delta`. The listeners returned have a new socket. Those in `delta` that lost
    /// theirs and got no other are marked as removed there, so that workers give it up.
    pub(crate) fn follow(&mut self, delta: &mut SnapshotDelta) -> Opened {
        let mut released = HashMap::new();
        for id in &delta.listeners.removed {
            self.failed.remove(id);
            released.extend(self.held.remove(id));
        }
        let mut moved = Vec::new();
        for (id, listener) in &delta.listeners.set {
            if self
                .held
                .get(id)
                .is_some_and(|(address, _)| *address != listener.address)
            {
                released.extend(self.held.remove(id));
                moved.push(id.clone());
            }
        }
        let mut opened = Opened::new();
        for (id, listener) in &delta.listeners.set {
            if self.held.contains_key(id) {
                continue;
            }
            // A socket whose listener only changed its name is handed on, queue and all.
            let socket = match released.remove(&listener.address) {
                Some(socket) => Ok(socket),
                None => listen(listener.address),
            };
            opened.extend(self.open(id, listener.address, socket));
        }
        moved.retain(|id| !self.held.contains_key(id));
        delta.listeners.removed.extend(moved);
        opened
    }

    /// Tries again what could not be bound; the listeners returned have a socket now.
    pub(crate) fn retry(&mut self) -> Opened {
        let failed: Vec<_> = self
            .failed
            .iter()
            .map(|(id, (a, _))| (id.clone(), *a))
            .collect();
        failed
            .into_iter()
            .filter_map(|(id, a)| self.open(&id, a, listen(a)))
            .collect()
    }

    /// Closes the control thread's hold on all sockets.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.failed.clear();
    }

    /// Takes the socket of a listener, or what was wrong with getting it. It counts only with all
    /// its duplicates: the descriptors for some may be missing.
    fn open(
        &mut self,
        id: &ListenerId,
        address: SocketAddr,
        socket: io::Result<TcpListener>,
    ) -> Option<(ListenerId, Vec<TcpListener>)> {
        let with_duplicates = socket.and_then(|socket| {
            let duplicates = (0..self.workers).map(|_| socket.try_clone());
            let duplicates = duplicates.collect::<io::Result<Vec<_>>>()?;
            Ok((socket, duplicates))
        });
        match with_duplicates {
            Ok((socket, duplicates)) => {
                if self.failed.remove(id).is_some() {
                    tracing::info!(listener = %id, %address, "listening at last");
                }
                self.held.insert(id.clone(), (address, socket));
                Some((id.clone(), duplicates))
            }
            Err(error) => {
                let error = format!("cannot listen on {address}: {error}");
                let before = self.failed.insert(id.clone(), (address, error.clone()));
                if before.is_none_or(|(_, before)| before != error) {
                    tracing::error!(listener = %id, %error, "trying again");
                }
                None
            }
        }
    }
}

/// A listening socket, without SO_REUSEPORT: a port that is taken must be an error.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // Connections of a predecessor that the kernel still remembers must not hold the port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Generation, Listener, ListenerRole, Snapshot};

    fn snapshot(generation: u64, listeners: &[(&str, SocketAddr)]) -> Snapshot {
        let listener = |address| Listener {
            address,
            role: ListenerRole::Edge,
            tls: false,
            trusted: Default::default(),
        };
        Snapshot {
            generation: Generation(generation),
            listeners: listeners
                .iter()
                .map(|(id, a)| (id.to_string(), listener(*a)))
                .collect(),
            ..Snapshot::default()
        }
    }

    fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    }

    #[test]
    fn a_taken_port_is_reported_and_bound_once_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, other) = (taken.local_addr().unwrap(), free_address());
        let mut listening = Listening::new(1);
        let wanted = snapshot(1, &[("a", address), ("b", other)]);
        let mut delta = Snapshot::default().delta_to(&wanted);
        assert!(listening.follow(&mut delta).keys().eq(["b"]));
        assert!(listening.failures()["a"].contains("Address already in use"));
        assert!(listening.retry().is_empty());
        drop(taken);
        assert!(listening.retry().keys().eq(["a"]));
        assert!(!listening.has_failures());
    }

    #[test]
    fn a_listener_with_another_name_keeps_the_socket() {
        let address = free_address();
        let (old, new) = (
            snapshot(1, &[("a", address)]),
            snapshot(2, &[("b", address)]),
        );
        let mut listening = Listening::new(1);
        listening.follow(&mut Snapshot::default().delta_to(&old));
        let queued = std::net::TcpStream::connect(address).unwrap();
        let opened = listening.follow(&mut old.delta_to(&new));
        let (_, peer) = opened["b"][0].accept().unwrap();
        assert_eq!(peer, queued.local_addr().unwrap());
    }

    #[test]
    fn a_listener_that_cannot_move_gives_up_its_old_address() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let old = snapshot(1, &[("a", free_address())]);
        let new = snapshot(2, &[("a", taken.local_addr().unwrap())]);
        let mut listening = Listening::new(1);
        listening.follow(&mut Snapshot::default().delta_to(&old));
        let mut delta = old.delta_to(&new);
        assert!(listening.follow(&mut delta).is_empty());
        assert!(delta.listeners.removed.contains("a") && listening.has_failures());
    }
}
