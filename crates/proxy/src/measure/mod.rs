//! Measuring every request, and showing it.
//!
//! [`Measured`](request::Measured) follows one request and records into the [`Counters`] of its
//! upstream and the [`Arrivals`](arrivals::Arrivals) of its side, which each worker has for itself.
//! The control thread asks all workers and adds up their [`Totals`]; [`text`] writes them for
//! Prometheus and [`admin`] serves that.

pub(crate) mod admin;
pub(crate) mod arrivals;
pub(crate) mod counters;
mod endpoints;
mod histogram;
mod page;
pub(crate) mod process;
mod reasons;
pub(crate) mod request;
pub(crate) mod text;
pub(crate) mod totals;

pub(crate) use arrivals::{SideTotals, Sides};
pub(crate) use counters::{Counters, Meter};
pub(crate) use endpoints::{EndpointTotals, Endpoints};
pub use histogram::{Histogram, LONGEST};
pub(crate) use request::Measured;
pub(crate) use totals::Totals;
