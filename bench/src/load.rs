//! The open loop: requests come due on a schedule, wait for a free connection, and end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use crate::connection::{self, Answer, Connection, Stage};
use crate::ledger::{Fault, Ledger};
use crate::report::{Counts, FailureKind, Report};
use crate::target::{BadUrl, Target};
use crate::timer::Timer;

/// The most requests that wait for a connection; more fail at once.
const LONGEST_QUEUE: usize = 100_000;

/// Requests at a fixed rate.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where they go: `http://HOST[:PORT][/PATH]`.
    pub url: String,
    /// The header `Host`, if not the host and port of the URL.
    pub host: Option<String>,
    /// What is asked.
    pub method: Method,
    /// Requests per second; more than 0.
    pub rate: f64,
    /// How many requests can be under way at once; at least 1. Connections are opened when
    /// needed, and kept.
    pub connections: usize,
    /// How long a request may take, from when it is due to the last byte of its answer.
    pub timeout: Duration,
    /// The status of the expected answer.
    pub status: u16,
    /// What is expected of its body.
    pub body: BodyCheck,
}

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST with this body.
    Post(Vec<u8>),
}

/// Says whether a body is as expected.
pub type Predicate = dyn Fn(&[u8]) -> bool + Send + Sync;

/// What is expected of a body, of which the first MiB can be checked.
#[derive(Clone, Default)]
pub enum BodyCheck {
    /// Nothing.
    #[default]
    Any,
    /// These bytes are in it.
    Contains(Vec<u8>),
    /// This says yes.
    Accepts(Arc<Predicate>),
}

impl fmt::Debug for BodyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Contains(bytes) => write!(f, "Contains({:?})", String::from_utf8_lossy(bytes)),
            Self::Accepts(_) => f.write_str("Accepts(_)"),
        }
    }
}

impl Load {
    /// GETs of `url`, `rate` per second on up to 16 connections, each to be answered with 200
    /// within 10 seconds.
    pub fn new(url: impl Into<String>, rate: f64) -> Self {
        Self {
            url: url.into(),
            host: None,
            method: Method::Get,
            rate,
            connections: 16,
            timeout: Duration::from_secs(10),
            status: 200,
            body: BodyCheck::Any,
        }
    }

    /// Begins, on a thread of its own.
    ///
    /// # Errors
    /// The URL is of no use.
    ///
    /// # Panics
    /// The rate is not above 0, there is no connection, or the system gives no thread.
    pub fn start(self) -> Result<Running, BadUrl> {
        assert!(
            self.rate > 0.0 && self.connections > 0,
            "a load needs a rate and a connection"
        );
        let target = Target::resolve(&self.url)?;
        let request = request(&self, &target);
        let start = Instant::now();
        let shared = Arc::new(Shared {
            load: self,
            target,
            request,
            start,
            due: Semaphore::new(0),
            queue: Mutex::new(VecDeque::new()),
            ledger: Mutex::new(Ledger::new(start)),
            stopped: Mutex::new(None),
            stop: Notify::new(),
        });
        let spawned = shared.clone();
        let thread = thread::Builder::new()
            .name("load".into())
            .spawn(move || client(&spawned))
            .expect("the system gives a thread");
        Ok(Running {
            shared,
            thread: Some(thread),
        })
    }
}

/// The bytes of every request.
fn request(load: &Load, target: &Target) -> Vec<u8> {
    let host = load.host.as_deref().unwrap_or(&target.authority);
    let (method, body) = match &load.method {
        Method::Get => ("GET", None),
        Method::Post(body) => ("POST", Some(body)),
    };
    let mut head = format!("{method} {} HTTP/1.1\r\nhost: {host}\r\n", target.path);
    if let Some(body) = body {
        head += &format!("content-length: {}\r\n", body.len());
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    bytes.extend(body.into_iter().flatten());
    bytes
}

/// A load that has begun. Dropped, it stops without a report.
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    load: Load,
    target: Target,
    request: Vec<u8>,
    start: Instant,
    /// A permit for each request in the queue, and at the end one for each connection.
    due: Semaphore,
    /// When each request that waits for a connection was due.
    queue: Mutex<VecDeque<Instant>>,
    ledger: Mutex<Ledger>,
    /// When the load was stopped, if it was.
    stopped: Mutex<Option<Instant>>,
    stop: Notify,
}

impl Running {
    /// How many requests there were so far.
    pub fn counts(&self) -> Counts {
        lock(&self.shared.ledger).counts()
    }

    /// How long it has been going on: the clock that its report tells times by.
    pub fn elapsed(&self) -> Duration {
        self.shared.start.elapsed()
    }

