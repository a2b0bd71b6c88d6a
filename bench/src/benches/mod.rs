//! The benches, one file for each.

use std::time::Duration;

use anyhow::Result;

use crate::arguments::{Arguments, Common};
use crate::figures::Results;

pub(crate) mod balance;
pub(crate) mod bodies;
pub(crate) mod fleet;
pub(crate) mod load;
pub(crate) mod proxy;
pub(crate) mod routes;
pub(crate) mod snapshots;
pub(crate) mod startup;
pub(crate) mod survival;

/// A bench that is ready to run, with what it was told.
pub(crate) type Measure = Box<dyn FnOnce(&Common, &mut Results) -> Result<()>>;

/// A bench of the platform.
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    /// How often it repeats everything unless told otherwise.
    pub(crate) runs: usize,
    /// Takes its own options.
    pub(crate) prepare: fn(&mut Arguments) -> Result<Measure, String>,
}

/// All that measure the platform.
pub(crate) const ALL: [Bench; 8] = [
    startup::BENCH,
    survival::BENCH,
    fleet::BENCH,
    bodies::BENCH,
    proxy::BENCH,
    routes::BENCH,
    snapshots::BENCH,
    balance::BENCH,
];

/// Says how far it is.
fn progress(message: &str) {
    eprintln!("{message}");
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
