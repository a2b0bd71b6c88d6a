//! What every store does.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::StoreError;
use crate::types::{
    Acquired, Entry, Expected, Lease, Listing, Outcome, Renewed, Revision, Transaction,
};
use crate::watch::Watch;

/// An answer that is on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Versioned objects under keys.
///
/// *Revisions.* The whole store has one revision. Every transaction that changes something takes a
/// higher one, and so does every acquisition of a lease; an entry carries the revisions at which
/// it was created and last set. Revisions never go back, also across crashes.
///
/// *Transactions* are all or nothing, happen one after the other, and survive a crash or power
/// loss once they are acknowledged. Reads see every transaction acknowledged before they began,
/// and never part of one.
///
/// *Cancellation.* Dropping a future does not undo what it asked for: that may still happen.
///
/// *Leases* are judged by a monotonic clock, so a change of wall time does not touch them. A lease
/// that has expired is lost at that moment, whether or not someone else took it: a holder that
/// wakes up late finds its renewals and fenced transactions refused. That clock does not outlive
/// the store's process, so when the store is opened again each lease that was held lasts its whole
/// time to live from there: a holder that lives keeps it, and nobody takes it too early. A lease
/// that the store has called lost stays so. Tokens grow strictly over all leases of a store and
/// never repeat, also across expiry, release and crashes.
///
/// Sizes and counts are bounded by [`limits`](crate::limits). A key is not empty and holds no
/// control characters.
pub trait Store: Send + Sync + 'static {
    /// The entry of `key`, where it is set.
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Option<Entry>>;

    /// All entries whose keys begin with `prefix`, consistent at one revision. Refused with
    /// [`StoreError::TooLarge`] where they are more than
    /// [`LISTING_BYTES`](crate::limits::LISTING_BYTES).
    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing>;

    /// Makes all of a transaction's changes if all its conditions hold and its fence stands, and
    /// none otherwise. A transaction that changes nothing (no operations, or only removals of
    /// absent keys) takes no revision and makes no event. Setting a key to the value it has is a
    /// change. Refused with [`StoreError::Invalid`] where it changes a key twice.
    fn transact(&self, transaction: Transaction) -> Pending<'_, Outcome>;

    /// Sets `key` if it is as expected.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'a, Outcome> {
        self.transact(Transaction::new().expect(key, expected).put(key, value))
    }

    /// Tells of every change after revision `after` to keys that begin with `prefix`: each once,
    /// in order, a transaction's changes together. History is bounded: a watch that has to start
    /// or continue before what is kept ends with
    /// [`WatchError::FellBehind`](crate::WatchError::FellBehind), and so does one after a revision
    /// that this store has not reached. Its user then lists again and watches from there. Refused
    /// with [`StoreError::TooMany`] beyond [`WATCHES`](crate::limits::WATCHES).
    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Pending<'a, Watch>;

    /// Takes the lease `name` for `holder` if nobody else holds it. A holder that already holds it
    /// gets it again with a new token, and its earlier one is refused from then on: so a process
    /// that was restarted under the same name need not wait for itself. Refused with
    /// [`StoreError::TooMany`] beyond [`LEASES`](crate::limits::LEASES).
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        time_to_live: Duration,
    ) -> Pending<'a, Acquired>;

    /// Lets a lease last for its whole time to live from now, if it is still held.
    fn renew<'a>(&'a self, lease: &'a Lease) -> Pending<'a, Renewed>;

    /// Ends a lease now; nothing happens where it is no longer held with this token.
    fn release<'a>(&'a self, lease: &'a Lease) -> Pending<'a, ()>;
}
