//! Measuring every request, and showing it.
//!
//! [`Measured`](request::Measured) follows one request and records into the [`Counters`] of its
//! upstream, which each worker has for itself. The control thread asks all workers and adds up
//! their [`Totals`]; [`text`] writes them for Prometheus and [`admin`] serves that.

pub(crate) mod admin;
pub(crate) mod counters;
mod histogram;
pub(crate) mod process;
pub(crate) mod request;
pub(crate) mod text;
pub(crate) mod totals;

pub(crate) use counters::{Counters, add};
pub use histogram::{Histogram, LONGEST};
pub(crate) use request::Measured;
pub(crate) use totals::Totals;
