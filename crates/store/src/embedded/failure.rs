//! What went wrong with the file, in the terms of a store.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::StoreError;

/// An answer of the operating system when `action` was tried on `path`.
pub(super) fn io(action: &'static str, path: &Path, error: io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::NoSpace { path }
        }
        _ => StoreError::Io {
            action,
            path,
            source: Arc::new(error),
        },
    }
}

/// An error of the database at `path`.
pub(super) fn redb(path: &Path, error: redb::Error) -> StoreError {
    let corrupt = |problem: String| StoreError::Corrupt {
        path: path.to_owned(),
        problem,
    };
    match error {
        redb::Error::Io(error) if is_damage(&error) => corrupt(error.to_string()),
        redb::Error::Io(error) => io("read or write", path, error),
        redb::Error::Corrupted(problem) => corrupt(problem),
        redb::Error::DatabaseClosed => StoreError::Closed,
        other => corrupt(other.to_string()),
    }
}

/// Whether an answer says something of the file's content and not of the disk.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
