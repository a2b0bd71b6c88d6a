//! Runs instances as processes: starts them under a shim that outlives the server, finds them
//! again, stops them, says how they ended, asks whether they are well, and keeps what they write.
//!
//! Nothing here decides: what to start, when to try again and when to stop is the caller's.

pub mod logs;
