//! How many releases a server keeps, and where: its user's choice, remembered for the next server.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use model::AppName;
use serde::{Deserialize, Serialize};

use crate::home::{Home, HomeError, failed, write_atomically};

/// How much is kept of releases that do not run, to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptReleases {
    /// How many releases of an app, with those that run.
    pub count: u16,
    /// How much of the disk all of them may take, in bytes, with what is unpacked to be run.
    pub bytes: u64,
}

impl Default for KeptReleases {
    fn default() -> Self {
        // Two weeks of a team that deploys each working day, and a fraction of any server's disk.
        Self {
            count: 10,
            bytes: 10 << 30,
        }
    }
}

impl Home {
    /// How many releases the last server kept; as many as usual if there was none.
    ///
    /// # Errors
    /// It is there and cannot be read. To go by the usual then might remove what was to be kept.
    pub fn kept_releases(&self) -> Result<KeptReleases, HomeError> {
        let path = self.kept_file();
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(Into::into),
            Err(error) => match error.kind() {
                // A home that is none is told of by whoever takes it.
                ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(KeptReleases::default()),
                _ => Err(error),
            },
        };
        read.map_err(|source| failed("read", &path, source))
    }

    /// Keeps that for the next server.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_kept_releases(&self, kept: KeptReleases) -> Result<(), HomeError> {
        let path = self.kept_file();
        let written = serde_json::to_vec(&kept).map_err(Into::into);
        let written = written.and_then(|json| write_atomically(&path, &json));
        written.map_err(|source| failed("write", &path, source))
    }

    pub(crate) fn kept_file(&self) -> PathBuf {
        self.path().join("kept-releases")
    }

    /// The contents of all releases.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.path().join("artifacts")
    }

    /// Where it is remembered what files had as content when they were packed.
    pub fn pack_caches(&self) -> PathBuf {
        self.path().join("pack-caches")
    }

    /// The unpacked releases: one folder an app, in it one a release.
    pub(crate) fn unpacked(&self) -> PathBuf {
        self.path().join("releases")
    }

    /// The working directory of a release's instances.
    pub(crate) fn unpacked_release(&self, app: &AppName, number: u64) -> PathBuf {
        self.unpacked().join(app.as_str()).join(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_not_taken_for_the_usual() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert_eq!(home.kept_releases().unwrap(), KeptReleases::default());
        let kept = KeptReleases {
            count: 25,
            bytes: 1 << 40,
        };
        home.remember_kept_releases(kept).unwrap();
        assert_eq!(home.kept_releases().unwrap(), kept);
        fs::write(home.kept_file(), "half").unwrap();
        let error = home.kept_releases().unwrap_err().to_string();
        assert!(error.contains("kept-releases"), "{error}");
        home.forget_addresses();
        assert_eq!(home.kept_releases().unwrap(), KeptReleases::default());
    }
}
