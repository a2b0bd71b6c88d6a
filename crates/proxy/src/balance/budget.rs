//! How many second attempts an upstream gets: a part of its requests and a few besides. Without a
//! limit, retries double the load on a service at the moment that it has too much.

use std::time::Instant;

use crate::limits::{RETRIES_PER_SECOND, RETRY_PERCENT, RETRY_WINDOW_SECONDS};

const SECONDS: usize = RETRY_WINDOW_SECONDS;

/// The requests and second attempts of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    began: Option<Instant>,
    /// The current second since it began.
    second: u64,
    /// By second, modulo the window.
    requests: [u32; SECONDS],
    retries: [u32; SECONDS],
    /// Their sums.
    asked: u64,
    retried: u64,
}

impl Budget {
    /// A request came.
    pub(crate) fn request(&mut self, now: Instant) {
        let slot = self.slot(now);
        self.requests[slot] += 1;
        self.asked += 1;
    }

    /// Takes a second attempt out of the budget if there is one left.
    pub(crate) fn retry(&mut self, now: Instant) -> bool {
        self.slot(now);
        let earned = self.asked * RETRY_PERCENT / 100;
        let allowed = self.retried < earned + RETRIES_PER_SECOND * SECONDS as u64;
        if allowed {
            self.retry_anyway(now);
        }
        allowed
    }

    /// Takes a second attempt out of the budget even if there is none left.
    pub(crate) fn retry_anyway(&mut self, now: Instant) {
        let slot = self.slot(now);
        self.retries[slot] += 1;
        self.retried += 1;
    }

    /// How many requests a second there were lately.
    pub(crate) fn requests_per_second(&mut self, now: Instant) -> f64 {
        self.slot(now);
        let seconds = (self.second + 1).min(SECONDS as u64);
        self.asked as f64 / seconds as f64
    }

    /// The place of the current second, after what is too old was forgotten.
    fn slot(&mut self, now: Instant) -> usize {
        let began = *self.began.get_or_insert(now);
        let second = now.saturating_duration_since(began).as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        // Times may be handed in a little out of order; it never goes back.
        self.second = self.second.max(second);
        for ago in 0..passed {
            let slot = index(self.second - ago);
            self.asked -= u64::from(std::mem::take(&mut self.requests[slot]));
            self.retried -= u64::from(std::mem::take(&mut self.retries[slot]));
        }
        index(self.second)
    }
}

fn index(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const RESERVE: u64 = RETRIES_PER_SECOND * SECONDS as u64;

    fn retries(budget: &mut Budget, now: Instant) -> u64 {
        (0..).take_while(|_| budget.retry(now)).count() as u64
    }

    #[test]
    fn it_is_a_fifth_of_the_requests_and_a_few() {
        let (now, mut budget) = (Instant::now(), Budget::default());
        (0..1000).for_each(|_| budget.request(now));
        assert_eq!(retries(&mut budget, now), 200 + RESERVE);
        // What may always be tried again counts all the same.
        budget.retry_anyway(now);
        (0..5).for_each(|_| budget.request(now));
        assert!(!budget.retry(now));
        (0..5).for_each(|_| budget.request(now));
        assert!(budget.retry(now) && !budget.retry(now));
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let (now, mut budget) = (Instant::now(), Budget::default());
        (0..1000).for_each(|_| budget.request(now));
        assert_eq!(budget.requests_per_second(now), 1000.0);
        let last = now + Duration::from_secs(SECONDS as u64 - 1);
        assert_eq!(budget.requests_per_second(last), 1000.0 / SECONDS as f64);
        let later = now + Duration::from_secs(SECONDS as u64);
        assert_eq!(budget.requests_per_second(later), 0.0);
        assert_eq!(retries(&mut budget, later), RESERVE);
    }

    proptest! {
        #[test]
        fn retries_stay_within_their_part_whatever_comes(
            steps in proptest::collection::vec((0_u64..30_000, 0_u32..50, 0_u32..300), 1..60),
        ) {
            let (mut now, mut budget) = (Instant::now(), Budget::default());
            let (mut asked, mut retried, began) = (0_u64, 0_u64, now);
            for (wait, requests, attempts) in steps {
                now += Duration::from_millis(wait);
                (0..requests).for_each(|_| budget.request(now));
                asked += u64::from(requests);
                retried += (0..attempts).filter(|_| budget.retry(now)).count() as u64;
                // A request earns in each window that it is in, of two that follow each other.
                let windows = (now - began).as_secs() / SECONDS as u64 + 2;
                prop_assert!(retried <= asked * 2 * RETRY_PERCENT / 100 + RESERVE * windows);
                let sum = |counts: &[u32]| counts.iter().map(|&count| u64::from(count)).sum::<u64>();
                prop_assert_eq!(budget.asked, sum(&budget.requests));
                prop_assert_eq!(budget.retried, sum(&budget.retries));
            }
        }
    }
}
