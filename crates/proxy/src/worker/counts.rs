//! What became of the requests to one upstream, as one worker counts it. Nothing is shared while
//! requests are served: the control thread asks for the numbers and adds them up.

use std::cell::Cell;

use crate::protocol::Counts;

/// The counters of one upstream on one worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    answered: Cell<u64>,
    failed: Cell<u64>,
    cut: Cell<u64>,
    retried: Cell<u64>,
    ejected: Cell<u64>,
}

impl Counters {
    /// A request got its whole answer, ours or its backend's. `grpc` is the status in its trailers,
    /// where it is one of gRPC.
    pub(crate) fn answered(&self, status: u16, grpc: Option<u8>) {
        add(&self.answered);
        if status >= 500 || grpc.is_some_and(is_failure) {
            add(&self.failed);
        }
    }

    /// A request got no answer, or not all of it: its client went away or its backend did.
    pub(crate) fn cut(&self) {
        add(&self.cut);
    }

    /// The answer to a request begins to be passed on.
    pub(crate) fn begin(&self) -> Begun<'_> {
        Begun(Some(self))
    }

    /// A request is tried a second time.
    pub(crate) fn retried(&self) {
        add(&self.retried);
    }

    /// An endpoint is ejected.
    pub(crate) fn ejected(&self) {
        add(&self.ejected);
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> Counts {
        Counts {
            answered: self.answered.get(),
            failed: self.failed.get(),
            cut: self.cut.get(),
            retried: self.retried.get(),
            ejected: self.ejected.get(),
        }
    }
}

/// An answer that is being passed on. Its request is cut when this is dropped before all of it is.
#[derive(Debug)]
pub(crate) struct Begun<'a>(Option<&'a Counters>);

impl Begun<'_> {
    /// All of it was passed on; see [`Counters::answered`].
    pub(crate) fn answered(mut self, status: u16, grpc: Option<u8>) {
        if let Some(counters) = self.0.take() {
            counters.answered(status, grpc);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.0.take() {
            counters.cut();
        }
    }
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// Whether a status of gRPC says that the service failed, as 5xx does, and not that the caller
/// asked for what cannot be.
fn is_failure(status: u8) -> bool {
    const UNKNOWN: u8 = 2;
    const DEADLINE_EXCEEDED: u8 = 4;
    const UNIMPLEMENTED: u8 = 12;
    const INTERNAL: u8 = 13;
    const UNAVAILABLE: u8 = 14;
    const DATA_LOSS: u8 = 15;
    matches!(
        status,
        UNKNOWN | DEADLINE_EXCEEDED | UNIMPLEMENTED | INTERNAL | UNAVAILABLE | DATA_LOSS
    )
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
        counters.begin().answered(500, None);
        drop(counters.begin());
        let expected = Counts {
            answered: 7,
            failed: 3,
            cut: 2,
            retried: 0,
            ejected: 0,
        };
        assert_eq!(counters.read(), expected);
    }
}
