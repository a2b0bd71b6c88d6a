//! From workers to a thread that writes or sends what they say, without ever waiting for it: a
//! worker gathers records, and hands them over together. What finds no room is dropped and counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::limits::{TELEMETRY_BATCH_BYTES, TELEMETRY_BATCHES, TELEMETRY_PAUSE};

/// Records one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// How many there are.
    pub(crate) records: u64,
}

/// What became of records at the far end of a queue.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    delivered: AtomicU64,
    lost: AtomicU64,
}

impl Delivery {
    /// So many records are where they belong, or will never be there.
    pub(super) fn count(&self, records: u64, delivered: bool) {
        let counter = match delivered {
            true => &self.delivered,
            false => &self.lost,
        };
        counter.fetch_add(records, Ordering::Relaxed);
    }

    /// How many records are where they belong, and how many never will be.
    pub(crate) fn read(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.delivered), read(&self.lost))
    }
}

/// The workers' end of a queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue(SyncSender<Batch>);

/// A queue and the end from which it is emptied.
pub(crate) fn queue() -> (Queue, Receiver<Batch>) {
    let (sender, receiver) = sync_channel(TELEMETRY_BATCHES);
    (Queue(sender), receiver)
}

/// One worker's way to a queue.
#[derive(Debug)]
pub(crate) struct Gathered {
    batch: RefCell<Batch>,
    dropped: Cell<u64>,
    /// A task hands over what is there before long.
    is_awaited: Cell<bool>,
    queue: Queue,
}

impl Gathered {
    pub(crate) fn new(queue: Queue) -> Rc<Self> {
        Rc::new(Self {
            batch: RefCell::default(),
            dropped: Cell::new(0),
            is_awaited: Cell::new(false),
            queue,
        })
    }

    /// Takes a record, or drops it where there is no room.
    pub(crate) fn take(self: &Rc<Self>, record: &[u8]) {
        if self.put(record) && !self.is_awaited.replace(true) {
            let gathered = self.clone();
            drop(tokio::task::spawn_local(async move {
                gathered.hand_over_soon().await;
            }));
        }
    }

    /// Puts a record to the others; whether there was room.
    fn put(&self, record: &[u8]) -> bool {
        let length = self.batch.borrow().bytes.len() + record.len();
        if length > TELEMETRY_BATCH_BYTES && !self.hand_over() {
            self.dropped.set(self.dropped.get() + 1);
            return false;
        }
        let mut batch = self.batch.borrow_mut();
        if batch.bytes.capacity() == 0 {
            batch.bytes.reserve(TELEMETRY_BATCH_BYTES);
        }
        batch.bytes.extend_from_slice(record);
        batch.records += 1;
        true
    }

    /// Hands over what there is, if there is room for it. It never waits.
    fn hand_over(&self) -> bool {
        let batch = self.batch.take();
        if batch.records == 0 {
            return true;
        }
        match self.queue.0.try_send(batch) {
            Ok(()) => true,
            Err(TrySendError::Full(batch)) => {
                self.batch.replace(batch);
                false
            }
            // Whoever emptied it has ended.
            Err(TrySendError::Disconnected(batch)) => {
                self.dropped.set(self.dropped.get() + batch.records);
                true
            }
        }
    }

    async fn hand_over_soon(&self) {
        loop {
            tokio::time::sleep(TELEMETRY_PAUSE).await;
            if self.hand_over() {
                self.is_awaited.set(false);
                return;
            }
        }
    }

    /// Hands over what there is for the last time; what does not fit now never will.
    pub(crate) fn end(&self) {
        // Nothing is awaited any more.
        self.is_awaited.set(true);
        if !self.hand_over() {
            let batch = self.batch.take();
            self.dropped.set(self.dropped.get() + batch.records);
        }
    }

    /// How many records found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}

/// A thread that empties a queue.
#[derive(Debug)]
pub(crate) struct Emptying {
    pub(crate) queue: Queue,
    pub(crate) delivery: Arc<Delivery>,
    ended: Receiver<()>,
}

impl Emptying {
    /// Starts a thread that calls `deliver` with each batch; what it returns is whether the records
    /// are where they belong.
    pub(crate) fn start(
        name: &str,
        mut deliver: impl FnMut(&Batch) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, batches) = queue();
        let (alive, ended) = sync_channel(0);
        let delivery = Arc::new(Delivery::default());
        let counts = delivery.clone();
        let body = move || {
            for batch in batches {
                let is_delivered = deliver(&batch);
                counts.count(batch.records, is_delivered);
            }
            drop(alive);
        };
        std::thread::Builder::new().name(name.into()).spawn(body)?;
        Ok(Self {
            queue,
            delivery,
            ended,
        })
    }

    /// Gives the thread so long to finish what was handed over, once all workers have ended.
    pub(crate) fn finish(self, limit: std::time::Duration) {
        let Self { queue, ended, .. } = self;
        drop(queue);
        // Nothing is ever sent: it ends with the thread, or the time is over.
        let _ = ended.recv_timeout(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Vec<u8> {
        let mut record = vec![b'x'; TELEMETRY_BATCH_BYTES / 4];
        record[..8].copy_from_slice(&number.to_be_bytes());
        record
    }

    #[test]
    fn each_record_arrives_or_is_counted_as_dropped() {
        let (queue, batches) = queue();
        let gathered = Gathered::new(queue);
        let room = (TELEMETRY_BATCHES as u64 + 1) * 4;
        for number in 0..room + 5 {
            // Nobody empties the queue.
            assert_eq!(gathered.put(&record(number)), number < room, "{number}");
        }
        assert_eq!(gathered.dropped(), 5);
        let first = batches.recv().unwrap();
        assert_eq!(
            (first.records, first.bytes.len()),
            (4, TELEMETRY_BATCH_BYTES)
        );
        assert!(gathered.put(&record(0)));
        gathered.end();
        assert_eq!(gathered.dropped(), 6);
        drop(gathered);
        let rest: u64 = batches.iter().map(|batch| batch.records).sum();
        assert_eq!(first.records + rest + 6, room + 6);
    }

    #[test]
    fn what_nobody_empties_any_more_is_dropped() {
        let (queue, batches) = queue();
        let gathered = Gathered::new(queue);
        assert!(gathered.put(b"one") && gathered.put(b"two"));
        drop(batches);
        gathered.end();
        assert_eq!(gathered.dropped(), 2);
    }

    #[test]
    fn a_thread_finishes_what_was_handed_over() {
        let (seen, see) = std::sync::mpsc::channel();
        let emptying = Emptying::start("test", move |batch| {
            seen.send(batch.bytes.clone()).unwrap();
            batch.bytes != b"bad"
        });
        let emptying = emptying.unwrap();
        let delivery = emptying.delivery.clone();
        for bytes in [&b"good"[..], b"bad"] {
            let gathered = Gathered::new(emptying.queue.clone());
            assert!(gathered.put(bytes) && gathered.put(b""));
            gathered.end();
        }
        emptying.finish(std::time::Duration::from_secs(10));
        assert_eq!(
            see.iter().collect::<Vec<_>>(),
            [b"good".to_vec(), b"bad".to_vec()]
        );
        assert_eq!(delivery.read(), (2, 2));
    }
}
