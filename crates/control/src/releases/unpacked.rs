//! A release that is unpacked and not yet written down: gone again unless that is done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use artifacts::{ContentError, Manifest, unpack};
use model::{AppName, Release};

use super::{ReleaseFiles, remove};

/// The name of the folder in which releases are unpacked that have no number yet; no app has it.
pub(super) const NEW: &str = ".new";

/// Tells those apart that are unpacked at a time.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// An unpacked release.
pub(crate) struct Unpacked {
    files: Arc<ReleaseFiles>,
    /// Where it is; nowhere once it is kept.
    folder: Option<PathBuf>,
}

impl Unpacked {
    /// Unpacks `manifest`, whose contents have to be there.
    pub(crate) fn unpack(
        files: &Arc<ReleaseFiles>,
        manifest: &Manifest,
    ) -> Result<Self, ContentError> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = files.home.unpacked().join(NEW).join(number.to_string());
        // Left by a server that was killed.
        remove(&folder);
        let unpacked = Self {
            files: Arc::clone(files),
            folder: Some(folder.clone()),
        };
        unpack(&files.contents, manifest, &folder)?;
        Ok(unpacked)
    }

    /// Gives it the name of a release. Until [`Unpacked::keep`] it can still go.
    pub(crate) fn name(&mut self, app: &AppName, number: u64) -> Result<(), ContentError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let named = self.files.home.unpacked_release(app, number);
        let failed = |error| ContentError::Disk(named.clone(), error);
        // The number is new: what is there is of a deploy that was never written down.
        remove(&named);
        if let Some(of_app) = named.parent() {
            make_private_folder(of_app).map_err(failed)?;
            std::fs::rename(folder, &named).map_err(failed)?;
            sync(of_app).map_err(failed)?;
            sync(&self.files.home.unpacked()).map_err(failed)?;
        }
        self.folder = Some(named);
        Ok(())
    }

    /// It is written down that it is needed.
    pub(crate) fn keep(mut self) {
        self.folder = None;
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            remove(&folder);
        }
    }
}

/// Unpacks those of `releases` once more whose folders have gone.
pub(crate) fn restore<'a>(files: &Arc<ReleaseFiles>, releases: impl Iterator<Item = &'a Release>) {
    for release in releases {
        let Some(packed) = release.files.as_ref().filter(|_| !release.root.is_dir()) else {
            continue;
        };
        let (app, number) = (&release.app.name, release.number);
        let restored = files
            .contents
            .manifest(packed.manifest)
            .and_then(|manifest| {
                let mut unpacked = Unpacked::unpack(files, &manifest)?;
                unpacked.name(app, number)?;
                unpacked.keep();
                Ok(())
            });
        match restored {
            Ok(()) => tracing::warn!(%app, release = number, "its folder was gone and is restored"),
            Err(error) => {
                tracing::error!(%app, release = number, %error, "its folder is gone and cannot be restored");
            }
        }
    }
}

fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

fn sync(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
