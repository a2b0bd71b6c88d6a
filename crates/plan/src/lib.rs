//! Planning, pure: from what should be, what is and the time to the steps in between, with a
//! reason for everything that waits. Nothing here does IO, reads a clock or draws at random, so
//! that the same state always gives the same plan.

mod app;
mod backoff;
#[cfg(test)]
mod files_tests;
mod instance;
mod order;
pub mod preview;
pub mod routes;
mod settings;
#[cfg(test)]
mod world;

pub use app::plan;
pub use backoff::{LONGEST_RESTART_DELAY, is_crash_loop};
