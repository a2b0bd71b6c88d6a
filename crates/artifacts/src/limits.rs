//! The limits of a release's files, each with its reason.

/// Files, links and empty folders of a release. A web app with all that it needs from a package
/// registry has some ten thousand.
pub const MOST_FILES: usize = 50_000;

/// All files of a release together, in bytes: a large app with a model or two. A folder that is
/// larger has what should be in a volume.
pub const MOST_BYTES: u64 = 4 << 30;

/// A path, in bytes. Linux allows 4,096, and the folder that it is unpacked into counts.
pub const LONGEST_PATH: usize = 1024;

/// What a link says, in bytes: the most that Linux allows.
pub const LONGEST_LINK: usize = 4095;

/// Contents that are sent at a time, and their bytes, except that one content may be larger.
pub const MOST_IN_BATCH: usize = 1024;
/// See [`MOST_IN_BATCH`].
pub const MOST_BYTES_IN_BATCH: u64 = 64 << 20;

/// How often a file is read again that changes while it is read.
pub const ATTEMPTS: usize = 3;
