//! Reads the logs of all instances of a service, or of an app, as one.
//!
//! What is on disk comes in the order of its times. When following, later records come as they
//! are found, in the order of their times as far as they are found together.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{AppName, ServiceName};

use super::position;
use super::watch::{Changes, Holds, Watch};
use super::{Cursor, Record, Records, Timestamp};

/// After how many records a follower that never runs dry looks for what is new elsewhere.
const LOOK_EVERY: usize = 256;

/// Which records are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of the records on disk at the beginning, only this many of the last.
    pub tail: Option<usize>,
    /// None that are older than this.
    pub since: Option<Timestamp>,
    /// Also what is written from then on, by instances that start later too.
    pub follow: bool,
}

/// The records of several instances in one sequence.
pub struct Merged {
    /// The folder of the app, or of its one service that is wanted.
    root: PathBuf,
    /// Folders between that and the records: 1 for a service, 2 for an app.
    depth: usize,
    selection: Selection,
    /// Instances, each in its place as long as its folder is there.
    sources: Vec<Option<Source>>,
    /// The folders that are known: those of instances and those above them.
    known: HashSet<PathBuf>,
    /// Sources whose next record is at hand, by its time.
    ready: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Sources in which there may be more, though no record is at hand.
    stale: Vec<usize>,
    /// Records still to be left out, since only the last ones are wanted.
    surplus: usize,
    since_look: usize,
    watch: Option<Watch>,
}

/// One instance.
struct Source {
    records: Records,
    /// The next record, and where it begins.
    head: Option<(Cursor, Record)>,
    /// The end of what was there at the beginning.
    end: Cursor,
}

impl Merged {
    /// Reads the logs of `app`, or of its `service` only, below the folder `logs`.
    ///
    /// An app without any log is an empty sequence, or when following one that has not begun.
    ///
    /// # Errors
    /// A folder or segment cannot be read.
    pub fn open(
        logs: &Path,
        app: &AppName,
        service: Option<&ServiceName>,
        selection: Selection,
    ) -> io::Result<Self> {
        let app = logs.join(app.as_str());
        let (root, depth) = match service {
            Some(service) => (app.join(service.as_str()), 1),
            None => (app, 2),
        };
        let mut merged = Self {
            root,
            depth,
            selection,
            sources: Vec::new(),
            known: HashSet::new(),
            ready: BinaryHeap::new(),
            stale: Vec::new(),
            surplus: 0,
            since_look: 0,
            watch: selection.follow.then(Watch::new),
        };
        merged.discover()?;
        merged.position()?;
        Ok(merged)
    }

