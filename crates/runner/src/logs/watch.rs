//! Notices what changes in log folders: at once through inotify where the kernel grants it, and
//! by asking the caller to look at everything now and then in any case, since a watch can be
//! refused (there is a limit per user) and an event can be dropped.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// The longest time between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);

/// The same when some folder has no watch.
const LOOK_UNWATCHED: Duration = Duration::from_millis(200);

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Other folders, of services or instances.
    Folders,
    /// The segments of the source with this number.
    Source(usize),
}

/// What may have changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// There may be new folders.
    pub(super) folders: bool,
    /// There may be new records in these sources.
    pub(super) sources: BTreeSet<usize>,
    /// There may be new records in any source.
    pub(super) everywhere: bool,
}

/// Watches folders.
pub(super) struct Watch {
    inotify: Option<OwnedFd>,
    folders: HashMap<i32, Holds>,
    unwatched: bool,
    looked: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Self {
            unwatched: inotify.is_none(),
            inotify,
            folders: HashMap::new(),
            looked: Instant::now(),
        }
    }

    /// One to which the kernel grants nothing.
    #[cfg(test)]
    pub(super) fn refused() -> Self {
        Self {
            inotify: None,
            unwatched: true,
            ..Self::new()
        }
    }

    /// Watches `folder`. Whatever changed before this call must be looked for after it.
    pub(super) fn add(&mut self, folder: &Path, holds: Holds) {
        let Some(inotify) = &self.inotify else { return };
        let events = match holds {
            Holds::Folders => WatchFlags::CREATE | WatchFlags::MOVED_TO,
            Holds::Source(_) => WatchFlags::CREATE | WatchFlags::MODIFY,
        };
        match inotify::add_watch(inotify, folder, events | WatchFlags::ONLYDIR) {
            Ok(watch) => drop(self.folders.insert(watch, holds)),
            Err(_) => self.unwatched = true,
        }
    }

    /// What may have changed since the last call; does not wait.
    pub(super) fn changes(&mut self) -> io::Result<Changes> {
        let mut changes = Changes::default();
        if self.looked.elapsed() >= self.interval() {
            self.looked = Instant::now();
            changes.folders = true;
            changes.everywhere = true;
        }
        let Some(inotify) = &self.inotify else {
            return Ok(changes);
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(changes),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                changes.folders = true;
                changes.everywhere = true;
            }
            if event.events().contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
            }
            match self.folders.get(&event.wd()) {
                Some(Holds::Folders) => changes.folders = true,
                Some(&Holds::Source(source)) => drop(changes.sources.insert(source)),
                None => {}
            }
        }
    }

    /// Waits until there may be changes, at most for `limit`.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        let look = self.interval().saturating_sub(self.looked.elapsed());
        let wait = limit.map_or(look, |limit| limit.min(look));
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(wait);
            return Ok(());
        };
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn interval(&self) -> Duration {
        if self.unwatched { LOOK_UNWATCHED } else { LOOK }
    }
}
