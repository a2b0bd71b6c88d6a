//! What was counted, as it is added up: over workers for what the proxy shows.

use super::histogram::Histogram;
use super::reasons::{ReasonTotals, merge};
use crate::protocol::Counts;

/// The statuses of gRPC, 0 to 16, and one for all that are none.
pub(crate) const GRPC_STATUSES: usize = 18;

/// What answers are called by the first digit of their status.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The numbers of one upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Answers by the first digit of their status, 1 to 5.
    pub(crate) by_class: [u64; 5],
    /// Answers of gRPC by their status.
    pub(crate) by_grpc: [u64; GRPC_STATUSES],
    /// Answers that say that the service failed.
    pub(crate) failed: u64,
    /// Requests without an answer, or with a part of one.
    pub(crate) cut: u64,
    /// Requests that are being served.
    pub(crate) in_flight: u64,
    /// Connections to instances that were opened.
    pub(crate) opened: u64,
    /// How often a connection was there that a request could use.
    pub(crate) reused: u64,
    /// Second attempts that were made.
    pub(crate) retried: u64,
    /// How often an endpoint was ejected.
    pub(crate) ejected: u64,
    /// Requests that were sent to another endpoint too while they waited.
    pub(crate) hedged: u64,
    /// How often that one was the first to answer.
    pub(crate) hedges_won: u64,
    /// Copies of requests that were sent to it.
    pub(crate) mirrored: u64,
    /// Requests of which it was to have copies and got none.
    pub(crate) not_mirrored: u64,
    /// Answers of the proxy itself in place of the service, by the reason.
    pub(crate) refused: ReasonTotals,
    /// Bytes of content on their way to instances.
    pub(crate) received: u64,
    /// Bytes of content on their way to clients.
    pub(crate) sent: u64,
    /// Times from a request's head to its answer's.
    pub(crate) head: Histogram,
    /// Times from a request's head to its answer's end.
    pub(crate) whole: Histogram,
}

impl Totals {
    /// How many requests got an answer.
    pub(crate) fn answered(&self) -> u64 {
        self.by_class.iter().sum()
    }

    /// How many requests were refused since there were too many.
    fn refused_for_load(&self) -> u64 {
        let reasons = ["overloaded", "queue-full", "queue-timeout"];
        let counts = reasons.iter().filter_map(|reason| self.refused.get(reason));
        counts.sum()
    }

    /// What the server is told.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            answered: self.answered(),
            failed: self.failed,
            cut: self.cut,
            retried: self.retried,
            ejected: self.ejected,
            refused: self.refused_for_load(),
            in_flight: self.in_flight,
            latency: self.whole.clone(),
        }
    }
}

impl std::ops::AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        let arrays = [
            (&mut self.by_class[..], &other.by_class[..]),
            (&mut self.by_grpc[..], &other.by_grpc[..]),
        ];
        for (total, more) in arrays {
            for (total, more) in total.iter_mut().zip(more) {
                *total += more;
            }
        }
        for (total, more) in [
            (&mut self.failed, other.failed),
            (&mut self.cut, other.cut),
            (&mut self.in_flight, other.in_flight),
            (&mut self.opened, other.opened),
            (&mut self.reused, other.reused),
            (&mut self.retried, other.retried),
            (&mut self.ejected, other.ejected),
            (&mut self.hedged, other.hedged),
            (&mut self.hedges_won, other.hedges_won),
            (&mut self.mirrored, other.mirrored),
            (&mut self.not_mirrored, other.not_mirrored),
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
        ] {
            *total += more;
        }
        merge(&mut self.refused, &other.refused);
        self.head.merge(&other.head);
        self.whole.merge(&other.whole);
    }
}
