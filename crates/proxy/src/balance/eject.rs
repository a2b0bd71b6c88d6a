//! An endpoint that fails again and again gets no requests for a while, each time for longer.

use std::time::{Duration, Instant};

use crate::limits::{EJECT_AFTER, EJECT_JITTER, EJECT_LONGEST, EJECT_PERCENT};

/// What is known of one endpoint's failures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Failures {
    in_a_row: u32,
    /// How often it was ejected. What it has done well since is taken off.
    times: u32,
    is_out: bool,
    /// When the last ejection ends or has ended.
    until: Option<Instant>,
}

/// All endpoints of an upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) endpoints: usize,
    pub(crate) ejected: usize,
}

impl Fleet {
    /// Whether one more may be ejected. If many fail it is not they who are the cause, and the
    /// rest would be next under their load.
    fn spares_one(self) -> bool {
        let most = (self.endpoints * EJECT_PERCENT / 100).max(1);
        self.ejected < most && self.ejected + 1 < self.endpoints
    }
}

impl Failures {
    /// Whether it gets no requests.
    pub(crate) fn is_out(self) -> bool {
        self.is_out
    }

    /// Whether there are so many in a row that it is ejected where it can be spared.
    pub(crate) fn are_many(self) -> bool {
        self.in_a_row >= EJECT_AFTER
    }

    /// Takes it back if its time is over; whether that is so.
    pub(crate) fn comes_back(&mut self, now: Instant) -> bool {
        let is_over = self.is_out && self.until.is_none_or(|until| now >= until);
        if is_over {
            (self.is_out, self.in_a_row) = (false, 0);
        }
        is_over
    }

    /// A request was answered.
    pub(crate) fn answered(&mut self) {
        self.in_a_row = 0;
    }

    /// A request failed; whether the endpoint is ejected for it. `base` is how long the first
    /// time lasts, `chance` shortens it, from 0 to 1.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        base: Duration,
        chance: f64,
        fleet: impl FnOnce() -> Fleet,
    ) -> bool {
        if self.is_out {
            // It was on its way before.
            return false;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < EJECT_AFTER || !fleet().spares_one() {
            return false;
        }
        self.forgive(now, base);
        self.times = self.times.saturating_add(1).min(EJECT_LONGEST);
        let lasts = (base * self.times).mul_f64(1.0 - EJECT_JITTER * chance);
        (self.is_out, self.until) = (true, Some(now + lasts));
        true
    }

    /// For each `base` without an ejection, one is forgotten.
    fn forgive(&mut self, now: Instant, base: Duration) {
        let Some(until) = self.until else { return };
        let well = now.saturating_duration_since(until).as_millis();
        let forgotten = well / base.as_millis().max(1);
        self.times = self
            .times
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: Duration = Duration::from_secs(30);
    const MANY: Fleet = Fleet {
        endpoints: 20,
        ejected: 0,
    };

    /// Fails until it is ejected, and returns for how long.
    fn eject(failures: &mut Failures, now: Instant, chance: f64) -> Duration {
        while !failures.failed(now, BASE, chance, || MANY) {}
        failures.until.unwrap() - now
    }

    #[test]
    fn five_failures_in_a_row_eject_and_fewer_do_not() {
        let (now, mut failures) = (Instant::now(), Failures::default());
        for _ in 0..3 {
            for _ in 1..EJECT_AFTER {
                assert!(!failures.failed(now, BASE, 0.0, || MANY));
            }
            failures.answered();
        }
        for _ in 1..EJECT_AFTER {
            assert!(!failures.failed(now, BASE, 0.0, || MANY));
        }
        assert!(failures.failed(now, BASE, 0.0, || MANY) && failures.is_out());
        assert!(!failures.comes_back(now + BASE / 2) && failures.is_out());
        assert!(failures.comes_back(now + BASE) && !failures.is_out());
        assert!(!failures.comes_back(now + BASE), "it comes back once");
        assert!(!failures.failed(now, BASE, 0.0, || MANY), "it begins anew");
    }

    #[test]
    fn each_time_is_longer_up_to_a_limit_and_good_behaviour_is_remembered() {
        let (mut now, mut failures) = (Instant::now(), Failures::default());
        for times in 1..20 {
            let lasted = eject(&mut failures, now, 0.0);
            assert_eq!(lasted, BASE * times.min(10));
            now += lasted;
            assert!(failures.comes_back(now));
        }
        now += BASE * 4;
        assert_eq!(eject(&mut failures, now, 0.0), BASE * 7);
        now += BASE * 100;
        assert!(failures.comes_back(now));
        assert_eq!(eject(&mut failures, now, 0.0), BASE);
    }

    #[test]
    fn one_may_always_go_then_a_tenth_and_never_the_last() {
        let may = |endpoints| {
            let spares = |&ejected: &usize| Fleet { endpoints, ejected }.spares_one();
            (0..endpoints).filter(spares).count()
        };
        let most = [0, 1, 2, 3, 10, 19, 20, 45].map(|endpoints| (endpoints, may(endpoints)));
        let expected = [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 1),
            (10, 1),
            (19, 1),
            (20, 2),
            (45, 4),
        ];
        assert_eq!(most, expected);
    }

    proptest! {
        #[test]
        fn an_ejection_ends_within_its_limits(chance in 0.0..1.0, rounds in 1_u32..30) {
            let (mut now, mut failures) = (Instant::now(), Failures::default());
            for _ in 0..rounds {
                let lasts = eject(&mut failures, now, chance);
                prop_assert!(lasts >= BASE.mul_f64(1.0 - EJECT_JITTER));
                prop_assert!(lasts <= BASE * EJECT_LONGEST);
                now += lasts;
                prop_assert!(failures.comes_back(now));
            }
        }
    }
}
