//! An endpoint that has just come gets a small share at first: caches are cold, code is not
//! compiled yet, and connections have to be opened.

use std::time::{Duration, Instant};

use crate::limits::{SLOW_START_ENDPOINTS, SLOW_START_LEAST_SHARE, SLOW_START_REQUESTS_PER_SECOND};

/// An endpoint's way to its whole share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entering {
    since: Instant,
    lasts: Duration,
}

impl Entering {
    /// One that begins now; none where the whole share is no burden. `longest` is how long it
    /// lasts where there are many `endpoints`, the new one included, and many requests for each.
    pub(crate) fn new(
        now: Instant,
        longest: Duration,
        endpoints: usize,
        requests_per_second: f64,
    ) -> Option<Self> {
        let lasts = longest.mul_f64(size(endpoints, requests_per_second));
        (!lasts.is_zero()).then_some(Self { since: now, lasts })
    }

    /// What it gets now of the share that all others have, at most 1.
    pub(crate) fn share(self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since);
        let part = passed.as_secs_f64() / self.lasts.as_secs_f64();
        (SLOW_START_LEAST_SHARE + (1.0 - SLOW_START_LEAST_SHARE) * part).min(1.0)
    }
}

/// From 0 to 1: with few requests a new endpoint is not overrun, and with few others these carry
/// what it does not take.
fn size(endpoints: usize, requests_per_second: f64) -> f64 {
    let others = endpoints.saturating_sub(1) as f64;
    let for_each = requests_per_second / endpoints.max(1) as f64;
    let many = (others / (SLOW_START_ENDPOINTS - 1) as f64).min(1.0);
    let busy = (for_each / SLOW_START_REQUESTS_PER_SECOND).min(1.0);
    many * busy
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn the_share_grows_evenly_to_the_whole() {
        let now = Instant::now();
        let entering = Entering::new(now, LONGEST, 10, 10_000.0).unwrap();
        let shares = [0, 15, 30, 60].map(|after| entering.share(now + Duration::from_secs(after)));
        assert_eq!(shares, [0.1, 0.55, 1.0, 1.0]);
    }

    #[test]
    fn it_is_short_where_there_is_little_to_take_and_absent_where_one_is_alone() {
        let lasts = |endpoints, rate| {
            let entering = Entering::new(Instant::now(), LONGEST, endpoints, rate);
            entering.map_or(0.0, |entering| entering.lasts.as_secs_f64())
        };
        assert_eq!(lasts(1, 1e6), 0.0);
        assert_eq!(lasts(10, 0.0), 0.0);
        assert!(lasts(2, 1e6) < 4.0);
        assert!(lasts(10, 10.0) < 1.0);
        assert_eq!(lasts(100, 1e6), 30.0);
    }

    proptest! {
        #[test]
        fn it_never_lasts_longer_and_never_takes_more_than_its_share(
            endpoints in 0_usize..1000, rate in 0.0..1e7, after in 0_u64..100_000,
        ) {
            let now = Instant::now();
            if let Some(entering) = Entering::new(now, LONGEST, endpoints, rate) {
                let share = entering.share(now + Duration::from_millis(after));
                prop_assert!((SLOW_START_LEAST_SHARE..=1.0).contains(&share));
                prop_assert_eq!(entering.share(now + LONGEST), 1.0);
            }
        }
    }
}