    /// The next record. `None` at the end of what was on disk or, when following, if there was
    /// none for `wait`; without `wait` it is waited for however long it takes.
    ///
    /// # Errors
    /// A folder or segment cannot be read.
    pub fn next(&mut self, wait: Option<Duration>) -> io::Result<Option<Record>> {
        let deadline = wait.and_then(|wait| Instant::now().checked_add(wait));
        loop {
            if let Some(record) = self.take()? {
                return Ok(Some(record));
            }
            if self.watch.is_none() {
                return Ok(None);
            }
            self.look()?;
            if !self.ready.is_empty() {
                continue;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if let Some(watch) = &self.watch {
                watch.wait(left)?;
            }
        }
    }

    /// The next wanted record among those that can be had without looking around.
    fn take(&mut self) -> io::Result<Option<Record>> {
        loop {
            if self.watch.is_some() && self.since_look >= LOOK_EVERY {
                self.look()?;
            }
            self.refill()?;
            let Some(Reverse((_, index))) = self.ready.pop() else {
                return Ok(None);
            };
            self.since_look += 1;
            self.stale.push(index);
            let Some(source) = &mut self.sources[index] else {
                continue;
            };
            let Some((start, record)) = source.head.take() else {
                continue;
            };
            let old = start < source.end;
            if self.selection.since.is_some_and(|since| record.at < since) {
                continue;
            }
            if self.surplus > 0 && old {
                self.surplus -= 1;
                continue;
            }
            return Ok(Some(record));
        }
    }

    /// Takes note of what changed, and gets the next record of every source that lacks one.
    fn look(&mut self) -> io::Result<()> {
        self.since_look = 0;
        let changes = match &mut self.watch {
            Some(watch) => watch.changes()?,
            None => Changes::default(),
        };
        if changes.folders {
            self.discover()?;
        }
        if changes.everywhere {
            self.stale = (0..self.sources.len()).collect();
        } else {
            self.stale.extend(changes.sources);
        }
        self.refill()?;
        if changes.everywhere {
            self.forget();
        }
        Ok(())
    }

    /// Forgets instances that are gone and read to their end: many come and go while a follower lives.
    fn forget(&mut self) {
        let mut gone = HashSet::new();
        for place in &mut self.sources {
            let is_over =
                |source: &Source| source.head.is_none() && !source.records.folder().is_dir();
            if let Some(source) = place.take_if(|source| is_over(source)) {
                gone.insert(source.records.folder().to_owned());
            }
        }
        if !gone.is_empty() {
            // The folder of a service that is gone would be a new one when it is back.
            let above = |folder: &PathBuf| gone.iter().any(|inner| inner.starts_with(folder));
            self.known
                .retain(|folder| !gone.contains(folder) && (!above(folder) || folder.is_dir()));
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        while let Some(&index) = self.stale.last() {
            if let Some(source) = &mut self.sources[index]
                && source.head.is_none()
            {
                let start = source.records.cursor();
                if let Some(record) = source.records.try_next()? {
                    self.ready.push(Reverse((record.at, index)));
                    source.head = Some((start, record));
                }
            }
            self.stale.pop();
        }
        Ok(())
    }

    /// Looks at everything, whether or not it is known to have changed: for a follower that is
    /// about to end and wants nothing to be missing.
    ///
    /// # Errors
    /// A folder or segment cannot be read.
    pub fn look_everywhere(&mut self) -> io::Result<()> {
        self.discover()?;
        self.stale = (0..self.sources.len()).collect();
        self.refill()
    }

    /// As long as the root is not there, watches the folder in which it or one above it will
    /// appear.
    fn await_root(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        while !self.root.is_dir() {
            let nearest = self.root.ancestors().skip(1).find(|folder| folder.is_dir());
            match nearest {
                Some(folder) if self.known.insert(folder.to_owned()) => {
                    watch.add(folder, Holds::Folders);
                }
                _ => return,
            }
        }
    }

    /// Finds folders of instances that are not known yet.
    fn discover(&mut self) -> io::Result<()> {
        self.await_root();
        let mut folders = vec![(self.root.clone(), self.depth)];
        while let Some((folder, depth)) = folders.pop() {
            if depth == 0 {
                if !self.known.contains(&folder) {
                    self.add(folder)?;
                }
                continue;
            }
            let new = !self.known.contains(&folder) && folder.is_dir();
            if let Some(watch) = self.watch.as_mut().filter(|_| new) {
                watch.add(&folder, Holds::Folders);
            }
            if new {
                self.known.insert(folder.clone());
            }
            folders.extend(
                subfolders(&folder)?
                    .into_iter()
                    .map(|inner| (inner, depth - 1)),
            );
        }
        Ok(())
    }

    fn add(&mut self, folder: PathBuf) -> io::Result<()> {
        // A place that is free is taken again. What was told of who had it before only makes us look.
        let free = self.sources.iter().position(Option::is_none);
        let index = free.unwrap_or(self.sources.len());
        if let Some(watch) = &mut self.watch {
            watch.add(&folder, Holds::Source(index));
        }
        let records = Records::open(&folder)?;
        let source = Source {
            records,
            head: None,
            end: Cursor::start_of(0),
        };
        match self.sources.get_mut(index) {
            Some(place) => *place = Some(source),
            None => self.sources.push(Some(source)),
        }
        self.stale.push(index);
        self.known.insert(folder);
        Ok(())
    }

    /// Puts every source where the selection begins.
    fn position(&mut self) -> io::Result<()> {
        let mut found = 0;
        for source in self.sources.iter_mut().flatten() {
            let folder = source.records.folder();
            let end = position::end(folder)?.unwrap_or(source.records.cursor());
            let mut start = match self.selection.since {
                Some(since) => position::since(folder, since)?,
                None => source.records.cursor(),
            };
            if let Some(most) = self.selection.tail {
                let (tail, records) = position::tail(folder, most, start, end)?;
                start = tail;
                found += records;
            }
            source.records.seek(start);
            source.end = end;
            if !self.selection.follow {
                source.records.stop_at(end);
            }
        }
        self.surplus = found.saturating_sub(self.selection.tail.unwrap_or(found));
        Ok(())
    }
}

/// The folders in `folder`, in the order of their names; none if it does not exist.
fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{LogLimits, LogWriter, Stream};

    #[test]
    fn instances_that_are_gone_are_forgotten_once_they_are_read() {
        let logs = tempfile::tempdir().unwrap();
        let app = AppName::new("shop").unwrap();
        let selection = Selection {
            follow: true,
            ..Selection::default()
        };
        let mut merged = Merged::open(logs.path(), &app, None, selection).unwrap();
        // With it each look is one at everything.
        merged.watch = Some(Watch::refused());
        for number in 0..50 {
            let instance = format!("shop.web.1.{number}");
            let service = logs.path().join("shop/web");
            let folder = service.join(&instance);
            let mut writer = LogWriter::open(&folder, LogLimits::default()).unwrap();
            writer.write(Stream::Stdout, b"one\n");
            let record = merged.next(Some(Duration::from_secs(20))).unwrap().unwrap();
            assert_eq!(*record.instance, *instance);
            drop(writer);
            // Sometimes the whole service goes, and comes back.
            let gone = if number % 2 == 0 { &service } else { &folder };
            std::fs::remove_dir_all(gone).unwrap();
            while merged.sources.iter().flatten().next().is_some() {
                assert!(
                    merged
                        .next(Some(Duration::from_millis(10)))
                        .unwrap()
                        .is_none()
                );
            }
            assert!(merged.known.iter().all(|known| !known.starts_with(&folder)));
        }
        assert_eq!(merged.sources.len(), 1);
    }

    #[test]
    fn a_follower_without_inotify_finds_lines_and_instances_all_the_same() {
        let logs = tempfile::tempdir().unwrap();
        let app = AppName::new("shop").unwrap();
        let selection = Selection {
            follow: true,
            ..Selection::default()
        };
        let mut merged = Merged::open(logs.path(), &app, None, selection).unwrap();
        merged.watch = Some(Watch::refused());
        for instance in ["shop.web.1.1", "shop.web.1.2", "shop.orders.1.1"] {
            let service = instance.split('.').nth(1).unwrap();
            let folder = logs.path().join("shop").join(service).join(instance);
            let mut writer = LogWriter::open(&folder, LogLimits::default()).unwrap();
            for line in [&b"one"[..], b"two"] {
                writer.write(Stream::Stdout, &[line, b"\n"].concat());
                let record = merged.next(Some(Duration::from_secs(20))).unwrap().unwrap();
                assert_eq!((&*record.instance, &*record.text), (instance, line));
            }
        }
    }
}
