//! Contents on disk, each once and under its digest: files of releases, and their manifests.
//!
//! What has its name is whole and on disk. It comes there by being renamed when it is, so that a
//! kill at any instant leaves nothing half; what it leaves in `incoming` is removed at the next start.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use model::Digest;

use crate::digest::Hasher;
use crate::files::{make_durable, make_private_file, make_private_folder, remove_folder};
use crate::{Manifest, digest_of};

/// Manifests that are larger were not written by us.
const LARGEST_MANIFEST: u64 = 128 << 20;

/// Why contents cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The disk does not do as asked.
    #[error("{path}: {1}", path = _0.display())]
    Disk(PathBuf, io::Error),
    /// It is not there.
    #[error("the content {0} is not there")]
    Missing(Digest),
    /// It is not what it was.
    #[error("the content {0} has been spoilt")]
    Spoilt(Digest),
    /// What was sent is not what it was said to be.
    #[error("what was sent as {0} is something else: it may have changed meanwhile")]
    NotAsSaid(Digest),
}

impl ContentError {
    /// Whether there is no space left on the disk.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk(_, error) if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }
}

/// All contents of a server.
#[derive(Debug)]
pub struct Contents {
    folder: PathBuf,
    incoming: PathBuf,
    batches: AtomicU64,
}

/// Contents that are being added, and are there all at once or not at all.
#[derive(Debug)]
pub struct Batch<'a> {
    contents: &'a Contents,
    folder: PathBuf,
    whole: BTreeSet<Digest>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    digest: Digest,
    path: PathBuf,
    file: File,
    hasher: Hasher,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ContentError + use<> {
    let path = path.to_owned();
    move |error| ContentError::Disk(path, error)
}

