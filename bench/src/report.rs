//! What became of the requests of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// How many requests there were so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were due.
    pub sent: u64,
    /// Those answered as expected.
    pub succeeded: u64,
    /// Those that ended otherwise.
    pub failed: u64,
}

impl Counts {
    /// Those that have not ended.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.succeeded - self.failed
    }
}

/// In what way a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// No connection could be opened.
    Connect,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the whole answer was there.
    Closed,
    /// It did not end in time, counted from when it was due.
    Timeout,
    /// The answer had another status than expected.
    Status(u16),
    /// The answer had another body than expected.
    Body,
    /// The answer was not HTTP/1.1.
    Malformed,
    /// So many requests were waiting for a connection that no more were taken.
    QueueFull,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.pad("connect"),
            Self::Reset => f.pad("reset"),
            Self::Closed => f.pad("closed"),
            Self::Timeout => f.pad("timeout"),
            Self::Status(status) => f.pad(&format!("status {status}")),
            Self::Body => f.pad("body"),
            Self::Malformed => f.pad("malformed"),
            Self::QueueFull => f.pad("queue full"),
        }
    }
}

/// One request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it was due, from the start of the load.
    pub due: Duration,
    /// When it failed, from the start of the load.
    pub at: Duration,
    /// In what way.
    pub kind: FailureKind,
    /// The evidence: what was being done, the operating system's answer, the header
    /// `roadbed-reason` where a gateway sent one.
    pub detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, due) = (self.at.as_secs_f64(), self.due.as_secs_f64());
        write!(
            f,
            "at {at:.3} s (due {due:.3} s): {}: {}",
            self.kind, self.detail
        )
    }
}

/// A time without any success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gap {
    /// When it began, from the start of the load.
    pub at: Duration,
    /// How long it was.
    pub length: Duration,
}

/// What became of a whole load; every request that was due is in it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Requests that were due.
    pub sent: u64,
    /// Those answered as expected.
    pub succeeded: u64,
    /// Those that ended otherwise.
    pub failed: u64,
    /// How many failed in which way.
    pub failed_by_kind: BTreeMap<FailureKind, u64>,
    /// The first failures, at most [`Report::MOST_FAILURES`].
    pub failures: Vec<Failure>,
    /// The longest time without a success, between start and stop.
    pub longest_gap: Gap,
    /// How long requests were due, from start to stop.
    pub duration: Duration,
    pub(crate) latencies: Histogram<u64>,
}

impl Report {
    /// How many failures are kept in full.
    pub const MOST_FAILURES: usize = 1000;

    /// The latency that the share `quantile` (0 to 1) of the successes did not exceed, from when
    /// each was due to the last byte of its answer; exact to three digits. Zero if there were
    /// none.
    pub fn latency(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(quantile))
    }
}

impl fmt::Display for Report {
    /// A table, and after it the first ten failures.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.sent as f64 / self.duration.as_secs_f64().max(f64::EPSILON);
        writeln!(f, "sent       {:>10}  ({rate:.1} per second)", self.sent)?;
        writeln!(f, "succeeded  {:>10}", self.succeeded)?;
        writeln!(f, "failed     {:>10}", self.failed)?;
        for (kind, count) in &self.failed_by_kind {
            writeln!(f, "  {kind:<12} {count:>6}")?;
        }
        for (name, quantile) in [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p99.9", 0.999),
            ("max", 1.0),
        ] {
            let latency = millis(self.latency(quantile));
            writeln!(f, "{name:<9}  {latency:>10.3} ms")?;
        }
        let (at, gap) = (self.longest_gap.at.as_secs_f64(), self.longest_gap.length);
        writeln!(
            f,
            "gap        {:>10.3} ms without success, from {at:.3} s",
            millis(gap)
        )?;
        for failure in self.failures.iter().take(10) {
            writeln!(f, "{failure}")?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
