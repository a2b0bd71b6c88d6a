//! Attempts of a request that are made beside another one.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use super::{Retries, Tries};
use crate::dial::Reuse;
use crate::hedge::Race;
use crate::upstream::{Endpoint, Left, Upstream};

impl Tries {
    /// How many attempts there may still be.
    pub(super) fn left(&self) -> u8 {
        self.may.left.saturating_sub(self.hedges.get())
    }

    /// Whether a second attempt at the same time is wanted, and harmless.
    pub(crate) fn may_hedge(&self, upstream: &Upstream) -> bool {
        upstream.hedges.is_on() && self.is_repeatable && self.is_first && self.left() > 0
    }

    /// The same of a call that is declared to be harmless.
    pub(crate) fn may_hedge_call(&self) -> bool {
        self.is_first && self.left() > 0
    }

    /// Notes that one was sent.
    pub(crate) fn count_hedge(&self, upstream: &Upstream) {
        self.hedges.set(self.hedges.get() + 1);
        self.count_retry();
        upstream.counters.hedged();
    }

    /// Those of a second attempt beside the one at `endpoint`, with its leave to be with another; none
    /// where there can be none.
    pub(crate) fn beside(&self, upstream: &Upstream, endpoint: *const Endpoint) -> Option<Self> {
        let pass = upstream.may_hedge(endpoint, Instant::now())?;
        let left = Left {
            endpoint,
            for_good: true,
        };
        Some(Self {
            reuse: match self.is_repeatable {
                true => Reuse::Any,
                false => Reuse::Safe,
            },
            left: Some(left),
            sticky: self.sticky,
            is_repeatable: self.is_repeatable,
            is_measured: self.is_measured,
            is_first: false,
            may: Retries {
                left: 0,
                ..self.may
            },
            has_content: self.has_content,
            place: RefCell::new(None),
            pass,
            retries: Cell::new(0),
            race: Race::default(),
            hedges: Cell::new(0),
        })
    }
}
