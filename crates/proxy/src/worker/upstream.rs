//! One upstream as one worker sees it. Listeners and routes hold it; changes are made inside it,
//! so a request finds the current endpoints without looking anything up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use model::{Protocol, UpstreamId};

use super::endpoint::{Endpoint, InFlight};
use crate::measure::Counters;

/// A service and its endpoints.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its name.
    pub(crate) id: UpstreamId,
    protocol: Cell<Protocol>,
    timeout: Cell<Duration>,
    endpoints: RefCell<Vec<Rc<Endpoint>>>,
    /// Whether any of them speaks HTTP/2.
    speaks_http2: Cell<bool>,
    /// Whose turn it is.
    next: Cell<usize>,
    /// What became of requests to it.
    pub(crate) counters: Counters,
}

impl Upstream {
    /// An upstream that the snapshot does not have (yet): it has no endpoint.
    pub(crate) fn absent(id: UpstreamId) -> Rc<Self> {
        Rc::new(Self {
            id,
            protocol: Cell::new(Protocol::Http),
            timeout: Cell::new(Duration::ZERO),
            endpoints: RefCell::default(),
            speaks_http2: Cell::new(false),
            next: Cell::new(0),
            counters: Counters::default(),
        })
    }

    /// What is spoken to it.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// How long a request waits for the head of its answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.get()
    }

    /// Whether any of its endpoints speaks HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.speaks_http2.get()
    }

    /// Sets what a snapshot says of it.
    pub(crate) fn configure(&self, protocol: Protocol, timeout: Duration) {
        self.protocol.set(protocol);
        self.timeout.set(timeout);
    }

    /// Replaces its endpoints; the old ones are returned.
    pub(crate) fn replace_endpoints(&self, endpoints: Vec<Rc<Endpoint>>) -> Vec<Rc<Endpoint>> {
        let any = endpoints.iter().any(|endpoint| endpoint.speaks_http2());
        self.speaks_http2.set(any);
        self.endpoints.replace(endpoints)
    }

    /// Calls `visit` with each endpoint.
    pub(crate) fn each_endpoint(&self, visit: impl FnMut(&Rc<Endpoint>)) {
        self.endpoints.borrow().iter().for_each(visit);
    }

    /// Chooses the endpoint of a request in turn, passing over those in `failed`, and over `left`
    /// where there is another. The request is counted as in flight there: choosing and counting
    /// are one step, so that whoever retires an endpoint sees every request that can still reach
    /// it.
    pub(crate) fn pick(
        &self,
        failed: &[InFlight],
        left: Option<*const Endpoint>,
    ) -> Option<InFlight> {
        let endpoints = self.endpoints.borrow();
        let first = self.next.get();
        let mut order = (0..endpoints.len()).map(|offset| (first + offset) % endpoints.len());
        let untried = |&index: &usize| {
            let mut failed = failed.iter();
            failed.all(|failed| !std::ptr::eq(failed.endpoint(), &*endpoints[index]))
        };
        let better = |&index: &usize| left != Some(Rc::as_ptr(&endpoints[index]));
        let other = order.clone().filter(untried).find(better);
        let index = other.or_else(|| order.find(untried))?;
        self.next.set((index + 1) % endpoints.len());
        Some(InFlight::begin(&endpoints[index]))
    }
}
