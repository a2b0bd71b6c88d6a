//! The one thread that writes.

use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTable};
use tokio::sync::{mpsc, oneshot};

use super::batch::{Acquisition, Batch, Deadlines};
use super::file::{DatabaseFile, LEASES};
use super::history::Publisher;
use super::read;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::types::{Acquired, Fence, Operation, Outcome, Renewed, Revision, Transaction};

/// The most requests that share a commit.
const BATCH_REQUESTS: usize = 256;
/// The bytes of values after which no further request joins a commit.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// A request with where its answer goes.
pub(super) struct Job<C, R> {
    command: C,
    reply: oneshot::Sender<Result<R, StoreError>>,
    /// What was decided, while it is not on disk yet.
    decided: Option<Result<R, StoreError>>,
}

impl<C, R> Job<C, R> {
    /// A request that nothing was decided about yet.
    pub(super) fn new(command: C, reply: oneshot::Sender<Result<R, StoreError>>) -> Self {
        Self {
            command,
            reply,
            decided: None,
        }
    }

    /// Answers with what was decided, or with why that could not be written.
    fn answer(self, written: Result<(), StoreError>) {
        let decided = self.decided.unwrap_or(Err(StoreError::Closed));
        // Whoever asked may have gone.
        let _ = self.reply.send(written.and(decided));
    }
}

/// What the writer can be asked for.
pub(super) enum Request {
    /// To make a transaction.
    Transact(Job<Transaction, Outcome>),
    /// To take a lease.
    Acquire(Job<Acquisition, Acquired>),
    /// To prolong a lease.
    Renew(Job<Fence, Renewed>),
    /// To end a lease.
    Release(Job<Fence, ()>),
}

impl Request {
    fn decide(&mut self, batch: &mut Batch<'_>) -> Result<(), redb::Error> {
        match self {
            Self::Transact(job) => job.decided = Some(batch.transact(&job.command)?),
            Self::Acquire(job) => job.decided = Some(batch.acquire(&job.command)?),
            Self::Renew(job) => job.decided = Some(batch.renew(&job.command)?),
            Self::Release(job) => job.decided = Some(batch.release(&job.command)?),
        }
        Ok(())
    }

    fn answer(self, written: Result<(), StoreError>) {
        match self {
            Self::Transact(job) => job.answer(written),
            Self::Acquire(job) => job.answer(written),
            Self::Renew(job) => job.answer(written),
            Self::Release(job) => job.answer(written),
        }
    }

    fn size(&self) -> usize {
        let Self::Transact(job) = self else { return 0 };
        let value = |operation: &Operation| match operation {
            Operation::Put { value, .. } => value.len(),
            Operation::Delete { .. } => 0,
        };
        job.command.operations.iter().map(value).sum()
    }
}

/// Decides requests in the order of their arrival and writes what they change.
pub(super) struct Writer {
    file: Arc<DatabaseFile>,
    publisher: Publisher,
    clock: Arc<dyn Clock>,
    deadlines: Deadlines,
    /// Set after a write failed, until it is known what the file holds.
    uncertain: bool,
}

impl Writer {
    /// A writer for an open file. Each lease in it lasts for its whole time to live from now.
    pub(super) fn new(
        file: Arc<DatabaseFile>,
        publisher: Publisher,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let now = clock.now();
        let deadlines = file.with(|database| deadlines(database, now))?;
        Ok(Self {
            file,
            publisher,
            clock,
            deadlines,
            uncertain: false,
        })
    }

    /// Serves requests until nobody can send any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut size = first.size();
            let mut requests = vec![first];
            while requests.len() < BATCH_REQUESTS && size < BATCH_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                size += next.size();
                requests.push(next);
            }
            self.serve(requests);
        }
    }

    fn serve(&mut self, mut requests: Vec<Request>) {
        let written = self.write(&mut requests);
        // What is too much for the disk together may fit one by one, and what needs no space, as
        // a renewal, must not fail because of its neighbours.
        if let Err(Failed {
            error: StoreError::NoSpace { .. },
            nothing_written: true,
        }) = written
            && requests.len() > 1
        {
            for mut request in requests {
                let written = self.write(std::slice::from_mut(&mut request));
                request.answer(written.map_err(|failed| failed.error));
            }
            return;
        }
        let written = written.map_err(|failed| failed.error);
        for request in requests {
            request.answer(written.clone());
        }
    }

    /// Decides all requests and writes what they change, in one commit.
    fn write(&mut self, requests: &mut [Request]) -> Result<(), Failed> {
        if self.uncertain {
            self.recover().map_err(|error| Failed {
                error,
                nothing_written: true,
            })?;
        }
        let now = self.clock.now();
        let mut before = None;
        let staged = self.file.with(|database| {
            let transaction = database.begin_write()?;
            let mut batch = Batch::open(&transaction, &self.deadlines, now)?;
            before = Some(batch.revision());
            for request in requests.iter_mut() {
                request.decide(&mut batch)?;
            }
            let staged = batch.finish()?;
            if staged.writes {
                self.publisher.announce(staged.revision);
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(staged)
        });
        match staged {
            Ok(staged) => {
                for (name, deadline) in staged.deadlines {
                    match deadline {
                        Some(deadline) => self.deadlines.insert(name, deadline),
                        None => self.deadlines.remove(&name),
                    };
                }
                if staged.writes {
                    self.publisher.publish(staged.changes);
                }
                Ok(())
            }
            Err(error) => {
                self.uncertain = true;
                let nothing_written = self.recover().is_ok_and(|now| Some(now) == before);
                Err(Failed {
                    error,
                    nothing_written,
                })
            }
        }
    }

    /// Finds out what the file holds after a write failed: the state before it, or, where only the
    /// last step was refused, the state after it.
    fn recover(&mut self) -> Result<Revision, StoreError> {
        let now = self.clock.now();
        let (revision, mut stored) = self
            .file
            .with(|database| Ok((read::revision(database)?, deadlines(database, now)?)))?;
        // A lease that was known keeps its time; one that is not has just been written.
        for (name, deadline) in &mut stored {
            if let Some(known) = self.deadlines.get(name) {
                *deadline = *known;
            }
        }
        self.deadlines = stored;
        self.publisher.recover(revision);
        self.uncertain = false;
        Ok(revision)
    }
}

/// Why a batch was not written.
struct Failed {
    error: StoreError,
    /// Whether the file is known to be as before.
    nothing_written: bool,
}

/// When the stored leases expire if each lasts for its whole time to live from `now`.
fn deadlines(database: &Database, now: Duration) -> Result<Deadlines, redb::Error> {
    let mut deadlines = Deadlines::new();
    for stored in database.begin_read()?.open_table(LEASES)?.iter()? {
        let (name, stored) = stored?;
        let (_, _, milliseconds) = stored.value();
        deadlines.insert(
            name.value().to_owned(),
            now + Duration::from_millis(milliseconds),
        );
    }
    Ok(deadlines)
}
