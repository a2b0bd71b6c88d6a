//! A place in the log of one instance.

/// A place in the log of one instance; the order of cursors is the order of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The number of the segment.
    pub segment: u64,
    /// Bytes from the segment's beginning.
    pub offset: u64,
}

impl Cursor {
    /// The beginning of segment `segment`.
    pub fn start_of(segment: u64) -> Self {
        Self { segment, offset: 0 }
    }
}
