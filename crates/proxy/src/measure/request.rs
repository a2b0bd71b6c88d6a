//! One request while it is served: the moments that are measured, and what is counted of it. It
//! looks at the clock when its head is complete, at the head of its answer, and at the end.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::counters::Counters;
use crate::http::gateway_error::GatewayError;

/// A request that is being served. If this is dropped before it got its answer, it was cut.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    counters: &'a Counters,
    arrivals: &'a Arrivals,
    begun: Instant,
    /// How long it took to the head of the answer, once that is there.
    head: Cell<Option<Duration>>,
    is_counted: Cell<bool>,
}

impl<'a> Measured<'a> {
    /// A request whose head is complete now, to the upstream that has these counters, and of the
    /// side that has those `arrivals`.
    pub(crate) fn begin(counters: &'a Counters, arrivals: &'a Arrivals) -> Self {
        counters.begin();
        arrivals.begin();
        Self {
            counters,
            arrivals,
            begun: Instant::now(),
            head: Cell::new(None),
            is_counted: Cell::new(false),
        }
    }

    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// The head of its answer is there.
    pub(crate) fn head(&self) {
        if !self.is_counted.get() {
            self.head.set(Some(self.begun.elapsed()));
        }
    }

    /// It got its whole answer; `grpc` is the status in the trailers, where it is one of gRPC.
    pub(crate) fn answered(&self, status: u16, grpc: Option<u8>) {
        if self.is_counted.replace(true) {
            return;
        }
        let whole = self.begun.elapsed();
        self.counters.answered(status, grpc);
        self.arrivals.answered(status);
        self.counters.head(self.head.get().unwrap_or(whole));
        self.counters.whole(whole);
    }

    /// The proxy itself answers, in place of the service; `grpc` as above.
    pub(crate) fn refused(&self, error: GatewayError, grpc: Option<u8>) {
        if !self.is_counted.get() {
            self.counters.refused(error.reason());
        }
        self.answered(error.status(), grpc);
    }

    /// Its connection or stream has changed its protocol: there is no end of an answer to wait for.
    pub(crate) fn switched(&self, status: u16) {
        if !self.is_counted.replace(true) {
            self.counters.answered(status, None);
            self.arrivals.answered(status);
            self.counters.head(self.begun.elapsed());
        }
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        self.counters.end();
        self.arrivals.end();
        if !self.is_counted.get() {
            self.counters.cut();
            self.arrivals.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_or_cut_and_never_both() {
        let (counters, arrivals) = (Counters::default(), Arrivals::default());
        let one = Measured::begin(&counters, &arrivals);
        let two = Measured::begin(&counters, &arrivals);
        assert_eq!(counters.read().in_flight, 2);
        one.head();
        one.answered(200, None);
        one.answered(502, None);
        one.refused(GatewayError::Timeout, None);
        drop(one);
        two.head();
        drop(two);
        let totals = counters.read();
        assert_eq!((totals.answered(), totals.cut, totals.in_flight), (1, 1, 0));
        assert_eq!((totals.head.count(), totals.whole.count()), (1, 1));
        assert!(totals.refused.is_empty());
    }

    #[test]
    fn an_answer_in_place_of_the_service_has_its_reason() {
        let (counters, arrivals) = (Counters::default(), Arrivals::default());
        Measured::begin(&counters, &arrivals).refused(GatewayError::Timeout, None);
        let totals = counters.read();
        assert_eq!((totals.answered(), totals.failed), (1, 1));
        assert_eq!(totals.refused.get("timeout"), Some(&1));
    }

    #[test]
    fn a_tunnel_is_in_flight_until_it_ends_and_has_no_whole_answer() {
        let (counters, arrivals) = (Counters::default(), Arrivals::default());
        let tunnel = Measured::begin(&counters, &arrivals);
        tunnel.switched(101);
        assert_eq!(counters.read().in_flight, 1);
        drop(tunnel);
        let totals = counters.read();
        assert_eq!(
            (totals.by_class[0], totals.cut, totals.in_flight),
            (1, 0, 0)
        );
        assert_eq!((totals.head.count(), totals.whole.count()), (1, 0));
    }
}