    /// Waits until the counts meet `condition`; whether they did within `limit`.
    pub fn wait(&self, limit: Duration, condition: impl Fn(&Counts) -> bool) -> bool {
        let start = Instant::now();
        loop {
            if condition(&self.counts()) {
                return true;
            }
            if start.elapsed() >= limit {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets no more requests come due, waits until all that did have ended, and reports.
    ///
    /// # Panics
    /// The load's thread panicked, as when a body check did.
    pub fn stop(mut self) -> Report {
        let stop = self.shared.halt();
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
        let empty = Ledger::new(self.shared.start);
        std::mem::replace(&mut *lock(&self.shared.ledger), empty).close(stop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.halt();
    }
}

impl Shared {
    /// Stops the schedule; when that was first asked for.
    fn halt(&self) -> Instant {
        let stopped = *lock(&self.stopped).get_or_insert_with(Instant::now);
        self.stop.notify_one();
        stopped
    }

    /// Waits until `due`; whether the load goes on.
    async fn wait_until(&self, due: Instant, timer: &Timer) -> bool {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let stopped = lock(&self.stopped).is_some();
            if stopped || left.is_zero() {
                return !stopped;
            }
            tokio::select! {
                () = timer.wait(left) => {}
                () = self.stop.notified() => {}
            }
        }
    }
}

/// Lets requests come due, by a timer of the kernel's: the runtime's own is of milliseconds. What
/// holds up this thread makes requests late, and they say so: latency counts from the schedule.
async fn pace(shared: &Shared) {
    let timer = Timer::new().expect("the system gives a timer");
    for number in 0u64.. {
        let due = shared.start + Duration::from_secs_f64(number as f64 / shared.load.rate);
        if !shared.wait_until(due, &timer).await {
            break;
        }
        lock(&shared.ledger).sent();
        let mut queue = lock(&shared.queue);
        if queue.len() < LONGEST_QUEUE {
            queue.push_back(due);
            drop(queue);
            shared.due.add_permits(1);
        } else {
            drop(queue);
            let detail = format!("{LONGEST_QUEUE} requests wait for a connection already");
            lock(&shared.ledger).ended(due, Err(Fault::new(FailureKind::QueueFull, detail)));
        }
    }
    // Who gets one of these and finds the queue empty knows that there will be no more.
    shared.due.add_permits(shared.load.connections);
}

/// Runs all connections until there is nothing more to do.
fn client(shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system gives an epoll instance");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut connections = tokio::task::JoinSet::new();
        let paced = shared.clone();
        connections.spawn_local(async move { pace(&paced).await });
        for _ in 0..shared.load.connections {
            connections.spawn_local(serve(shared.clone()));
        }
        connections.join_all().await;
    });
}

/// Makes requests on one connection at a time.
async fn serve(shared: Arc<Shared>) {
    let mut connection = None;
    loop {
        let permit = shared.due.acquire().await;
        permit.expect("the semaphore is never closed").forget();
        let Some(due) = lock(&shared.queue).pop_front() else {
            return;
        };
        let outcome = shared.attempt(due, &mut connection).await;
        lock(&shared.ledger).ended(due, outcome);
    }
}

impl Shared {
    async fn attempt(&self, due: Instant, slot: &mut Option<Connection>) -> Result<(), Fault> {
        let deadline = due + self.load.timeout;
        let stage = Stage::new("waiting for a free connection");
        let late = || {
            let detail = format!("{:?} were up while {}", self.load.timeout, stage.get());
            Fault::new(FailureKind::Timeout, detail)
        };
        if Instant::now() >= deadline {
            return Err(late());
        }
        let exchange = connection::exchange(slot, self.target.address, &self.request, &stage);
        let answer = tokio::time::timeout_at(deadline.into(), exchange).await;
        self.judge(answer.map_err(|_| late())??)
    }

    fn judge(&self, answer: Answer) -> Result<(), Fault> {
        if answer.status != self.load.status {
            let reason = answer
                .reason
                .map(|reason| format!("roadbed-reason: {reason}; "));
            let body = excerpt(&answer.body);
            let detail = format!("{}body {body}", reason.unwrap_or_default());
            return Err(Fault::new(FailureKind::Status(answer.status), detail));
        }
        let accepted = match &self.load.body {
            BodyCheck::Any => return Ok(()),
            BodyCheck::Contains(bytes) => {
                bytes.is_empty() || answer.body.windows(bytes.len()).any(|part| part == bytes)
            }
            BodyCheck::Accepts(accepts) => accepts(&answer.body),
        };
        if accepted {
            return Ok(());
        }
        let cut = if answer.whole {
            ""
        } else {
            " (only its first MiB was checked)"
        };
        let detail = format!("not as expected{cut}: {}", excerpt(&answer.body));
        Err(Fault::new(FailureKind::Body, detail))
    }
}

/// The beginning of a body, quoted.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let more = if body.len() > 200 { " …" } else { "" };
    format!("{text:?}{more}")
}

/// Locks, also after a panic elsewhere: every change under these locks is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
