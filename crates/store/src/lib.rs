//! Versioned objects behind one trait: read, compare-and-set, transactions over several keys,
//! watches from a revision, and leases with fencing tokens.
//!
//! [`Store`] says what every implementation does, in terms that a cluster of etcd nodes can keep
//! as well. [`EmbeddedStore`] keeps it in one file on this machine. One contract suite
//! (`tests/contract.rs`) is written against the trait, and every implementation passes it.

mod clock;
mod embedded;
mod error;
pub mod limits;
mod store;
mod types;
mod watch;

pub use clock::{Clock, MonotonicClock};
pub use embedded::{EmbeddedStore, Options};
pub use error::StoreError;
pub use store::{Pending, Store};
pub use types::{
    Acquired, Condition, Conflict, Entry, Expected, Fence, Lease, Listing, Operation, Outcome,
    Renewed, Revision, Token, Transaction,
};
pub use watch::{ChangeSource, Changes, Event, NextChanges, Watch, WatchError};
