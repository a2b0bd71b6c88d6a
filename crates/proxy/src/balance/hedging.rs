//! After which wait a request is sent a second time. As a time that is declared, or as the one that
//! so many percent of the requests of the last while did not have to wait ("The Tail at Scale"
//! advises the 95th percentile: it costs a twentieth more requests).
//!
//! A request whose second attempt was faster says only that its first one took longer than so far.
//! That is enough: it lies above the percentile either way.

use std::time::{Duration, Instant};

use model::HedgeAfter;

use crate::limits::{HEDGE_FORGETS, HEDGE_KNOWN, HEDGE_LEAST, HEDGE_REMEMBERS};

/// Parts of each doubling of time, which are an eighth apart at most.
const PARTS: usize = 8;
/// Microseconds up to 2^28, about 4.5 minutes.
const DOUBLINGS: usize = 29;

/// What is known of how long answers take.
#[derive(Debug)]
pub(crate) struct Hedging {
    after: HedgeAfter,
    /// How many requests took so long, by parts of doublings.
    counts: [u32; PARTS * DOUBLINGS],
    total: u32,
    /// When the half was forgotten.
    forgot: Option<Instant>,
    /// The percentile as it was found last, and how many were known then.
    found: Option<Duration>,
    found_of: u32,
}

impl Hedging {
    pub(crate) fn new(after: HedgeAfter) -> Self {
        Self {
            after,
            counts: [0; PARTS * DOUBLINGS],
            total: 0,
            forgot: None,
            found: None,
            found_of: 0,
        }
    }

    /// The wait that is declared.
    pub(crate) fn declared(&self) -> HedgeAfter {
        self.after
    }

    /// After which wait a request is sent a second time; none as long as too little is known.
    pub(crate) fn after(&self) -> Option<Duration> {
        match self.after {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Percentile(_) => self.found.map(|found| found.max(HEDGE_LEAST)),
        }
    }

    /// A first attempt took so long, or longer.
    pub(crate) fn took(&mut self, now: Instant, time: Duration) {
        let HedgeAfter::Percentile(percent) = self.after else {
            return;
        };
        let forgot = *self.forgot.get_or_insert(now);
        let is_old = now.saturating_duration_since(forgot) >= HEDGE_FORGETS;
        if is_old || self.total >= HEDGE_REMEMBERS {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
            (self.forgot, self.found_of) = (Some(now), self.total);
        }
        self.counts[part(time)] += 1;
        self.total += 1;
        // To look is a walk over all parts, and one more hardly changes it.
        if self.total >= self.found_of + HEDGE_KNOWN {
            (self.found, self.found_of) = (self.percentile(percent), self.total);
        }
    }

    /// The longest time of the part in which the percentile lies.
    fn percentile(&self, percent: u8) -> Option<Duration> {
        let below = (u64::from(self.total) * u64::from(percent)).div_ceil(100);
        let mut sum = 0;
        let at = self.counts.iter().position(|&count| {
            sum += u64::from(count);
            sum >= below
        });
        at.map(longest)
    }
}

/// The part in which a time lies.
fn part(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = micros.ilog2() as usize;
    // What is between this power of two and the next, in eighths.
    let rest = micros - (1 << doubling);
    let eighth = ((u128::from(rest) * PARTS as u128) >> doubling) as usize;
    (doubling * PARTS + eighth).min(PARTS * DOUBLINGS - 1)
}

/// The time at which the part after this one begins.
fn longest(part: usize) -> Duration {
    let (doubling, eighth) = (part / PARTS, part % PARTS);
    let micros = (1_u64 << doubling) as f64 * (1.0 + (eighth + 1) as f64 / PARTS as f64);
    Duration::from_secs_f64(micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_time_that_is_declared_is_the_time() {
        let mut hedging = Hedging::new(HedgeAfter::Time(20 * MS));
        hedging.took(Instant::now(), 500 * MS);
        assert_eq!(hedging.after(), Some(20 * MS));
    }

    #[test]
    fn a_percentile_is_known_after_a_few_and_follows_what_changes() {
        let (mut now, mut hedging) = (Instant::now(), Hedging::new(HedgeAfter::Percentile(95)));
        let mut run = |hedging: &mut Hedging, count: u64, slow: Duration| {
            for number in 0..count {
                now += MS;
                let time = if number % 10 == 0 { slow } else { 5 * MS };
                hedging.took(now, time);
            }
        };
        run(&mut hedging, u64::from(HEDGE_KNOWN) - 1, 40 * MS);
        assert_eq!(hedging.after(), None, "nothing is known yet");
        run(&mut hedging, 1_000, 40 * MS);
        let after = hedging.after().unwrap();
        assert!((40 * MS..46 * MS).contains(&after), "{after:?}");
        // What was long ago is forgotten.
        run(&mut hedging, 20 * u64::from(HEDGE_REMEMBERS), 10 * MS);
        let after = hedging.after().unwrap();
        assert!((10 * MS..12 * MS).contains(&after), "{after:?}");
    }

    #[test]
    fn those_that_were_cut_short_at_it_do_not_move_it() {
        let (mut now, mut hedging) = (Instant::now(), Hedging::new(HedgeAfter::Percentile(95)));
        for number in 0..100_000_u64 {
            now += MS;
            // From 1 to 100 ms, evenly; none is waited for longer than until its second attempt.
            let time = MS * (1 + (number * 37 % 100) as u32);
            let time = hedging.after().map_or(time, |after| time.min(after + MS));
            hedging.took(now, time);
        }
        let after = hedging.after().unwrap();
        assert!((90 * MS..112 * MS).contains(&after), "{after:?}");
    }

    proptest! {
        #[test]
        fn a_percentile_is_a_part_above_what_it_is_at_most(
            times in proptest::collection::vec(1_000_u64..200_000_000, 200..400), percent in 50_u8..=99,
        ) {
            let (now, mut hedging) = (Instant::now(), Hedging::new(HedgeAfter::Percentile(percent)));
            for time in &times {
                hedging.took(now, Duration::from_micros(*time));
            }
            let found = hedging.percentile(percent).unwrap().as_micros() as u64;
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let exact = sorted[(times.len() * usize::from(percent)).div_ceil(100) - 1];
            prop_assert!(found >= exact && found <= exact + exact / 8 + 1, "{} {}", found, exact);
        }
    }
}
