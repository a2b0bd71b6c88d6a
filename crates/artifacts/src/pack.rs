//! From a folder to a manifest: each file is read once, and again only when it has changed.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::{App, Digest};
use rustix::fs::OFlags;

use crate::cache::{Cache, State};
use crate::digest::digest_of_all;
use crate::limits::ATTEMPTS;
use crate::walk::{Seen, walk};
use crate::{Manifest, PackError, Packed, PackedPath, named, program};

/// A folder that was packed: nothing has been copied yet.
#[derive(Debug)]
pub struct Pack {
    /// What is in it.
    pub manifest: Manifest,
    /// Where each content was found.
    pub sources: BTreeMap<Digest, PathBuf>,
    /// What was left out that is neither file nor link nor folder, in words for the user.
    pub notes: Vec<String>,
}

/// Where things are beside the folder.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// A folder that is not packed, wherever it is: that of the server.
    pub apart: &'a Path,
    /// Where it is remembered what files had as content; nowhere to read all of them.
    pub caches: Option<&'a Path>,
}

/// Packs `folder`, an absolute path without links in it, which has been built.
///
/// # Errors
/// It cannot be a release as it is.
pub fn pack(folder: &Path, app: &App, places: &Places<'_>) -> Result<Pack, PackError> {
    let begun = SystemTime::now();
    let apart = fs::canonicalize(places.apart);
    let apart = apart.as_deref().unwrap_or(places.apart);
    let seen = walk(folder, &named(app), apart)?;
    let mut packing = Packing {
        folder,
        cache: Cache::read(places.caches, folder),
        entries: BTreeMap::new(),
        sources: BTreeMap::new(),
        notes: Vec::new(),
    };
    packing.add_all(&seen)?;
    let manifest = Manifest::new(packing.entries).map_err(PackError::Manifest)?;
    program::check(app, &manifest, folder)?;
    // What cannot be remembered is read again the next time.
    let _ = packing.cache.keep(begun);
    Ok(Pack {
        manifest,
        sources: packing.sources,
        notes: packing.notes,
    })
}

struct Packing<'a> {
    folder: &'a Path,
    cache: Cache,
    entries: BTreeMap<PackedPath, Packed>,
    sources: BTreeMap<Digest, PathBuf>,
    notes: Vec<String>,
}

impl Packing<'_> {
    fn add_all(&mut self, seen: &Seen) -> Result<(), PackError> {
        for (path, metadata) in seen {
            if !metadata.is_dir() {
                self.add(path, metadata)?;
            }
        }
        // A folder with something in it is there for that.
        for (path, _) in seen.iter().filter(|(_, metadata)| metadata.is_dir()) {
            let name = packed_path(path)?;
            let inner = format!("{name}/");
            let from = (Bound::Included(inner.as_str()), Bound::Unbounded);
            let mut after = self.entries.range::<str, _>(from);
            let has_more = after
                .next()
                .is_some_and(|(next, _)| next.as_str().starts_with(&inner));
            if !has_more {
                self.entries.insert(name, Packed::Folder);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, metadata: &Metadata) -> Result<(), PackError> {
        let name = packed_path(path)?;
        let kind = metadata.file_type();
        let packed = if kind.is_file() {
            self.file(&name)?
        } else if kind.is_symlink() {
            Some(self.link(&name)?)
        } else {
            let what = match () {
                () if kind.is_socket() => "a socket",
                () if kind.is_fifo() => "a pipe",
                () => "a device",
            };
            self.notes.push(format!("{name} is {what} and is left out"));
            None
        };
        if let Some(packed) = packed {
            self.entries.insert(name, packed);
        }
        Ok(())
    }

    fn link(&self, name: &PackedPath) -> Result<Packed, PackError> {
        let full = self.folder.join(name.as_str());
        let target = fs::read_link(&full).map_err(|error| unreadable(name, error))?;
        match target.to_str() {
            Some(target) => Ok(Packed::Link {
                target: target.to_owned(),
            }),
            None => Err(PackError::NotText(format!("what {name} links to"))),
        }
    }

    /// A file as it is now; none if it has gone meanwhile.
    fn file(&mut self, name: &PackedPath) -> Result<Option<Packed>, PackError> {
        let full = self.folder.join(name.as_str());
        for _ in 0..ATTEMPTS {
            let Some((file, before)) = open(&full).map_err(|error| unreadable(name, error))? else {
                return Ok(None);
            };
            let state = State::from(&before);
            let digest = match self.cache.content(name.as_str(), &state) {
                Some(digest) => digest,
                None => match read(file, &state).map_err(|error| unreadable(name, error))? {
                    Some(digest) => digest,
                    // It was changed while it was read.
                    None => continue,
                },
            };
            self.cache.note(name.as_str(), state, digest);
            self.sources.insert(digest, full);
            return Ok(Some(Packed::File {
                digest,
                size: state.size,
                executable: before.permissions().mode() & 0o100 != 0,
                modified: state.modified,
            }));
        }
        Err(PackError::Changes(name.clone()))
    }
}

/// Opens a file that is one; none if it is no more.
fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // To open a pipe would wait for whoever writes into it, and a link is not the file.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// The content of a file that is in `state` before and after; none if it is not.
fn read(mut file: File, state: &State) -> io::Result<Option<Digest>> {
    let (digest, length) = digest_of_all(&mut file)?;
    let is_same = State::from(&file.metadata()?) == *state && length == state.size;
    Ok(is_same.then_some(digest))
}

fn packed_path(path: &Path) -> Result<PackedPath, PackError> {
    let Some(text) = path.to_str() else {
        return Err(PackError::NotText(format!("the name {}", path.display())));
    };
    PackedPath::new(text).map_err(|error| PackError::Path(path.to_owned(), error))
}

fn unreadable(name: &PackedPath, error: io::Error) -> PackError {
    PackError::Unreadable(name.clone(), error)
}
