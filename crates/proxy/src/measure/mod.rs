//! Measuring every request, and showing it.
//!
//! [`Measured`](request::Measured) follows one request and records into the [`Counters`] of its
//! upstream, the [`RouteCounters`] of its route and the [`Arrivals`](arrivals::Arrivals) of its
//! side, which each worker has for itself. The control thread asks all workers and adds up their
//! [`Totals`]; [`report`] writes them for Prometheus and [`admin`] serves that.
//!
//! What is written: [`report`] is made of families ([`services`], [`releases`], [`endpoints`],
//! [`routes`]), which write to a [`page`]; that has one of two forms, [`text`] and [`binary`], the
//! latter with [`native`] histograms.

mod accept;
pub(crate) mod admin;
pub(crate) mod arrivals;
mod binary;
pub(crate) mod counters;
mod endpoints;
mod histogram;
mod native;
pub(crate) mod page;
pub(crate) mod process;
mod reasons;
mod releases;
pub(crate) mod report;
pub(crate) mod request;
mod routes;
mod sample;
mod services;
mod text;
pub(crate) mod totals;

pub(crate) use arrivals::{SideTotals, Sides};
pub(crate) use counters::{Counters, Meter};
pub(crate) use endpoints::{EndpointTotals, Endpoints};
pub use histogram::{Histogram, LONGEST};
pub(crate) use releases::{ReleaseCounters, Releases};
pub(crate) use request::Measured;
pub(crate) use routes::{RouteCounters, RouteName, Routes};
pub(crate) use totals::Totals;
