//! What requests do to the tables within one commit of the file.
//!
//! Each request of a batch sees what those before it have done. So each is decided as if it were
//! alone, though all reach the disk together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::file::{ENTRIES, LEASES, META, REVISION};
use crate::error::StoreError;
use crate::limits;
use crate::types::{
    Acquired, Condition, Conflict, Entry, Expected, Fence, Lease, Operation, Outcome, Renewed,
    Revision, Token, Transaction,
};
use crate::watch::{Changes, Event};

/// When each lease expires, by its name.
pub(super) type Deadlines = HashMap<String, Duration>;

/// The wish for a lease.
pub(super) struct Acquisition {
    pub(super) name: String,
    pub(super) holder: String,
    pub(super) time_to_live: Duration,
}

/// The tables of a write transaction, and what was done to them so far.
pub(super) struct Batch<'t> {
    meta: Table<'t, &'static str, u64>,
    entries: Table<'t, &'static str, (u64, u64, u64, &'static [u8])>,
    leases: Table<'t, &'static str, (&'static str, u64, u64)>,
    now: Duration,
    deadlines: &'t Deadlines,
    staged: Staged,
}

/// What takes effect in memory once the batch is on disk.
pub(super) struct Staged {
    /// The store's revision.
    pub(super) revision: Revision,
    /// What watches are told.
    pub(super) changes: Vec<Changes>,
    /// Leases that were acquired or renewed, with when they expire, and ones that are gone.
    pub(super) deadlines: HashMap<String, Option<Duration>>,
    /// Whether there is anything to write.
    pub(super) writes: bool,
}

impl<'t> Batch<'t> {
    /// Begins a batch at the time `now`, when leases expire by `deadlines`.
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        deadlines: &'t Deadlines,
        now: Duration,
    ) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let revision = match meta.get(REVISION)? {
            Some(revision) => Revision(revision.value()),
            None => {
                return Err(redb::Error::Corrupted(
                    "its revision is not noted".to_owned(),
                ));
            }
        };
        Ok(Self {
            meta,
            entries: transaction.open_table(ENTRIES)?,
            leases: transaction.open_table(LEASES)?,
            now,
            deadlines,
            staged: Staged {
                revision,
                changes: Vec::new(),
                deadlines: HashMap::new(),
                writes: false,
            },
        })
    }

    /// The store's revision after what was done so far.
    pub(super) fn revision(&self) -> Revision {
        self.staged.revision
    }

    /// Ends the batch.
    pub(super) fn finish(mut self) -> Result<Staged, redb::Error> {
        if self.staged.writes {
            self.meta.insert(REVISION, self.staged.revision.0)?;
        }
        Ok(self.staged)
    }

    /// Makes a transaction, or says why not.
    pub(super) fn transact(
        &mut self,
        transaction: &Transaction,
    ) -> Result<Result<Outcome, StoreError>, redb::Error> {
        if let Some(conflict) = self.conflict(transaction)? {
            return Ok(Ok(Outcome::Conflict(conflict)));
        }
        let revision = Revision(self.staged.revision.0 + 1);
        let mut events = Vec::new();
        for operation in &transaction.operations {
            match operation {
                Operation::Put { key, value } => events.push(self.put(key, value, revision)?),
                Operation::Delete { key } => {
                    if self.entries.remove(key.as_str())?.is_some() {
                        events.push(Event::Deleted { key: key.clone() });
                    }
                }
            }
        }
        if !events.is_empty() {
            self.staged.revision = revision;
            self.staged.changes.push(Changes { revision, events });
            self.staged.writes = true;
        }
        Ok(Ok(Outcome::Committed(self.staged.revision)))
    }

    fn conflict(&mut self, transaction: &Transaction) -> Result<Option<Conflict>, redb::Error> {
        if let Some(fence) = &transaction.fence {
            let current = self.held(&fence.name)?.map(|held| held.token);
            if current != Some(fence.token) {
                return Ok(Some(Conflict::Fence {
                    fence: fence.clone(),
                    current,
                }));
            }
        }
        for Condition { key, expected } in &transaction.conditions {
            let found = self
                .entries
                .get(key.as_str())?
                .map(|stored| Revision(stored.value().1));
            let wanted = match expected {
                Expected::Absent => None,
                Expected::Modified(revision) => Some(*revision),
            };
            if found != wanted {
                let (key, expected) = (key.clone(), *expected);
                return Ok(Some(Conflict::Key {
                    key,
                    expected,
                    found,
                }));
            }
        }
        Ok(None)
    }

    fn put(&mut self, key: &str, value: &[u8], modified: Revision) -> Result<Event, redb::Error> {
        let before = self.entries.get(key)?.map(|stored| {
            let (created, _, version, _) = stored.value();
            (Revision(created), version)
        });
        let (created, version) = before.unwrap_or((modified, 0));
        let version = version + 1;
        self.entries
            .insert(key, (created.0, modified.0, version, value))?;
        let (key, value) = (key.to_owned(), value.to_owned());
        Ok(Event::Put(Arc::new(Entry {
            key,
            value,
            created,
            modified,
            version,
        })))
    }

    /// Takes a lease, or says who holds it.
    pub(super) fn acquire(
        &mut self,
        wish: &Acquisition,
    ) -> Result<Result<Acquired, StoreError>, redb::Error> {
        let Acquisition {
            name,
            holder,
            time_to_live,
        } = wish;
        match self.held(name)? {
            Some(held) if held.holder != *holder => {
                let remaining = held.deadline.saturating_sub(self.now);
                return Ok(Ok(Acquired::HeldBy {
                    holder: held.holder,
                    remaining,
                }));
            }
            Some(_) => {}
            None if self.has_room()? => {}
            None => {
                return Ok(Err(StoreError::TooMany {
                    what: "leases",
                    limit: limits::LEASES,
                }));
            }
        }
        // A revision is never used twice, which makes it a token.
        self.staged.revision.0 += 1;
        let token = self.staged.revision.0;
        let milliseconds = u64::try_from(time_to_live.as_millis()).unwrap_or(u64::MAX);
        self.leases
            .insert(name.as_str(), (holder.as_str(), token, milliseconds))?;
        self.staged
            .deadlines
            .insert(name.clone(), Some(self.now + *time_to_live));
        self.staged.writes = true;
        Ok(Ok(Acquired::Lease(Lease {
            name: name.clone(),
            holder: holder.clone(),
            token: Token(token),
            time_to_live: *time_to_live,
        })))
    }

    /// Prolongs a lease if it is still held. Nothing of that is written: a store that is opened
    /// again gives every lease its whole time to live anyway.
    pub(super) fn renew(
        &mut self,
        lease: &Fence,
    ) -> Result<Result<Renewed, StoreError>, redb::Error> {
        match self.held(&lease.name)? {
            Some(held) if held.token == lease.token => {
                let deadline = self.now + held.time_to_live;
                self.staged
                    .deadlines
                    .insert(lease.name.clone(), Some(deadline));
                Ok(Ok(Renewed::Held))
            }
            _ => Ok(Ok(Renewed::Lost)),
        }
    }

    /// Ends a lease if it is still held.
    pub(super) fn release(&mut self, lease: &Fence) -> Result<Result<(), StoreError>, redb::Error> {
        if self
            .held(&lease.name)?
            .is_some_and(|held| held.token == lease.token)
        {
            self.remove_lease(&lease.name)?;
        }
        Ok(Ok(()))
    }

    /// Who holds a lease now. One that is found to have expired is removed for good, so that a
    /// store opened again later does not revive what was called lost.
    fn held(&mut self, name: &str) -> Result<Option<Held>, redb::Error> {
        let Some(deadline) = self.deadline(name) else {
            return Ok(None);
        };
        if deadline <= self.now {
            self.remove_lease(name)?;
            return Ok(None);
        }
        Ok(self.leases.get(name)?.map(|stored| {
            let (holder, token, milliseconds) = stored.value();
            Held {
                holder: holder.to_owned(),
                token: Token(token),
                time_to_live: Duration::from_millis(milliseconds),
                deadline,
            }
        }))
    }

    fn deadline(&self, name: &str) -> Option<Duration> {
        match self.staged.deadlines.get(name) {
            Some(staged) => *staged,
            None => self.deadlines.get(name).copied(),
        }
    }

    fn remove_lease(&mut self, name: &str) -> Result<(), redb::Error> {
        self.leases.remove(name)?;
        self.staged.deadlines.insert(name.to_owned(), None);
        self.staged.writes = true;
        Ok(())
    }

    /// Whether one more lease may be held, after removing those that expired if need be.
    fn has_room(&mut self) -> Result<bool, redb::Error> {
        let limit = limits::LEASES as u64;
        if self.leases.len()? < limit {
            return Ok(true);
        }
        let names: Vec<String> = self.deadlines.keys().cloned().collect();
        for name in names {
            self.held(&name)?;
        }
        Ok(self.leases.len()? < limit)
    }
}

/// A lease that has not expired.
struct Held {
    holder: String,
    token: Token,
    time_to_live: Duration,
    deadline: Duration,
}