impl Contents {
    /// Those in `folder`, which is made if it is not there. Nobody else may use it.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn open_folder(folder: &Path) -> Result<Self, ContentError> {
        let contents = Self {
            folder: folder.join("contents"),
            incoming: folder.join("incoming"),
            batches: AtomicU64::new(0),
        };
        remove_folder(&contents.incoming).map_err(failed(&contents.incoming))?;
        for folder in [&contents.folder, &contents.incoming] {
            make_private_folder(folder).map_err(failed(folder))?;
        }
        Ok(contents)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        // In 256 folders, since one with very many files is slow on some file systems.
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(&name[2..])
    }

    /// Those of `wanted` that are not there. The others are as if they had just come.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn missing(
        &self,
        wanted: impl Iterator<Item = Digest>,
    ) -> Result<BTreeSet<Digest>, ContentError> {
        let mut missing = BTreeSet::new();
        for digest in wanted {
            let path = self.path(digest);
            // Whoever collects spares what has just come.
            match File::open(&path).and_then(|file| file.set_modified(SystemTime::now())) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.insert(digest);
                }
                Err(error) => return Err(ContentError::Disk(path, error)),
            }
        }
        Ok(missing)
    }

    /// A content, to be read.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn open(&self, digest: Digest) -> Result<File, ContentError> {
        let path = self.path(digest);
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ContentError::Missing(digest),
            _ => ContentError::Disk(path, error),
        })
    }

    /// A whole content of at most so many bytes.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is not what it was.
    pub fn read(&self, digest: Digest, most: u64) -> Result<Vec<u8>, ContentError> {
        let mut content = Vec::new();
        let file = self.open(digest)?;
        let read = file.take(most + 1).read_to_end(&mut content);
        read.map_err(failed(&self.path(digest)))?;
        match digest_of(&content) == digest {
            true => Ok(content),
            false => Err(ContentError::Spoilt(digest)),
        }
    }

    /// A manifest.
    ///
    /// # Errors
    /// As for [`Contents::read`].
    pub fn manifest(&self, digest: Digest) -> Result<Manifest, ContentError> {
        let text = self.read(digest, LARGEST_MANIFEST)?;
        serde_json::from_slice(&text).map_err(|_| ContentError::Spoilt(digest))
    }

    /// Begins to add contents.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn batch(&self) -> Result<Batch<'_>, ContentError> {
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        let folder = self.incoming.join(number.to_string());
        make_private_folder(&folder).map_err(failed(&folder))?;
        Ok(Batch {
            contents: self,
            folder,
            whole: BTreeSet::new(),
            current: None,
        })
    }

    /// Adds contents that are in memory.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn add(&self, contents: &[&[u8]]) -> Result<(), ContentError> {
        let digests: Vec<Digest> = contents.iter().map(|content| digest_of(content)).collect();
        let missing = self.missing(digests.iter().copied())?;
        let mut batch = self.batch()?;
        for (content, digest) in contents.iter().zip(digests) {
            if missing.contains(&digest) {
                batch.begin(digest)?;
                batch.write(content)?;
                batch.end()?;
            }
        }
        batch.commit()
    }

    /// Removes contents that are not among `kept`: those of `unused` at once, others when they have
    /// been there for `grace` without having been asked for. Says how many bytes are left.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn collect(
        &self,
        kept: &BTreeSet<Digest>,
        unused: &BTreeSet<Digest>,
        grace: Duration,
    ) -> Result<u64, ContentError> {
        let now = SystemTime::now();
        let mut left = 0;
        for inner in list(&self.folder)? {
            for path in list(&inner)? {
                let metadata = match fs::symlink_metadata(&path) {
                    Ok(metadata) => metadata,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(ContentError::Disk(path, error)),
                };
                let goes = name_of(&path).is_some_and(|digest| {
                    let age = metadata.modified().map(|then| now.duration_since(then));
                    let is_old = age.is_ok_and(|age| age.is_ok_and(|age| age >= grace));
                    !kept.contains(&digest) && (is_old || unused.contains(&digest))
                });
                match goes {
                    true => fs::remove_file(&path).map_err(failed(&path))?,
                    false => left += metadata.blocks() * 512,
                }
            }
        }
        Ok(left)
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, ContentError> {
    let entries = fs::read_dir(folder).map_err(failed(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().map_err(failed(folder))
}

/// The digest that a path stands for; none where it is nothing of ours.
fn name_of(path: &Path) -> Option<Digest> {
    let rest = path.file_name()?.to_str()?;
    let first = path.parent()?.file_name()?.to_str()?;
    format!("{first}{rest}").parse().ok()
}

impl Batch<'_> {
    /// Begins a content.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn begin(&mut self, digest: Digest) -> Result<(), ContentError> {
        let path = self.folder.join(digest.to_string());
        // The same once more takes the place of the first.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ContentError::Disk(path, error));
            }
            _ => {}
        }
        let file = make_private_file(&path, false).map_err(failed(&path))?;
        self.current = Some(Current {
            digest,
            path,
            file,
            hasher: Hasher::new(),
        });
        Ok(())
    }

    /// The next piece of the content that was begun.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), ContentError> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.hasher.update(piece);
        current.file.write_all(piece).map_err(failed(&current.path))
    }

    /// Ends the content that was begun.
    ///
    /// # Errors
    /// It is not what it was said to be.
    pub fn end(&mut self) -> Result<(), ContentError> {
        let Some(Current { digest, hasher, .. }) = self.current.take() else {
            return Ok(());
        };
        if hasher.finish() != digest {
            return Err(ContentError::NotAsSaid(digest));
        }
        self.whole.insert(digest);
        Ok(())
    }

    /// Has all whole contents there, and on disk.
    ///
    /// # Errors
    /// The disk does not do as asked.
    pub fn commit(self) -> Result<(), ContentError> {
        let incoming = |digest: &Digest| self.folder.join(digest.to_string());
        let paths: Vec<PathBuf> = self.whole.iter().map(incoming).collect();
        make_durable(&paths).map_err(failed(&self.folder))?;
        let mut folders = BTreeSet::new();
        for digest in &self.whole {
            let path = self.contents.path(*digest);
            if let Some(folder) = path.parent() {
                make_private_folder(folder).map_err(failed(folder))?;
                folders.insert(folder.to_owned());
            }
            fs::rename(incoming(digest), &path).map_err(failed(&path))?;
        }
        if !folders.is_empty() {
            folders.insert(self.contents.folder.clone());
        }
        let folders: Vec<PathBuf> = folders.into_iter().collect();
        make_durable(&folders).map_err(failed(&self.contents.folder))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = remove_folder(&self.folder);
    }
}
