//! Counts requests while a load runs.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::report::{Counts, Failure, FailureKind, Gap, Report};

/// The highest latency that is told apart, in microseconds: an hour.
const HIGHEST: u64 = 3_600_000_000;

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FailureKind,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

/// The account of a running load.
pub(crate) struct Ledger {
    start: Instant,
    counts: Counts,
    failed_by_kind: BTreeMap<FailureKind, u64>,
    failures: Vec<Failure>,
    latencies: Histogram<u64>,
    last_success: Instant,
    longest_gap: Gap,
}

impl Ledger {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            counts: Counts::default(),
            failed_by_kind: BTreeMap::new(),
            failures: Vec::new(),
            latencies: Histogram::new_with_bounds(1, HIGHEST, 3)
                .expect("the bounds are constant and valid"),
            last_success: start,
            longest_gap: Gap::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// A request is due.
    pub(crate) fn sent(&mut self) {
        self.counts.sent += 1;
    }

    /// The request that was due at `due` has ended now.
    pub(crate) fn ended(&mut self, due: Instant, outcome: Result<(), Fault>) {
        let now = Instant::now();
        match outcome {
            Ok(()) => {
                self.counts.succeeded += 1;
                let latency = now.saturating_duration_since(due).as_micros();
                self.latencies
                    .saturating_record(u64::try_from(latency).unwrap_or(HIGHEST));
                self.gap_ends(now);
                self.last_success = now;
            }
            Err(fault) => {
                self.counts.failed += 1;
                *self.failed_by_kind.entry(fault.kind).or_default() += 1;
                if self.failures.len() < Report::MOST_FAILURES {
                    self.failures.push(Failure {
                        due: due.saturating_duration_since(self.start),
                        at: now.saturating_duration_since(self.start),
                        kind: fault.kind,
                        detail: fault.detail,
                    });
                }
            }
        }
    }

    fn gap_ends(&mut self, now: Instant) {
        let length = now.saturating_duration_since(self.last_success);
        if length > self.longest_gap.length {
            let at = self.last_success.saturating_duration_since(self.start);
            self.longest_gap = Gap { at, length };
        }
    }

    /// The report of a load that was stopped at `stop` and whose requests have all ended.
    pub(crate) fn close(mut self, stop: Instant) -> Report {
        self.gap_ends(stop);
        Report {
            sent: self.counts.sent,
            succeeded: self.counts.succeeded,
            failed: self.counts.failed,
            failed_by_kind: self.failed_by_kind,
            failures: self.failures,
            longest_gap: self.longest_gap,
            duration: stop.saturating_duration_since(self.start),
            latencies: self.latencies,
        }
    }
}
