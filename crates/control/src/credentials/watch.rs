//! Watching the files: a thread of its own looks at them again and again, since a disk may be slow,
//! and says what has changed for the better. What has become worse is told and changes nothing.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use model::{AppName, Credentials, ServiceName};
use tokio::sync::Notify;

use super::file::Fingerprint;
use super::{Read, Source, certificate, kept};

/// The time between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// The same while something is wrong with one of them: often only half of it is written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is watched for one service of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) app: AppName,
    pub(crate) release: u64,
    pub(crate) service: ServiceName,
    pub(crate) source: Source,
    /// What was last found to be good.
    pub(crate) kept: Option<Read>,
}

impl Watched {
    /// What is watched of a release.
    pub(crate) fn of(release: &model::Release, credentials: &Credentials) -> Vec<Self> {
        let sources = super::sources(&release.app, &release.folder);
        let watched = sources.into_iter().map(|(service, source)| Self {
            app: release.app.name.clone(),
            release: release.number,
            kept: kept(credentials, &service, &source),
            service,
            source,
        });
        watched.collect()
    }

    fn key(&self) -> Key {
        let kind = match self.source {
            Source::Certificate { .. } => Kind::Certificate,
            Source::Authority { .. } => Kind::Authority,
        };
        (self.app.clone(), self.release, self.service.clone(), kind)
    }

    /// What it is called in a message.
    fn name(&self) -> String {
        match &self.source {
            Source::Certificate { host, .. } => format!("the certificate of {host}"),
            Source::Authority { .. } => "its authority".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Certificate,
    Authority,
}

type Key = (AppName, u64, ServiceName, Kind);

/// Something new that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) app: AppName,
    pub(crate) release: u64,
    pub(crate) service: ServiceName,
    pub(crate) read: Read,
}

/// What the thread has seen and nobody has taken yet.
#[derive(Default)]
struct Seen {
    found: BTreeMap<Key, Found>,
    warnings: BTreeMap<Key, String>,
}

/// Holds the thread; when this is dropped the thread ends.
pub(crate) struct Watcher {
    watched: Vec<Watched>,
    orders: mpsc::Sender<Vec<Watched>>,
    seen: Arc<Mutex<Seen>>,
}

impl Watcher {
    /// Watches nothing yet. `wake` is notified whenever something is seen to change.
    pub(crate) fn start(wake: Arc<Notify>) -> std::io::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = Arc::clone(&seen);
        std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || look_forever(&ordered, &shared, &wake))?;
        Ok(Self {
            watched: Vec::new(),
            orders,
            seen,
        })
    }

    /// Watches this from now on.
    pub(crate) fn watch(&mut self, watched: Vec<Watched>) {
        if watched != self.watched {
            self.watched.clone_from(&watched);
            if self.orders.send(watched).is_err() {
                let error = "the thread that looks at files for TLS is gone, and so renewed files \
                             are not noticed; restart the server";
                tracing::error!("{error}");
            }
        }
    }

    /// What is new and good since the last time.
    pub(crate) fn take_found(&self) -> Vec<Found> {
        let found = std::mem::take(&mut lock(&self.seen).found);
        found.into_values().collect()
    }

    /// What is wrong with the files of a release, by service, or will soon be.
    pub(crate) fn warnings(&self, app: &AppName, release: u64) -> Vec<(ServiceName, String)> {
        let seen = lock(&self.seen);
        let of_release = seen
            .warnings
            .iter()
            .filter(|((of, number, ..), _)| of == app && *number == release);
        of_release
            .map(|((_, _, service, _), warning)| (service.clone(), warning.clone()))
            .collect()
    }
}

/// A thread that panicked left whole maps behind.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until nobody gives orders any more.
fn look_forever(orders: &mpsc::Receiver<Vec<Watched>>, seen: &Mutex<Seen>, wake: &Notify) {
    let mut watched = Vec::new();
    let mut good = BTreeMap::new();
    let mut pause = LOOK;
    loop {
        match orders.recv_timeout(pause) {
            Ok(next) => watched = orders.try_iter().last().unwrap_or(next),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = SystemTime::now();
        let looked = look(&watched, &mut good, now);
        pause = match looked.is_wrong {
            true => LOOK_AGAIN,
            false => LOOK,
        };
        let mut seen = lock(seen);
        let changed = !looked.seen.found.is_empty() || looked.seen.warnings != seen.warnings;
        for (key, warning) in &looked.seen.warnings {
            if seen.warnings.get(key) != Some(warning) {
                tracing::warn!(app = %key.0, release = key.1, service = %key.2, "{warning}");
            }
        }
        *seen = looked.seen;
        drop(seen);
        if changed {
            wake.notify_one();
        }
    }
}

/// What one look at all files gives.
struct Looked {
    seen: Seen,
    /// Whether a file is wrong now, and may soon be right.
    is_wrong: bool,
}

/// Looks at the files. Those that are as they were when they were last found to say what is kept
/// are not read again: `good` has them.
fn look(
    watched: &[Watched],
    good: &mut BTreeMap<Key, Vec<Option<Fingerprint>>>,
    now: SystemTime,
) -> Looked {
    let mut looked = Looked {
        seen: Seen::default(),
        is_wrong: false,
    };
    let mut still_good = BTreeMap::new();
    for watched in watched {
        let key = watched.key();
        let files = watched.source.files();
        let fingerprints: Vec<_> = files.map(|file| Fingerprint::of(&file.path)).collect();
        let is_known = good.get(&key) == Some(&fingerprints);
        match is_known.then(|| watched.kept.clone()).flatten() {
            Some(_) => {
                still_good.insert(key.clone(), fingerprints);
            }
            None => match watched.source.read(now) {
                // Known to be good only once it is kept: until then it may get lost.
                Ok(read) if watched.kept.as_ref() == Some(&read) => {
                    still_good.insert(key.clone(), fingerprints);
                }
                Ok(read) => {
                    let found = Found {
                        app: watched.app.clone(),
                        release: watched.release,
                        service: watched.service.clone(),
                        read,
                    };
                    looked.seen.found.insert(key, found);
                    continue;
                }
                Err(problem) => {
                    looked.is_wrong = true;
                    let stays = match watched.kept {
                        Some(_) => "stays as it was",
                        None => "cannot be used",
                    };
                    let warning = format!("{} {stays}: {problem}", watched.name());
                    looked.seen.warnings.insert(key, warning);
                    continue;
                }
            },
        }
        if let Some(warning) = expires(watched, now) {
            looked.seen.warnings.insert(key, warning);
        }
    }
    *good = still_good;
    looked
}

/// That a certificate which is served expires soon, or has expired.
fn expires(watched: &Watched, now: SystemTime) -> Option<String> {
    let Some(Read::Certificate(kept)) = &watched.kept else {
        return None;
    };
    let expires = certificate::expires(&kept.chain, now)?;
    Some(format!("{} {expires}", watched.name()))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
