//! Services that are a folder of files: the proxy answers in place of instances.
//!
//! [`path`] and [`range`] and [`conditions`] decide without a disk; [`disk`] finds and reads. What
//! the kernel has in memory is read at once, on the worker's own thread; what it has to wait for is
//! read by another thread, so that a slow disk stops nobody else.
//!
//! A file that is being sent takes the descriptor that a connection to an instance would take, so
//! the limit of connections bounds open files too.

mod answer;
mod conditions;
mod content_type;
mod disk;
pub mod path;
pub mod range;
mod source;

pub(crate) use answer::answer;
pub(crate) use source::FileSource;
