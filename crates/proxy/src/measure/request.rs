//! One request while it is served: the moments that are measured, and what is counted of it. It
//! looks at the clock when its head is complete, at the head of its answer, and at the end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::counters::{Counters, Meter};
use super::routes::RouteCounters;
use crate::http::gateway_error::GatewayError;
use crate::http::grpc_status::is_failure;
use crate::retry::Tries;
use crate::telemetry::{Kept, Onward};
use crate::upstream::{Endpoint, Upstream};

/// A request that is being served. If this is dropped before it got its answer, it was cut.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    counters: &'a Counters,
    arrivals: &'a Arrivals,
    /// Those of its route, at the edge.
    route: Option<&'a RouteCounters>,
    begun: Instant,
    /// How long it took to the head of the answer, once that is there.
    head: Cell<Option<Duration>>,
    is_counted: Cell<bool>,
    /// What a line or span may come of.
    kept: Option<Kept<'a>>,
}

impl<'a> Measured<'a> {
    /// A request whose head is complete now, to the upstream that has these counters, and of the
    /// side that has those `arrivals`.
    pub(crate) fn begin(
        counters: &'a Counters,
        arrivals: &'a Arrivals,
        kept: Option<Kept<'a>>,
    ) -> Self {
        counters.begin();
        arrivals.begin();
        Self {
            counters,
            arrivals,
            route: None,
            begun: Instant::now(),
            head: Cell::new(None),
            is_counted: Cell::new(false),
            kept,
        }
    }

    /// The same, to `upstream`, by the route that has these counters.
    pub(crate) fn of(
        (upstream, route): (&'a Rc<Upstream>, Option<&'a RouteCounters>),
        arrivals: &'a Arrivals,
        kept: Option<Kept<'a>>,
    ) -> Self {
        if let Some(kept) = &kept {
            kept.is_for(upstream);
            if let Some(route) = route {
                kept.is_by(&route.key);
            }
        }
        let mut measured = Self::begin(&upstream.counters, arrivals, kept);
        measured.route = route;
        measured
    }

    /// When it began.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// What is said of its trace to whoever answers, where traces are followed.
    pub(crate) fn onward(&self) -> Option<Onward> {
        self.kept.as_ref()?.onward()
    }

    /// It is sent to `endpoint`, as the next of `tries`.
    pub(crate) fn goes_to(&self, endpoint: &Rc<Endpoint>, tries: &Tries) {
        if let Some(kept) = &self.kept {
            kept.goes_to(endpoint, tries.retries());
        }
    }

    /// Counts content on its way to instances.
    pub(crate) fn received(&self) -> Meter<'_> {
        let own = self.kept.as_ref().map(Kept::received);
        let route = self.route.map(|route| &route.received);
        Meter::new(&self.counters.received, own).of_route(route)
    }

    /// Counts content on its way to the client.
    pub(crate) fn sent(&self) -> Meter<'_> {
        let own = self.kept.as_ref().map(Kept::sent);
        let route = self.route.map(|route| &route.sent);
        Meter::new(&self.counters.sent, own).of_route(route)
    }

    /// The head of its answer is there, with this status.
    pub(crate) fn head(&self, status: u16) {
        if !self.is_counted.get() {
            self.head.set(Some(self.begun.elapsed()));
            if let Some(kept) = &self.kept {
                kept.note(|outcome| outcome.status = Some(status));
            }
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
        let head = self.head.get().unwrap_or(whole);
        self.counters.head(head);
        if let Some(route) = self.route {
            route.answered(status, head);
        }
        self.counters.whole(whole);
        if let Some(kept) = &self.kept {
            kept.note(|outcome| {
                (outcome.status, outcome.grpc) = (Some(status), grpc);
                outcome.is_failure = status >= 500 || grpc.is_some_and(is_failure);
                outcome.whole = whole;
            });
        }
    }

    /// The proxy itself answers, in place of the service; `grpc` as above.
    pub(crate) fn refused(&self, error: GatewayError, grpc: Option<u8>) {
        if !self.is_counted.get() {
            self.counters.refused(error.reason());
            if let Some(kept) = &self.kept {
                kept.note(|outcome| outcome.reason = Some(error.reason()));
            }
        }
        self.answered(error.status(), grpc);
    }

    /// Its connection or stream has changed its protocol: there is no end of an answer to wait for.
    pub(crate) fn switched(&self, status: u16) {
        if !self.is_counted.replace(true) {
            self.counters.answered(status, None);
            self.arrivals.answered(status);
            let head = self.begun.elapsed();
            self.counters.head(head);
            if let Some(route) = self.route {
                route.answered(status, head);
            }
            if let Some(kept) = &self.kept {
                self.head.set(Some(head));
                kept.note(|outcome| outcome.status = Some(status));
            }
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
            if let Some(route) = self.route {
                route.cut();
            }
        }
        if let Some(kept) = &self.kept {
            kept.note(|outcome| {
                outcome.head = self.head.get();
                outcome.is_cut = !self.is_counted.get();
                if outcome.whole.is_zero() {
                    outcome.whole = self.begun.elapsed();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_or_cut_and_never_both() {
        let (counters, arrivals) = (Counters::default(), Arrivals::default());
        let one = Measured::begin(&counters, &arrivals, None);
        let two = Measured::begin(&counters, &arrivals, None);
        assert_eq!(counters.read().in_flight, 2);
        one.head(200);
        one.answered(200, None);
        one.answered(502, None);
        one.refused(GatewayError::Timeout, None);
        drop(one);
        two.head(200);
        drop(two);
        let totals = counters.read();
        assert_eq!((totals.answered(), totals.cut, totals.in_flight), (1, 1, 0));
        assert_eq!((totals.head.count(), totals.whole.count()), (1, 1));
        assert!(totals.refused.is_empty());
    }

    #[test]
    fn an_answer_in_place_of_the_service_has_its_reason() {
        let (counters, arrivals) = (Counters::default(), Arrivals::default());
        Measured::begin(&counters, &arrivals, None).refused(GatewayError::Timeout, None);
        let totals = counters.read();
        assert_eq!((totals.answered(), totals.failed), (1, 1));
        assert_eq!(totals.refused.get("timeout"), Some(&1));
    }

    #[test]
    fn a_tunnel_is_in_flight_until_it_ends_and_has_no_whole_answer() {
        let (counters, arrivals) = (Counters::default(), Arrivals::default());
        let tunnel = Measured::begin(&counters, &arrivals, None);
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
