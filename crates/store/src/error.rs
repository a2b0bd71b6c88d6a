//! Why a store could not do what it was asked to.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a store could not do what it was asked to. A comparison that does not hold is no error but
/// an [`Outcome`](crate::Outcome).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk, quota or file-size limit is used up. Nothing of the write was applied; earlier
    /// state is intact, and the store works on once there is space.
    #[error("no space left to write {path}: free some space on its file system and try again")]
    NoSpace {
        /// The store's file.
        path: PathBuf,
    },
    /// The operating system refused. After a write, it may or may not have been applied: read
    /// before trying again.
    #[error("could not {action} {path}")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// A later version of Roadbed wrote the file.
    #[error(
        "{path} has format {found}, and this version of Roadbed reads up to {known}: \
         start the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// The store's file.
        path: PathBuf,
        /// The format that it is in.
        found: u64,
        /// The latest format that is understood here.
        known: u64,
    },
    /// The file is not a store, or was damaged.
    #[error("{path} is damaged or not a Roadbed store ({problem}): restore it from a backup")]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What does not add up.
        problem: String,
    },
    /// Another process has the store open.
    #[error("{path} is in use by {holder}: stop that process first")]
    Locked {
        /// The store's file.
        path: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// A key, value, transaction or listing is over its limit (see [`limits`](crate::limits)).
    #[error("{what} of {size} {unit} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is, or how large it had grown when it was refused.
        size: usize,
        /// How large it may be.
        limit: usize,
        /// The unit of both.
        unit: &'static str,
    },
    /// There are as many of something as there may be at a time.
    #[error("there are {limit} {what} already, and no more are allowed at a time")]
    TooMany {
        /// What there are too many of, in plural.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// What was asked for can never be done.
    #[error("{0}")]
    Invalid(String),
    /// The store was closed, or its writer stopped after an internal error.
    #[error("the store is closed")]
    Closed,
}
