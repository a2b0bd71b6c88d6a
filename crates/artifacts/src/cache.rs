//! What files had as content when they were last read, by what the kernel says of them: what has not
//! changed since is not read again.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Digest;
use serde::{Deserialize, Serialize};

use crate::digest::digest_of;

/// A file that was changed so shortly before it was read may have been changed once more within the
/// same tick of the file system's clock, and look the same.
const TICK: Duration = Duration::from_secs(2);

/// Folders whose files are remembered: those that were packed last.
const MOST_FOLDERS: usize = 64;

/// A file as the kernel tells of it. The time at which its state was changed (`ctime`) cannot be set
/// back by anybody, so two that are the same have the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    changed: i64,
}

impl From<&Metadata> for State {
    fn from(metadata: &Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl State {
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let then = now.saturating_sub(TICK).as_nanos();
        i128::from(self.changed) < i128::try_from(then).unwrap_or_default()
    }
}

/// The contents of the files of one folder.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    file: Option<PathBuf>,
    before: BTreeMap<String, (State, Digest)>,
    now: BTreeMap<String, (State, Digest)>,
}

impl Cache {
    /// What is remembered of `folder` in a file of `caches`. What cannot be read is not remembered.
    pub(crate) fn read(caches: Option<&Path>, folder: &Path) -> Self {
        let name = digest_of(folder.as_os_str().as_encoded_bytes()).to_string();
        let file = caches.map(|caches| caches.join(name));
        let text = file.as_ref().and_then(|file| fs::read(file).ok());
        let before = text.and_then(|text| serde_json::from_slice(&text).ok());
        Self {
            file,
            before: before.unwrap_or_default(),
            now: BTreeMap::new(),
        }
    }

    /// The content of a file that is in this state.
    pub(crate) fn content(&self, path: &str, state: &State) -> Option<Digest> {
        let (then, digest) = self.before.get(path)?;
        (then == state).then_some(*digest)
    }

    /// Notes the content of a file.
    pub(crate) fn note(&mut self, path: &str, state: State, digest: Digest) {
        self.now.insert(path.to_owned(), (state, digest));
    }

    /// Keeps what was noted. It is a loss of time and not of content if that cannot be done.
    pub(crate) fn keep(mut self, begun: SystemTime) -> std::io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.now.retain(|_, (state, _)| state.is_settled(begun));
        if self.now == self.before {
            return Ok(());
        }
        if let Some(caches) = file.parent() {
            crate::files::make_private_folder(caches)?;
            forget_oldest(caches)?;
        }
        let new = file.with_extension(format!("new-{}", std::process::id()));
        let text = serde_json::to_vec(&self.now)?;
        fs::write(&new, text)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, file)
    }
}

fn forget_oldest(caches: &Path) -> std::io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(caches)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let spare = files.len().saturating_sub(MOST_FOLDERS - 1);
    files[..spare]
        .iter()
        .try_for_each(|(_, file)| fs::remove_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_just_been_changed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let caches = folder.path().join("caches");
        let file = folder.path().join("file");
        fs::write(&file, "one").unwrap();
        let state = State::from(&fs::metadata(&file).unwrap());
        let remembered = |after: Duration| {
            let mut cache = Cache::read(Some(&caches), folder.path());
            cache.note("file", state, digest_of(b"one"));
            cache.keep(SystemTime::now() + after).unwrap();
            Cache::read(Some(&caches), folder.path()).content("file", &state)
        };
        assert_eq!(remembered(Duration::ZERO), None);
        assert_eq!(remembered(TICK * 2), Some(digest_of(b"one")));
        let mut other = state;
        other.inode += 1;
        let cache = Cache::read(Some(&caches), folder.path());
        assert_eq!(cache.content("file", &other), None);
        assert_eq!(cache.content("other", &state), None);
    }
}
