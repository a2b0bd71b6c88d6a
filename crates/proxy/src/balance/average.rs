//! How long an endpoint lets requests wait, as an average that follows a rise at once and forgets
//! it slowly (the peak EWMA of Finagle).

use std::time::{Duration, Instant};

use crate::limits::{
    AVERAGE_DECAY, AVERAGE_LEAST_TRUST, AVERAGE_TRUST, INDISTINGUISHABLE, LONG_POLL,
};

/// The average of one endpoint; not known before its first answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Average(Option<Known>);

#[derive(Debug, Clone, Copy)]
struct Known {
    seconds: f64,
    at: Instant,
}

impl Known {
    /// How much of what was known still counts.
    fn weight(self, now: Instant) -> f64 {
        (-self.age(now).as_secs_f64() / AVERAGE_DECAY.as_secs_f64()).exp()
    }

    /// Whether it says anything still.
    fn is_trusted(self, now: Instant) -> bool {
        let trusted = Duration::from_secs_f64(self.seconds * f64::from(AVERAGE_TRUST));
        self.age(now) <= trusted.max(AVERAGE_LEAST_TRUST)
    }

    fn age(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

impl Average {
    /// In seconds. It shrinks while there is nothing new, and then is not known any more: an endpoint
    /// that was avoided is tried again.
    pub(crate) fn seconds(self, now: Instant) -> Option<f64> {
        let known = self.0.filter(|known| known.is_trusted(now))?;
        Some(known.seconds * known.weight(now))
    }

    /// What it was when it was last known, however long ago that is.
    pub(crate) fn last(self) -> Option<f64> {
        self.0.map(|known| known.seconds)
    }

    /// An answer began after so long. What takes very long is waiting for something to happen and
    /// says nothing of the endpoint.
    pub(crate) fn answered(&mut self, now: Instant, took: Duration) {
        if took > LONG_POLL {
            return;
        }
        let took = took.as_secs_f64();
        let seconds = match self.0.filter(|known| known.is_trusted(now)) {
            Some(known) if took < known.seconds => {
                let weight = known.weight(now);
                known.seconds * weight + took * (1.0 - weight)
            }
            _ => took,
        };
        self.0 = Some(Known { seconds, at: now });
    }

    /// An answer that nobody waits for any more has taken at least so long, which counts where it is
    /// more than what is known: otherwise an endpoint would seem as fast as those that are asked in
    /// its place.
    pub(crate) fn outlasted(&mut self, now: Instant, took: Duration) {
        if self
            .seconds(now)
            .is_none_or(|known| known < took.as_secs_f64())
        {
            self.answered(now, took);
        }
    }

    /// A request failed. Failures are often fast: unless they make an endpoint look slow, one that
    /// fails everything attracts what the others would serve. Each doubles what is known.
    pub(crate) fn failed(&mut self, now: Instant) {
        let least = INDISTINGUISHABLE.as_secs_f64();
        let known = self.seconds(now).unwrap_or_default().max(least);
        let seconds = (known * 2.0).min(LONG_POLL.as_secs_f64());
        self.0 = Some(Known { seconds, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rise_counts_at_once_and_is_forgotten_slowly() {
        let (start, mut average) = (Instant::now(), Average::default());
        assert_eq!(average.seconds(start), None);
        average.answered(start, SECOND / 100);
        average.answered(start + SECOND, SECOND / 2);
        assert_eq!(average.seconds(start + SECOND), Some(0.5));
        // After as long as it remembers, a third is left of the difference.
        let later = start + SECOND + AVERAGE_DECAY;
        average.answered(later, SECOND / 10);
        let seconds = average.seconds(later).unwrap();
        assert!((0.24..0.25).contains(&seconds), "{seconds}");
        // Without answers it shrinks.
        let seconds = average.seconds(later + 2 * AVERAGE_DECAY).unwrap();
        assert!((0.03..0.04).contains(&seconds), "{seconds}");
    }

    #[test]
    fn what_was_long_ago_is_not_known_any_more() {
        let (start, mut average) = (Instant::now(), Average::default());
        average.answered(start, SECOND / 20);
        let trusted = start + AVERAGE_TRUST * SECOND / 20;
        assert!(average.seconds(trusted).is_some());
        let later = trusted + SECOND / 100;
        assert_eq!(average.seconds(later), None);
        // What comes then stands by itself.
        average.answered(later, SECOND / 1000);
        assert_eq!(average.seconds(later), Some(0.001));
        assert_eq!(
            average.seconds(later + AVERAGE_LEAST_TRUST),
            average.seconds(later + SECOND)
        );
        assert_eq!(average.seconds(later + 2 * AVERAGE_LEAST_TRUST), None);
    }

    #[test]
    fn a_long_poll_is_not_counted() {
        let (start, mut average) = (Instant::now(), Average::default());
        average.answered(start, LONG_POLL + SECOND);
        assert_eq!(average.seconds(start), None);
        average.answered(start, SECOND);
        average.answered(start, LONG_POLL + SECOND);
        assert_eq!(average.seconds(start), Some(1.0));
    }

    #[test]
    fn an_answer_that_was_not_awaited_counts_for_what_it_took_at_least() {
        let (now, mut average) = (Instant::now(), Average::default());
        average.outlasted(now, SECOND / 10);
        assert_eq!(average.seconds(now), Some(0.1));
        average.outlasted(now, SECOND / 20);
        assert_eq!(average.seconds(now), Some(0.1), "it may have taken longer");
        average.outlasted(now, SECOND / 5);
        assert_eq!(average.seconds(now), Some(0.2));
    }

    #[test]
    fn failures_make_an_endpoint_look_slow_within_bounds() {
        let (now, mut average) = (Instant::now(), Average::default());
        average.answered(now, SECOND / 10);
        average.failed(now);
        average.failed(now);
        assert_eq!(average.seconds(now), Some(0.4));
        (0..100).for_each(|_| average.failed(now));
        assert_eq!(average.seconds(now), Some(LONG_POLL.as_secs_f64()));
        let mut unknown = Average::default();
        unknown.failed(now);
        assert_eq!(
            unknown.seconds(now),
            Some(2.0 * INDISTINGUISHABLE.as_secs_f64())
        );
    }

    proptest! {
        #[test]
        fn it_is_between_nothing_and_the_longest_that_was_seen(
            steps in proptest::collection::vec((0_u64..20_000, 0_u64..10_000), 1..50),
        ) {
            let (mut now, mut average) = (Instant::now(), Average::default());
            let mut longest = 0.0_f64;
            for (wait, took) in steps {
                now += Duration::from_millis(wait);
                let took = Duration::from_millis(took);
                average.answered(now, took);
                longest = longest.max(took.as_secs_f64());
                let seconds = average.seconds(now).unwrap();
                prop_assert!((0.0..=longest + 1e-9).contains(&seconds));
                prop_assert!(seconds >= took.as_secs_f64() - 1e-9, "it is never below the last");
                let later = average.seconds(now + SECOND);
                prop_assert!(later.is_none_or(|later| later <= seconds));
            }
        }
    }
}
