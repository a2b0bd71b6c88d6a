//! Measuring, and judging what was measured: types and arithmetic without IO.
//!
//! [`Histogram`] counts how long things take, and adds up exactly over threads and processes.
//! [`compare`] tells whether one of two arms that share requests is worse than the other, and may be
//! asked at any time.

pub mod compare;
mod histogram;
mod share;

pub use histogram::{Cumulative, Histogram, LONGEST, NotEarlier, Threshold};
pub use share::{OneArm, Share};
