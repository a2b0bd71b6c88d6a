//! When requests to an upstream are sent a second time while they wait, as one worker knows it.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use model::Hedge;

use crate::balance::Hedging;

/// What a service declares of it, and what is known of how long its answers take.
#[derive(Debug, Default)]
pub(crate) struct Hedges {
    is_on: Cell<bool>,
    /// In a place of its own: few services have it.
    known: RefCell<Option<Box<Known>>>,
}

#[derive(Debug)]
struct Known {
    hedging: Hedging,
    calls: Hedge,
}

impl Hedges {
    /// Sets what a snapshot says. What is known stays, unless something else is asked for.
    pub(crate) fn configure(&self, declared: Option<&Hedge>) {
        let mut known = self.known.borrow_mut();
        let before = known.take();
        *known = declared.map(|declared| {
            let same = before.filter(|known| known.hedging.declared() == declared.after);
            let hedging = same.map_or_else(|| Hedging::new(declared.after), |known| known.hedging);
            let calls = declared.clone();
            Box::new(Known { hedging, calls })
        });
        self.is_on.set(declared.is_some());
    }

    /// Whether there are any.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.get()
    }

    /// Whether the call of gRPC with this path may be made twice.
    pub(crate) fn has_call(&self, path: &str) -> bool {
        let known = self.known.borrow();
        known.as_ref().is_some_and(|it| it.calls.has_call(path))
    }

    /// After which wait; none as long as that is not known.
    pub(crate) fn after(&self) -> Option<Duration> {
        self.known.borrow().as_ref()?.hedging.after()
    }

    /// A first attempt took so long, or longer.
    pub(crate) fn took(&self, now: Instant, time: Duration) {
        if let Some(known) = &mut *self.known.borrow_mut() {
            known.hedging.took(now, time);
        }
    }
}
