//! What is known of one endpoint of an upstream.

use std::time::{Duration, Instant};

use super::average::Average;
use super::eject::{Failures, Fleet};
use super::slow_start::Entering;

/// One endpoint as those who choose see it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Member {
    average: Average,
    failures: Failures,
    entering: Option<Entering>,
}

impl Member {
    /// One that has just come.
    pub(crate) fn new(entering: Option<Entering>) -> Self {
        Self {
            entering,
            ..Self::default()
        }
    }

    /// Whether it gets no requests.
    pub(crate) fn is_ejected(&self) -> bool {
        self.failures.is_out()
    }

    /// Whether it has failed so often in a row that it would be ejected if it could be spared.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures.are_many()
    }

    /// Takes it back after its ejection if that is over. It begins as a new one does.
    pub(crate) fn come_back(&mut self, now: Instant, enters: impl FnOnce() -> Option<Entering>) {
        if self.failures.comes_back(now) {
            (self.average, self.entering) = (Average::default(), enters());
        }
    }

    /// Which part of the usual share of requests it gets.
    pub(crate) fn share(&self, now: Instant) -> f64 {
        self.entering.map_or(1.0, |entering| entering.share(now))
    }

    /// How long it lets requests wait, where that is known.
    pub(crate) fn seconds(&self, now: Instant) -> Option<f64> {
        self.average.seconds(now)
    }

    /// The same when it was last known.
    pub(crate) fn last_seconds(&self) -> Option<f64> {
        self.average.last()
    }

    /// A connection to it was opened, which says that it is there and no more.
    pub(crate) fn connected(&mut self) {
        self.failures.answered();
    }

    /// It has answered, so long after the end of the request where that says something.
    pub(crate) fn answered(&mut self, now: Instant, took: Option<Duration>) {
        self.failures.answered();
        self.began(now, took);
    }

    /// It has begun to answer. Whether it has failed is still to come.
    pub(crate) fn began(&mut self, now: Instant, took: Option<Duration>) {
        if let Some(took) = took {
            self.average.answered(now, took);
        }
    }

    /// A request to it is not waited for any more after so long, since another one was faster. That
    /// is no failure, and no answer.
    pub(crate) fn outlasted(&mut self, now: Instant, took: Duration) {
        self.average.outlasted(now, took);
    }

    /// A request failed; whether it is ejected for it, see [`Failures::failed`].
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        base: Duration,
        chance: f64,
        fleet: impl FnOnce() -> Fleet,
    ) -> bool {
        self.average.failed(now);
        self.failures.failed(now, base, chance, fleet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_begins_as_a_new_one_does() {
        let (now, base) = (Instant::now(), Duration::from_secs(30));
        let fleet = || Fleet {
            endpoints: 10,
            ejected: 0,
        };
        let mut member = Member::new(None);
        member.answered(now, Some(Duration::from_secs(1)));
        assert_eq!((member.share(now), member.seconds(now)), (1.0, Some(1.0)));
        while !member.failed(now, base, 0.0, fleet) {}
        let enters = || Entering::new(now + base, base, 10, 1e6);
        member.come_back(now, enters);
        assert!(member.is_ejected());
        member.come_back(now + base, enters);
        assert!(!member.is_ejected());
        assert_eq!(
            (member.share(now + base), member.seconds(now + base)),
            (0.1, None)
        );
    }
}
