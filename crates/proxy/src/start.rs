//! Starting: folders, descriptors, what is on disk, threads.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::control::{self, Control};
use crate::failure::StartError;
use crate::limits::{LOCK_ATTEMPTS, LOCK_INTERVAL, RESERVED_DESCRIPTORS, RESERVED_TABLE};
use crate::messages::{Command, Event, Reporter};
use crate::persist::SnapshotFiles;
use crate::rate_limit::Limiters;
use crate::settings::Settings;
use crate::telemetry::Queues;
use crate::telemetry::threads::Threads;
use crate::tls;
use crate::worker;

/// Runs a proxy on this thread and its workers until SIGTERM, then until what is in flight is
/// finished or the drain limit is over. Must not be called within a tokio runtime.
///
/// # Errors
/// The proxy cannot start, or a thread of it is lost.
pub fn run(settings: Settings) -> Result<(), StartError> {
    let folder = settings.state_folder();
    let in_folder = |source| StartError::Folder {
        folder: folder.clone(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(in_folder)?;
    let lock = lock(&folder, &settings.home)?;
    let (files, saved) = SnapshotFiles::open(&folder).map_err(in_folder)?;
    let worker_count = settings.worker_count();
    let most_connections = most_connections(worker_count);
    reserve_descriptors().map_err(StartError::Runtime)?;
    tracing::info!(workers = worker_count, most_connections, "starting");
    let (events, from_workers) = unbounded_channel();
    let limiters = Arc::<Limiters>::default();
    let telemetry = Threads::start(&settings).map_err(StartError::Runtime)?;
    let workers = (0..worker_count)
        .map(|number| {
            let reporter = Reporter {
                worker: number,
                to: events.clone(),
            };
            start_worker(
                &settings,
                most_connections,
                reporter,
                (limiters.clone(), telemetry.queues()),
            )
        })
        .collect::<Result<_, _>>()?;
    drop(events);
    let tls = tls::Keeper::new().map_err(|error| StartError::Runtime(io::Error::other(error)))?;
    let shown = (settings.metrics, telemetry.far_end());
    let control = Control::new(files, workers, from_workers, tls, shown);
    // Once nothing is accepted any more, a successor may take the folder and the ports.
    let ended = control::run(control, &settings, saved, move || drop(lock));
    telemetry.finish();
    ended
}

/// Whether a proxy runs for the home at `home`.
pub fn is_running(home: &Path) -> bool {
    let lock = Settings::new(home).state_folder().join("lock");
    // Where there is no such file no proxy has ever run.
    File::open(lock).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// Makes sure that no other proxy uses the folder for as long as the file is held.
fn lock(folder: &Path, home: &Path) -> Result<File, StartError> {
    let in_folder = |source| StartError::Folder {
        folder: folder.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(folder.join("lock")).map_err(in_folder)?;
    let mut attempts = LOCK_ATTEMPTS;
    loop {
        attempts -= 1;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            // [`is_running`] has it for an instant whenever somebody asks.
            Err(rustix::io::Errno::WOULDBLOCK) if attempts > 0 => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StartError::AlreadyRunning {
                    home: home.to_owned(),
                });
            }
            Err(error) => return Err(in_folder(error.into())),
        }
    }
}

/// Has the kernel make room in the table of descriptors while this process has one thread. Where
/// there are several, it waits for all of them whenever the table grows, and with them all requests
/// wait for some ten milliseconds.
fn reserve_descriptors() -> io::Result<()> {
    let file = File::open("/dev/null")?;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let highest = i32::try_from(limit.min(RESERVED_TABLE)).unwrap_or(i32::MAX) - 1;
    rustix::io::fcntl_dupfd_cloexec(&file, highest)?;
    Ok(())
}

fn start_worker(
    settings: &Settings,
    most_connections: usize,
    reporter: Reporter,
    (limiters, queues): (Arc<Limiters>, Queues),
) -> Result<UnboundedSender<Command>, StartError> {
    let (commands, receiver) = unbounded_channel();
    let (limits, workers) = (settings.limits.clone(), settings.worker_count());
    let body = move || {
        let ended = ReportEnd(reporter.clone());
        let shared = (limiters, queues);
        let counts = (workers, most_connections);
        if let Err(error) = worker::run(limits, counts, receiver, reporter, shared) {
            tracing::error!(%error, "a worker cannot run");
        }
        drop(ended);
    };
    std::thread::Builder::new()
        .name("proxy-worker".into())
        .spawn(body)
        .map_err(StartError::Runtime)?;
    Ok(commands)
}

/// Reports the worker's end however it comes about, a panic included.
struct ReportEnd(Reporter);

impl Drop for ReportEnd {
    fn drop(&mut self) {
        self.0.report(Event::Ended);
    }
}

/// Raises the limit on open files as far as allowed, and shares it out: each client's connection
/// may need another to a backend.
fn most_connections(workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // No limit at all would be a limit of memory; a million connections is beyond one process.
    let descriptors = descriptors.unwrap_or(u64::MAX).min(2_000_000);
    let for_clients = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2 / workers as u64;
    usize::try_from(for_clients).unwrap_or(usize::MAX).max(16)
}
