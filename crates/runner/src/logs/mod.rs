//! What instances write to their standard output and error, kept on disk.
//!
//! Every instance has a folder, `HOME/logs/APP/SERVICE/INSTANCE/`, of numbered segments. The
//! instance's shim appends to the last one through a [`LogWriter`]; anyone may read at the same
//! time, with no server running: one instance through [`Records`], a service or an app in time
//! order through [`Merged`].
//!
//! What makes that safe without locks:
//! - A segment only grows, and only its instance's one writer touches it.
//! - A record is one line, and a reader takes none before its newline is there.
//! - Segments are numbered without gaps; when number n + 1 exists, n has its last byte.
//! - The oldest segments are removed, whole, and never renamed.

mod cursor;
mod last_lines;
mod line;
mod merged;
mod position;
mod records;
mod retention;
mod segments;
mod timestamp;
mod watch;
mod writer;

use std::sync::Arc;

pub use cursor::Cursor;
pub use last_lines::last_lines;
pub use merged::{Merged, Selection};
pub use records::Records;
pub use retention::prune;
pub use timestamp::Timestamp;
pub use writer::{LogLimits, LogWriter};

/// Where an instance wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error. What Roadbed itself has to say in a log stands here too, and begins
    /// with `roadbed: `.
    Stderr,
}

/// One line of a log, or a piece of a line that is longer than 16 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The instance that wrote it: the name of its folder.
    pub instance: Arc<str>,
    /// When it was read from the instance. Never goes backwards within an instance.
    pub at: Timestamp,
    /// Where the instance wrote it.
    pub stream: Stream,
    /// The bytes as written, without the newline; not always UTF-8.
    pub text: Vec<u8>,
    /// Whether the line goes on in the next record of this instance and stream.
    pub partial: bool,
}
