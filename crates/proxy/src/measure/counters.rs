//! What became of the requests to one upstream, as one worker counts it. Nothing is shared while
//! requests are served: the control thread asks for the numbers and adds them up.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::histogram::Histogram;
use super::reasons::Reasons;
use super::totals::{GRPC_STATUSES, Totals};
use crate::http::gateway_error::GatewayError;
use crate::http::grpc_status::is_failure;

/// The counters of one upstream on one worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    by_class: [Cell<u64>; 5],
    by_grpc: [Cell<u64>; GRPC_STATUSES],
    failed: Cell<u64>,
    cut: Cell<u64>,
    in_flight: Cell<u64>,
    opened: Cell<u64>,
    reused: Cell<u64>,
    retried: Cell<u64>,
    ejected: Cell<u64>,
    hedged: Cell<u64>,
    hedges_won: Cell<u64>,
    mirrored: Cell<u64>,
    not_mirrored: Cell<u64>,
    refused: Reasons,
    /// Content on its way to instances.
    pub(crate) received: Cell<u64>,
    /// Content on its way to clients.
    pub(crate) sent: Cell<u64>,
    head: RefCell<Histogram>,
    whole: RefCell<Histogram>,
}

impl Counters {
    pub(super) fn begin(&self) {
        add(&self.in_flight, 1);
    }

    pub(super) fn end(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    /// A request got its answer, ours or its backend's. `grpc` is the status in its trailers, where
    /// it is one of gRPC.
    pub(super) fn answered(&self, status: u16, grpc: Option<u8>) {
        add(&self.by_class[class(status)], 1);
        if let Some(grpc) = grpc {
            add(&self.by_grpc[usize::from(grpc).min(GRPC_STATUSES - 1)], 1);
        }
        if status >= 500 || grpc.is_some_and(is_failure) {
            add(&self.failed, 1);
        }
    }

    /// How long a request waited for the head of its answer.
    pub(super) fn head(&self, time: Duration) {
        self.head.borrow_mut().record(time);
    }

    /// How long it waited for all of it.
    pub(super) fn whole(&self, time: Duration) {
        self.whole.borrow_mut().record(time);
    }

    /// A request got no answer, or not all of it: its client went away or its backend did.
    pub(super) fn cut(&self) {
        add(&self.cut, 1);
    }

    /// The proxy answered in the service's place, which is counted as an answer too.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.count(reason);
    }

    /// The same, and nothing else was done for the request.
    pub(super) fn refused_at_once(&self, error: GatewayError, grpc: Option<u8>) {
        self.answered(error.status(), grpc);
        self.refused(error.reason());
        self.head(Duration::ZERO);
        self.whole(Duration::ZERO);
    }

    /// There is a connection to an instance, opened for this or there before.
    pub(crate) fn connected(&self, is_new: bool) {
        add(if is_new { &self.opened } else { &self.reused }, 1);
    }

    /// A request is tried a second time.
    pub(crate) fn retried(&self) {
        add(&self.retried, 1);
    }

    /// A request that waits is sent to another endpoint too.
    pub(crate) fn hedged(&self) {
        add(&self.hedged, 1);
    }

    /// That one was the first to answer.
    pub(crate) fn hedge_won(&self) {
        add(&self.hedges_won, 1);
    }

    /// An endpoint is ejected.
    pub(crate) fn ejected(&self) {
        add(&self.ejected, 1);
    }

    /// A copy of a request is sent to it.
    pub(crate) fn mirrored(&self) {
        add(&self.mirrored, 1);
    }

    /// A request was to be copied to it, and was too large or one too many.
    pub(crate) fn not_mirrored(&self) {
        add(&self.not_mirrored, 1);
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> Totals {
        Totals {
            by_class: self.by_class.each_ref().map(Cell::get),
            by_grpc: self.by_grpc.each_ref().map(Cell::get),
            failed: self.failed.get(),
            cut: self.cut.get(),
            in_flight: self.in_flight.get(),
            opened: self.opened.get(),
            reused: self.reused.get(),
            retried: self.retried.get(),
            ejected: self.ejected.get(),
            hedged: self.hedged.get(),
            hedges_won: self.hedges_won.get(),
            mirrored: self.mirrored.get(),
            not_mirrored: self.not_mirrored.get(),
            refused: self.refused.read(),
            received: self.received.get(),
            sent: self.sent.get(),
            head: self.head.borrow().clone(),
            whole: self.whole.borrow().clone(),
        }
    }
}

/// Counts content as it moves: for its upstream, for its route, and for one request where that is
/// wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter<'a> {
    all: &'a Cell<u64>,
    route: Option<&'a Cell<u64>>,
    own: Option<&'a Cell<u64>>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(all: &'a Cell<u64>, own: Option<&'a Cell<u64>>) -> Self {
        let route = None;
        Self { all, route, own }
    }

    /// The same, which counts for a route too.
    pub(super) fn of_route(self, route: Option<&'a Cell<u64>>) -> Self {
        Self { route, ..self }
    }

    /// Counts so many bytes more.
    pub(crate) fn add(self, count: usize) {
        add(self.all, count as u64);
        for one in [self.route, self.own].into_iter().flatten() {
            add(one, count as u64);
        }
    }
}

/// Counts so many more.
pub(crate) fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get().wrapping_add(count));
}

/// The place of a status among the five classes.
pub(super) fn class(status: u16) -> usize {
    // The parser has seen to it that the first digit is one of 1 to 5.
    usize::from(status / 100).clamp(1, 5) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_service_are_told_from_those_of_the_caller() {
        let counters = Counters::default();
        let answers = [
            (200, None),
            (404, None),
            (500, None),
            (200, Some(0)),
            (200, Some(5)),
            (200, Some(14)),
        ];
        for (status, grpc) in answers {
            counters.answered(status, grpc);
        }
        counters.cut();
        let totals = counters.read();
        assert_eq!((totals.answered(), totals.failed, totals.cut), (6, 2, 1));
        assert_eq!(totals.by_class, [0, 4, 0, 1, 1]);
        assert_eq!([0, 5, 14].map(|status| totals.by_grpc[status]), [1; 3]);
    }

    #[test]
    fn a_status_that_no_standard_has_is_counted_all_the_same() {
        let counters = Counters::default();
        counters.answered(599, Some(255));
        counters.answered(99, None);
        let totals = counters.read();
        assert_eq!(totals.by_class, [1, 0, 0, 0, 1]);
        assert_eq!(totals.by_grpc[GRPC_STATUSES - 1], 1);
    }
}
