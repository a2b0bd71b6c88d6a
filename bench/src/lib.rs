//! Load and measurements, for end-to-end tests and for the command `roadbed-bench`.
//!
//! The load is an open loop: requests are due at a fixed rate whatever becomes of those before
//! them, as with real users, and latency counts from when a request was due. Every request ends
//! as a success or as a failure with its evidence; nothing is tried again and nothing is dropped.

mod connection;
mod ledger;
mod load;
pub mod process;
pub mod raw;
mod report;
mod target;
mod timer;

pub use load::{BodyCheck, Load, Method, Predicate, Running};
pub use report::{Counts, Failure, FailureKind, Gap, Report};
pub use target::BadUrl;
