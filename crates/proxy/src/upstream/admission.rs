//! Which requests may wait for an upstream on this worker, and which are refused since there are
//! too many: the limiter of `balance`, and the places that it has given.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use model::{Overload, Priority, Protocol, UpstreamId};

use crate::balance::{Allowed, Limiter, Overloaded, Since};
use crate::limits::{
    LONG_POLL, OVERLOAD_LEAST, OVERLOAD_LEAST_LATENCY, OVERLOAD_LEAST_OF_WORKER,
    OVERLOAD_SHARE_OF_TIMEOUT,
};

/// Who is let in.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// How long answers may take; none where nothing is refused.
    allowed: Cell<Option<Allowed>>,
    limiter: Rc<RefCell<Limiter>>,
}

/// A request's place among those that wait, once it does; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    limiter: Rc<RefCell<Limiter>>,
    since: Cell<Option<Since>>,
}

impl Place {
    /// The request is whole, and waits for its answer from now on. Before that it waits for its own
    /// client, who may take any time for it and keeps nobody else from an answer.
    pub(crate) fn is_whole(&self, now: Instant) {
        if self.since.get().is_none() {
            self.since.set(Some(self.limiter.borrow_mut().begin(now)));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(since) = self.since.get() {
            self.limiter.borrow_mut().ended(since);
        }
    }
}

impl Admission {
    /// Sets what a snapshot says, for one of so many workers.
    pub(crate) fn configure(&self, wanted: &model::Upstream, workers: usize) {
        let usual = wanted.timeout.min(LONG_POLL) / OVERLOAD_SHARE_OF_TIMEOUT;
        let usual = usual.max(OVERLOAD_LEAST_LATENCY.min(wanted.timeout / 2));
        let latency = match wanted.resilience.overload {
            _ if wanted.protocol == Protocol::Tcp => None,
            Overload::Off => None,
            Overload::Usual => Some(usual),
            Overload::Latency(latency) => Some(latency),
        };
        let least = OVERLOAD_LEAST.div_ceil(workers.max(1));
        let least = least.max(OVERLOAD_LEAST_OF_WORKER) as f64;
        let is_declared = matches!(wanted.resilience.overload, Overload::Latency(_));
        let allowed = latency.map(|latency| Allowed {
            latency,
            is_declared,
            least,
        });
        self.allowed.set(allowed);
        if allowed.is_none() {
            self.limiter.borrow_mut().lift();
        }
    }

    /// Whether some are refused at present, or would be.
    pub(crate) fn is_limited(&self) -> bool {
        self.limiter.borrow().limit().is_some()
    }

    /// One more may wait, unless there are too many. Where nothing is refused, nobody counts.
    pub(crate) fn admit(
        &self,
        priority: Priority,
        now: Instant,
    ) -> Result<Option<Place>, Overloaded> {
        if self.allowed.get().is_none() {
            return Ok(None);
        }
        self.limiter.borrow_mut().admit(now, priority)?;
        Ok(Some(Place {
            limiter: self.limiter.clone(),
            since: Cell::new(None),
        }))
    }

    /// An answer of `upstream` took so long to begin.
    pub(crate) fn took(&self, upstream: &UpstreamId, now: Instant, took: Duration) {
        let Some(allowed) = self.allowed.get() else {
            return;
        };
        let mut limiter = self.limiter.borrow_mut();
        let before = limiter.limit();
        limiter.took(now, took, allowed);
        match (before, limiter.limit()) {
            (None, Some(most)) => {
                let most = most as u32;
                tracing::warn!(%upstream, most, "answers take too long: requests are refused");
            }
            (Some(_), None) => tracing::info!(%upstream, "no more requests are refused"),
            _ => {}
        }
    }
}
