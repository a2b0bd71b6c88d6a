//! Folders and files that only their user can read, and that are on disk when it is said so.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Up to so many files are written to disk one by one. For more it costs less to have all of the
/// file system written, whatever else is waiting there.
const MOST_ONE_BY_ONE: usize = 64;

/// Makes a folder and those that it is in, for its user alone.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a file that is not there yet, for its user alone.
pub(crate) fn make_private_file(path: &Path, executable: bool) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .read(true)
        .create_new(true)
        .mode(if executable { 0o700 } else { 0o600 })
        .open(path)
}

/// Has these files and folders on disk before it returns.
pub(crate) fn make_durable(paths: &[PathBuf]) -> io::Result<()> {
    match paths {
        [] => Ok(()),
        paths if paths.len() <= MOST_ONE_BY_ONE => paths
            .iter()
            .try_for_each(|path| File::open(path)?.sync_all()),
        [first, ..] => Ok(rustix::fs::syncfs(File::open(first)?.as_fd())?),
    }
}

/// Removes a folder with all that is in it; it is fine if it is not there.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// How many bytes a user may still write to the disk that `path` is on.
///
/// # Errors
/// The kernel does not say.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What files of these lengths take on a disk, in bytes: whole blocks, and some for their names.
pub fn on_disk(lengths: impl Iterator<Item = u64>) -> u64 {
    const BLOCK: u64 = 4096;
    lengths.map(|length| length.next_multiple_of(BLOCK)).sum()
}
