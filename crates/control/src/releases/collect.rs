//! Removing what no release needs: contents, and unpacked releases that do not run. It asks the
//! store what is needed, and touches nothing that Roadbed did not make.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use artifacts::{ContentError, on_disk};
use model::{AppName, Desired, Digest, InstanceRecord, Release};
use store::Store;
use tokio::sync::Notify;

use super::retention::{Candidate, beyond_budget};
use super::unpacked::NEW;
use super::{KeptReleases, ReleaseFiles, remove};
use crate::state::{StateError, decode, keys};

/// How long contents are there that no release has: they may just have been sent for one, and an app
/// that was taken down is often started again.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// How often it is looked without a reason.
const PERIOD: Duration = Duration::from_secs(10 * 60);

/// Why nothing, or not all, was removed.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Contents(#[from] ContentError),
    #[error("the task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Removes what is not needed, whenever that may have become more.
pub(crate) struct Collector {
    pub(crate) files: Arc<ReleaseFiles>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) kept: KeptReleases,
    /// Woken when releases are found that the budget has no room for.
    pub(crate) wake: Arc<Notify>,
    /// What the releases of each app had at the last look.
    pub(crate) before: BTreeMap<AppName, BTreeSet<Digest>>,
}

/// What the store says that is needed.
#[derive(Default)]
struct Needed {
    releases: Vec<(Release, bool)>,
    unpacked: BTreeSet<(AppName, u64)>,
    apps: BTreeSet<AppName>,
}

impl Collector {
    /// Does so until it is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            if let Err(error) = self.collect().await {
                tracing::warn!(%error, "what no release needs cannot be removed");
            }
            let woken = self.files.collect.notified();
            // Whichever comes first.
            let _ = tokio::time::timeout(PERIOD, woken).await;
        }
    }

    async fn collect(&mut self) -> Result<(), CollectError> {
        let files = Arc::clone(&self.files);
        // Nothing is deployed meanwhile, so that nothing becomes needed after it was asked for.
        let _alone = files.in_use.write().await;
        let needed = self.needed().await?;
        let (files, before, budget) = (Arc::clone(&files), self.before.clone(), self.kept.bytes);
        let work = move || remove_unneeded(&files, &needed, before, budget);
        let (now, beyond) = tokio::task::spawn_blocking(work).await??;
        self.before = now;
        let is_more = !beyond.is_empty();
        self.files.set_beyond_budget(beyond);
        if is_more {
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn needed(&self) -> Result<Needed, StateError> {
        let mut needed = Needed::default();
        for entry in self.store.list(keys::DESIRED).await?.entries {
            let desired: Desired = decode(&entry.key, &entry.value)?;
            let app = AppName::new(&entry.key[keys::DESIRED.len()..])
                .map_err(|error| StateError::Key(entry.key.clone(), error))?;
            // Files of a rollout that was just given up may be served for another moment.
            let mut running = BTreeSet::from([desired.target, desired.rollout.release]);
            running.extend(desired.confirmed);
            for entry in self.store.list(&keys::instances(&app)).await?.entries {
                let record: InstanceRecord = decode(&entry.key, &entry.value)?;
                running.insert(record.id.release);
            }
            for entry in self.store.list(&keys::releases(&app)).await?.entries {
                let release: Release = decode(&entry.key, &entry.value)?;
                // What a rollback goes back to is kept as long as there is anything to go back to.
                let number = release.number;
                let is_needed = running.contains(&number) || desired.ran_before() == Some(number);
                needed.releases.push((release, is_needed));
            }
            let running = running.into_iter().map(|number| (app.clone(), number));
            needed.unpacked.extend(running);
            needed.apps.insert(app);
        }
        Ok(needed)
    }
}

type Collected = (
    BTreeMap<AppName, BTreeSet<Digest>>,
    BTreeSet<(AppName, u64)>,
);

/// Removes what is not needed. Says what each app's releases have now, and which releases the budget
/// has no room for.
fn remove_unneeded(
    files: &ReleaseFiles,
    needed: &Needed,
    before: BTreeMap<AppName, BTreeSet<Digest>>,
    budget: u64,
) -> Result<Collected, CollectError> {
    let mut candidates = Vec::new();
    let mut now: BTreeMap<AppName, BTreeSet<Digest>> = BTreeMap::new();
    let mut unpacked_bytes = 0;
    for (release, is_needed) in &needed.releases {
        let app = &release.app.name;
        let Some(packed) = &release.files else {
            continue;
        };
        let manifest = files.contents.manifest(packed.manifest)?;
        let mut contents = manifest.contents();
        contents.insert(packed.source, 1);
        contents.insert(packed.manifest, manifest.encode().len() as u64);
        let contents: BTreeMap<Digest, u64> = contents
            .into_iter()
            .map(|(digest, size)| (digest, on_disk([size].into_iter())))
            .collect();
        if needed.unpacked.contains(&(app.clone(), release.number)) {
            unpacked_bytes += on_disk(manifest.sizes());
        }
        now.entry(app.clone()).or_default().extend(contents.keys());
        candidates.push(Candidate {
            app: app.clone(),
            number: release.number,
            created: release.created.0,
            is_needed: *is_needed,
            contents,
        });
    }
    let kept: BTreeSet<Digest> = now.values().flatten().copied().collect();
    let left_by_releases = before
        .into_iter()
        .filter(|(app, _)| needed.apps.contains(app));
    let unused: BTreeSet<Digest> = left_by_releases.flat_map(|(_, digests)| digests).collect();
    let taken = files.contents.collect(&kept, &unused, GRACE)?;
    remove_unpacked(files, &needed.unpacked);
    let of_releases: BTreeMap<Digest, u64> = candidates
        .iter()
        .flat_map(|candidate| candidate.contents.clone())
        .collect();
    let of_releases = of_releases.values().sum();
    let mut others = taken.saturating_sub(of_releases);
    if others > 0 && taken + unpacked_bytes > budget {
        // What was only kept in case that it is wanted again.
        let left = files
            .contents
            .collect(&kept, &unused, Duration::from_secs(60))?;
        others = left.saturating_sub(of_releases);
    }
    let beyond = beyond_budget(&candidates, others + unpacked_bytes, budget);
    Ok((now, beyond))
}

/// Removes unpacked releases but those of `running`.
fn remove_unpacked(files: &ReleaseFiles, running: &BTreeSet<(AppName, u64)>) {
    for of_app in folders(files.home.unpacked()) {
        let name = of_app.file_name().and_then(|name| name.to_str());
        if name == Some(NEW) {
            // Nothing is being unpacked now.
            remove(&of_app);
            continue;
        }
        let Some(app) = name.and_then(|name| AppName::new(name).ok()) else {
            continue;
        };
        for folder in folders(of_app.clone()) {
            let number = folder
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            if number.is_some_and(|number| !running.contains(&(app.clone(), number))) {
                remove(&folder);
            }
        }
        // It stays if anything is left in it.
        let _ = fs::remove_dir(&of_app);
    }
}

fn folders(within: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(within).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}
