//! A store in one file on this machine.
//!
//! One thread writes ([`writer`]); it makes every transaction that waits in one commit of the
//! file, so that many writers share one fsync while each keeps its own conditions and revision.
//! Reads run on the runtime's threads for blocking work, beside the writer. What watches need of
//! the past is kept in memory ([`history`]).

mod backend;
mod batch;
mod failure;
mod file;
mod history;
mod read;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::{Clock, MonotonicClock};
use crate::error::StoreError;
use crate::limits;
use crate::store::{Pending, Store};
use crate::types::{Acquired, Entry, Lease, Listing, Outcome, Renewed, Revision, Transaction};
use crate::watch::Watch;

use batch::Acquisition;
use file::DatabaseFile;
use history::{Following, History};
use writer::{Job, Request, Writer};

/// How many requests wait for the writer before callers wait to hand in theirs.
const QUEUE: usize = 256;
/// How many reads run at a time, so that a burst of them does not take a thread each.
const READS: usize = 4;

/// Settings of an [`EmbeddedStore`].
#[derive(Clone)]
pub struct Options {
    /// What leases are judged by.
    pub clock: Arc<dyn Clock>,
    /// How many of the latest transactions are kept for watches.
    pub history_transactions: usize,
    /// How many bytes of keys and values they may hold together.
    pub history_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(MonotonicClock::new()),
            history_transactions: 4096,
            history_bytes: 4 * 1024 * 1024,
        }
    }
}

/// A store in one file. Beside the file lies `NAME.lock`, which keeps other processes out.
///
/// The file does not hold the history that watches need: after it is opened again, a watch from
/// before finds that it fell behind.
///
/// Dropping it waits until the requests that were already handed in are done.
pub struct EmbeddedStore {
    file: Arc<DatabaseFile>,
    history: Arc<History>,
    reads: Arc<Semaphore>,
    /// Gone only while the store is dropped.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Opens the store in the file `path`, which is created where it is missing; its folder must
    /// exist. This blocks.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Options::default())
    }

    /// As [`open`](Self::open), with other settings.
    pub fn open_with(path: &Path, options: Options) -> Result<Self, StoreError> {
        let file = Arc::new(DatabaseFile::open(path)?);
        let revision = file.with(read::revision)?;
        let (history, following) = History::new(
            revision,
            options.history_transactions,
            options.history_bytes,
        );
        let writer = Writer::new(file.clone(), following, options.clock)?;
        let (queue, requests) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(requests))
            .map_err(|error| failure::io("start the thread that writes", path, error))?;
        Ok(Self {
            file,
            history,
            reads: Arc::new(Semaphore::new(READS)),
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// Hands a request to the writer and waits for its answer.
    async fn write<C, R>(
        &self,
        command: C,
        request: impl FnOnce(Job<C, R>) -> Request,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        let request = request(Job::new(command, reply));
        queue.send(request).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `read` on a thread where it may block.
    async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&DatabaseFile) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let permit = self
            .reads
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let file = self.file.clone();
        let task = tokio::task::spawn_blocking(move || {
            let result = read(&file);
            drop(permit);
            result
        });
        task.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Option<Entry>> {
        Box::pin(async move {
            limits::check_key("a key", key)?;
            let key = key.to_owned();
            self.read(move |file| file.with(|database| read::entry(database, &key)))
                .await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Pending<'a, Listing> {
        Box::pin(async move {
            limits::check_prefix("a prefix", prefix)?;
            let prefix = prefix.to_owned();
            self.read(move |file| file.with(|database| read::listing(database, &prefix))?)
                .await
        })
    }

    fn transact(&self, transaction: Transaction) -> Pending<'_, Outcome> {
        Box::pin(async move {
            limits::check_transaction(&transaction)?;
            self.write(transaction, Request::Transact).await
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: Revision) -> Pending<'a, Watch> {
        Box::pin(async move {
            limits::check_prefix("a prefix", prefix)?;
            Ok(Watch::new(Following::new(&self.history, prefix, after)?))
        })
    }

    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        time_to_live: Duration,
    ) -> Pending<'a, Acquired> {
        Box::pin(async move {
            limits::check_key("a lease's name", name)?;
            limits::check_key("a lease's holder", holder)?;
            limits::check_time_to_live(time_to_live)?;
            let (name, holder) = (name.to_owned(), holder.to_owned());
            self.write(
                Acquisition {
                    name,
                    holder,
                    time_to_live,
                },
                Request::Acquire,
            )
            .await
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> Pending<'a, Renewed> {
        Box::pin(async move { self.write(lease.fence(), Request::Renew).await })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> Pending<'a, ()> {
        Box::pin(async move { self.write(lease.fence(), Request::Release).await })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue = None;
        // A writer that panicked has said so on stderr; there is nothing left to wait for.
        let _ = self.writer.take().map(JoinHandle::join);
        self.file.close();
    }
}
