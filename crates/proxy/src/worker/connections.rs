//! How many connections a worker has, and how many it may have.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// A worker's open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Cell<usize>,
    most: usize,
    closed: Notify,
}

impl Connections {
    /// None yet, and never more than `most`.
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            most,
            closed: Notify::new(),
        })
    }

    /// Counts one more.
    pub(crate) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(self.clone())
    }

    /// Returns when there is room for another. Until then the kernel's queue holds those who
    /// want one, for this worker or for another.
    pub(crate) async fn room(&self) {
        while self.open.get() >= self.most {
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
        self.0.closed.notify_one();
    }
}
