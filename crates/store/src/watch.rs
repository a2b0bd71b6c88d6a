//! Changes as they happen.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::types::{Entry, Revision};

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was set.
    Put(Arc<Entry>),
    /// It was removed.
    Deleted {
        /// The key.
        key: String,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted { key } => key,
        }
    }
}

/// What one transaction changed under a watch's prefix; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The transaction's revision.
    pub revision: Revision,
    /// The changes, in the order of the transaction's operations.
    pub events: Vec<Event>,
}

/// Why a watch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Changes after the watch's position are no longer kept. List again, and watch from there.
    #[error("the watch fell behind what the store keeps of its history")]
    FellBehind,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The next changes, or why there are none.
pub type NextChanges<'a> = Pin<Box<dyn Future<Output = Result<Changes, WatchError>> + Send + 'a>>;

/// Where a watch's changes come from.
pub trait ChangeSource: Send + 'static {
    /// Waits for the next changes. Dropping the future before it is ready loses none.
    fn next(&mut self) -> NextChanges<'_>;
}

/// Tells of every change under a prefix, once and in order.
pub struct Watch {
    source: Box<dyn ChangeSource>,
}

impl Watch {
    /// A watch that is told of changes by `source`.
    pub fn new(source: impl ChangeSource) -> Self {
        Self {
            source: Box::new(source),
        }
    }

    /// Waits for the next transaction that changes something under the prefix. Dropping the future
    /// before it is ready loses nothing, so it can stand in a `select!`. After an error, every
    /// further call gives an error too.
    pub async fn next(&mut self) -> Result<Changes, WatchError> {
        self.source.next().await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
