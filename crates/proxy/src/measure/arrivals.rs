//! All requests that come in from one side, from outside or from other services, as one worker
//! counts them: those too that lead to no service.

use std::cell::Cell;

use super::counters::{Counters, add, class};
use super::reasons::{ReasonTotals, Reasons, merge};
use crate::http::gateway_error::GatewayError;
use crate::worker::Listener;

/// The counters of both sides on one worker.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    edge: Arrivals,
    mesh: Arrivals,
}

/// The numbers of both sides: the edge's, then the mesh's.
pub(crate) type SideTotals = [ArrivalTotals; 2];

impl Sides {
    /// The side that `listener` is on.
    pub(crate) fn of(&self, listener: &Listener) -> &Arrivals {
        match listener.is_edge() {
            true => &self.edge,
            false => &self.mesh,
        }
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> SideTotals {
        [self.edge.read(), self.mesh.read()]
    }
}

/// The counters of one side.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    by_class: [Cell<u64>; 5],
    cut: Cell<u64>,
    in_flight: Cell<u64>,
    redirected: Cell<u64>,
    unserved: Reasons,
}

/// What one side counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ArrivalTotals {
    /// Answers by the first digit of their status, 1 to 5.
    pub(crate) by_class: [u64; 5],
    /// Requests without an answer, or with a part of one.
    pub(crate) cut: u64,
    /// Requests that are being served.
    pub(crate) in_flight: u64,
    /// Requests whose route told the client to ask elsewhere.
    pub(crate) redirected: u64,
    /// Requests that led to no service, by the reason.
    pub(crate) unserved: ReasonTotals,
}

impl Arrivals {
    pub(super) fn begin(&self) {
        add(&self.in_flight, 1);
    }

    pub(super) fn end(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
    }

    pub(super) fn answered(&self, status: u16) {
        add(&self.by_class[class(status)], 1);
    }

    pub(super) fn cut(&self) {
        add(&self.cut, 1);
    }

    /// A request is refused before its service was sent anything. Where it is known which one that
    /// would have been, `counters` are those of it.
    /// `grpc` is what a call of gRPC is told.
    pub(crate) fn refused(
        &self,
        error: GatewayError,
        grpc: Option<u8>,
        counters: Option<&Counters>,
    ) {
        self.answered(error.status());
        match counters {
            Some(counters) => counters.refused_at_once(error, grpc),
            None => self.unserved.count(error.reason()),
        }
    }

    /// A request is told to ask elsewhere.
    pub(crate) fn redirected(&self, status: u16) {
        self.answered(status);
        add(&self.redirected, 1);
    }

    /// A stream of HTTP/2 was refused unread, since there is no room for it.
    pub(crate) fn no_room(&self) {
        self.unserved.count("no-room");
    }

    fn read(&self) -> ArrivalTotals {
        ArrivalTotals {
            by_class: self.by_class.each_ref().map(Cell::get),
            cut: self.cut.get(),
            in_flight: self.in_flight.get(),
            redirected: self.redirected.get(),
            unserved: self.unserved.read(),
        }
    }
}

impl std::ops::AddAssign<&Self> for ArrivalTotals {
    fn add_assign(&mut self, other: &Self) {
        for (total, more) in self.by_class.iter_mut().zip(other.by_class) {
            *total += more;
        }
        self.cut += other.cut;
        self.in_flight += other.in_flight;
        self.redirected += other.redirected;
        merge(&mut self.unserved, &other.unserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_no_service_is_counted_by_its_reason_alone() {
        let (arrivals, counters) = (Arrivals::default(), Counters::default());
        arrivals.refused(GatewayError::NoRoute, None, None);
        arrivals.refused(GatewayError::BodyTooLarge, None, Some(&counters));
        arrivals.redirected(308);
        let mut totals = arrivals.read();
        totals += &arrivals.read();
        assert_eq!(totals.by_class, [0, 0, 2, 4, 0]);
        assert_eq!(totals.unserved, ReasonTotals::from([("no-route", 2)]));
        let of_service = counters.read();
        assert_eq!(
            of_service.refused,
            ReasonTotals::from([("body-too-large", 1)])
        );
        assert_eq!((of_service.answered(), of_service.in_flight), (1, 0));
        assert_eq!(of_service.whole.count(), 1);
    }
}
