//! From a manifest to a folder that a program can be run in. Each release has one of its own: a
//! program that writes into its working directory changes that, and never what is kept.

use std::collections::BTreeSet;
use std::fs::{self, FileTimes};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use model::Digest;

use crate::digest::Hasher;
use crate::files::{make_durable, make_private_file, make_private_folder};
use crate::{ContentError, Contents, Manifest, Packed};

/// How much is copied at a time.
const BUFFER: usize = 128 * 1024;

/// Unpacks `manifest` into `folder`, which is made and must not be there. When it returns, all of it
/// is on disk.
///
/// # Errors
/// A content is missing or spoilt, or the disk does not do as asked. What is unpacked by then stays.
pub fn unpack(contents: &Contents, manifest: &Manifest, folder: &Path) -> Result<(), ContentError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| ContentError::Disk(path, error)
    };
    if let Some(above) = folder.parent() {
        make_private_folder(above).map_err(failed(above))?;
    }
    fs::create_dir(folder).map_err(failed(folder))?;
    close_to_others(folder).map_err(failed(folder))?;
    let mut made = vec![folder.to_owned()];
    for inner in folders(manifest) {
        let path = folder.join(inner);
        make_private_folder(&path).map_err(failed(&path))?;
        made.push(path);
    }
    for (path, packed) in manifest.entries() {
        let full = folder.join(path.as_str());
        match packed {
            Packed::File {
                digest,
                executable,
                modified,
                ..
            } => {
                copy(contents, *digest, &full, *executable, *modified)?;
                made.push(full);
            }
            // Nothing is below it, so that nothing is ever written through it.
            Packed::Link { target } => symlink(target, &full).map_err(failed(&full))?,
            Packed::Folder => {}
        }
    }
    make_durable(&made).map_err(failed(folder))
}

fn close_to_others(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// All folders, those that are in others after them.
fn folders(manifest: &Manifest) -> BTreeSet<&str> {
    let entries = manifest.entries().iter();
    let empty = entries
        .clone()
        .filter(|(_, packed)| matches!(packed, Packed::Folder));
    let empty = empty.map(|(path, _)| path.as_str());
    entries
        .flat_map(|(path, _)| path.folders())
        .chain(empty)
        .collect()
}

/// A copy of a content, sharing its blocks with it where the file system can do that. It is read all
/// the same: what has been spoilt is not run.
fn copy(
    contents: &Contents,
    digest: Digest,
    to: &Path,
    executable: bool,
    modified: i64,
) -> Result<(), ContentError> {
    let failed = |error| ContentError::Disk(to.to_owned(), error);
    let mut from = contents.open(digest)?;
    let mut file = make_private_file(to, executable).map_err(failed)?;
    let shares = rustix::fs::ioctl_ficlone(&file, &from).is_ok();
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER];
    from.rewind().map_err(failed)?;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hasher.update(read);
        if !shares {
            file.write_all(read).map_err(failed)?;
        }
    }
    if hasher.finish() != digest {
        return Err(ContentError::Spoilt(digest));
    }
    let modified = match u64::try_from(modified) {
        Ok(after) => UNIX_EPOCH + Duration::from_nanos(after),
        Err(_) => UNIX_EPOCH - Duration::from_nanos(modified.unsigned_abs()),
    };
    file.set_times(FileTimes::new().set_modified(modified))
        .map_err(failed)
}
