//! How many connections a worker has, and how many it may have.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// A worker's open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Cell<usize>,
    /// How many there ever were.
    accepted: Cell<u64>,
    /// Requests beyond the first of their connection, each of which may need one to a backend.
    extra: Cell<usize>,
    most: usize,
    closed: Notify,
}

impl Connections {
    /// None yet, and never more than `most`.
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            accepted: Cell::new(0),
            extra: Cell::new(0),
            most,
            closed: Notify::new(),
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open.get()
    }

    /// How many there were, those that have ended among them.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Counts one more.
    pub(crate) fn open(self: &Rc<Self>) -> Open {
        self.accepted.set(self.accepted.get() + 1);
        self.open.set(self.open.get() + 1);
        Open(self.clone())
    }

    fn has_room(&self) -> bool {
        self.open.get() + self.extra.get() < self.most
    }

    /// Counts a request beyond the first of its connection; none where there is no room for what it
    /// may need.
    pub(crate) fn extra(self: &Rc<Self>) -> Option<Extra> {
        self.has_room().then(|| {
            self.extra.set(self.extra.get() + 1);
            Extra(self.clone())
        })
    }

    /// Returns when there is room for another. Until then the kernel's queue holds those who
    /// want one, for this worker or for another.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            self.closed.notified().await;
        }
    }

    /// Returns when there is none.
    pub(crate) async fn none(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

/// An open connection; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Open(Rc<Connections>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        // All who wait look again: who is woken alone may have nobody to accept, while another
        // listener has.
        self.0.closed.notify_waiters();
    }
}

/// A request beyond the first of its connection; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Extra(Rc<Connections>);

impl Drop for Extra {
    fn drop(&mut self) {
        self.0.extra.set(self.0.extra.get() - 1);
        self.0.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn everyone_who_waits_learns_that_there_is_room() {
        let connections = Connections::new(1);
        let open = connections.open();
        let context = &mut Context::from_waker(Waker::noop());
        let (mut one, mut two) = (pin!(connections.room()), pin!(connections.room()));
        let mut none = pin!(connections.none());
        assert_eq!(one.as_mut().poll(context), Poll::Pending);
        assert_eq!(two.as_mut().poll(context), Poll::Pending);
        assert_eq!(none.as_mut().poll(context), Poll::Pending);
        drop(open);
        assert_eq!(two.as_mut().poll(context), Poll::Ready(()));
        assert_eq!(one.as_mut().poll(context), Poll::Ready(()));
        assert_eq!(none.as_mut().poll(context), Poll::Ready(()));
    }

    #[test]
    fn requests_take_the_room_of_connections_and_give_it_back() {
        let connections = Connections::new(3);
        let _open = connections.open();
        let (one, two) = (connections.extra(), connections.extra());
        assert!(one.is_some() && two.is_some() && connections.extra().is_none());
        let context = &mut Context::from_waker(Waker::noop());
        let mut room = pin!(connections.room());
        assert_eq!(room.as_mut().poll(context), Poll::Pending);
        drop(one);
        assert_eq!(room.as_mut().poll(context), Poll::Ready(()));
        assert_eq!(connections.count(), 1);
    }
}
