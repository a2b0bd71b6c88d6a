//! Clears away what nobody claims any more.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use crate::machine::Identity;
use crate::processes::leftovers::{self, kill_all};
use crate::processes::mark::marked;
use crate::processes::{Inner, Processes, blocking};
use crate::unit::{Start, UnitName};

/// What a sweep cleared away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// The ids of the processes that it killed.
    pub killed: Vec<u32>,
    /// The starts of units whose folders it removed.
    pub removed: Vec<(UnitName, u32)>,
}

impl Processes {
    /// Kills all processes of this home that belong to no start in `keep`, and removes the folders
    /// of all other starts. What an earlier server ran for itself ([`Self::mark`]) is ended too.
    /// Call it when a server begins, before it launches anything.
    pub async fn sweep(&self, keep: &BTreeSet<(UnitName, u32)>) -> io::Result<Swept> {
        let inner = self.inner.clone();
        let keep = keep
            .iter()
            .map(|(unit, attempt)| Start {
                unit: unit.clone(),
                attempt: *attempt,
            })
            .collect();
        blocking(move || sweep(&inner, &keep)).await
    }
}

fn sweep(inner: &Inner, keep: &BTreeSet<Start>) -> io::Result<Swept> {
    let mut swept = Swept::default();
    let unclaimed = unclaimed_folders(inner, keep)?;
    let mut killed = BTreeSet::new();
    killed.extend(kill_all(|| unclaimed_processes(inner, keep))?);
    for start in unclaimed {
        let folder = inner.folder(&start);
        // By the session, after the mark: see `leftovers`.
        let running = folder.running()?;
        let left = || leftovers::of_start(&inner.home, &start, running.as_ref());
        killed.extend(kill_all(left)?);
        if folder.lock()?.is_none() {
            let error = format!(
                "{} is held by a process that cannot be found; see `fuser` of its lock",
                folder.path().display()
            );
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, error));
        }
        folder.remove()?;
        swept.removed.push((start.unit, start.attempt));
    }
    swept.killed = killed
        .into_iter()
        .map(|process: Identity| process.pid)
        .collect();
    Ok(swept)
}

fn unclaimed_processes(inner: &Inner, keep: &BTreeSet<Start>) -> io::Result<Vec<Identity>> {
    let unclaimed = marked(&inner.home)?
        .into_iter()
        .filter(|process| match process.start() {
            Some(start) => !keep.contains(&start),
            None => process.holder != inner.own_mark,
        })
        .map(|process| process.identity)
        .collect();
    Ok(unclaimed)
}

fn unclaimed_folders(inner: &Inner, keep: &BTreeSet<Start>) -> io::Result<Vec<Start>> {
    let mut unclaimed = Vec::new();
    for entry in fs::read_dir(&inner.units)? {
        // Whatever has no start's name is not a start's folder, and not ours to remove.
        let start = entry?.file_name().to_str().and_then(Start::parse);
        unclaimed.extend(start.filter(|start| !keep.contains(start)));
    }
    Ok(unclaimed)
}
