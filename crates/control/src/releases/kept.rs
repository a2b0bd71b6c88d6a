//! How many releases a server keeps, and where: its user's choice, remembered for the next server.

use std::fs;
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
    /// How many releases the last server kept.
    pub fn kept_releases(&self) -> KeptReleases {
        // Without it, or if it cannot be read, as many as usual.
        let text = fs::read(self.kept_file()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
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
