//! A token bucket as one number, by the generic cell rate algorithm (ITU-T I.371): the time at
//! which the bucket is full again. Pure: whoever asks says what time it is.

/// How a bucket fills and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The time in which one token comes, in nanoseconds.
    interval: u64,
    /// How long ahead of now the time of fullness may be for a token still to be there.
    tolerance: u64,
}

/// What a request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It has a token; the bucket is full again at this time.
    Token(u64),
    /// It has none; the next one is there after so many nanoseconds.
    None(u64),
}

impl Bucket {
    /// The buckets of `limit`.
    pub(crate) fn of(limit: &model::RateLimit) -> Self {
        let interval = limit.interval();
        let others = u64::from(limit.burst.get() - 1);
        Self {
            interval,
            tolerance: interval.saturating_mul(others),
        }
    }

    /// Takes a token at `now` from the bucket that is full at `full`. One that has been full for a
    /// while holds no more than one that is full now, which is why a bucket nobody has seen is
    /// one of `full` 0.
    pub(crate) fn take(self, full: u64, now: u64) -> Taken {
        let full = full.max(now);
        match (full - now).checked_sub(self.tolerance) {
            None | Some(0) => Taken::Token(full.saturating_add(self.interval)),
            Some(wait) => Taken::None(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Caller, Period, RateLimit};
    use proptest::prelude::*;

    pub(crate) fn limit(requests: u32, per: Period, burst: u32) -> RateLimit {
        RateLimit {
            requests: requests.try_into().unwrap(),
            per,
            burst: burst.try_into().unwrap(),
            by: Caller::Route,
        }
    }

    #[test]
    fn a_burst_passes_and_then_one_in_each_interval() {
        let bucket = Bucket::of(&limit(10, Period::Second, 3));
        const SECOND: u64 = 1_000_000_000;
        let (mut full, mut passed) = (0, Vec::new());
        // Every 50 ms, for a second, starting at some time.
        for tick in 0..20 {
            let now = 5 * SECOND + tick * SECOND / 20;
            match bucket.take(full, now) {
                Taken::Token(at) => {
                    full = at;
                    passed.push(tick);
                }
                Taken::None(wait) => assert!((1..=SECOND / 10).contains(&wait), "{wait}"),
            }
        }
        // Three at once, since the burst is there, of which one comes back every second tick.
        assert_eq!(passed, [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18]);
    }

    #[test]
    fn the_wait_that_is_told_is_enough_and_no_more_than_that() {
        for (requests, burst) in [(1, 1), (1, 1_000_000), (1_000_000, 1), (7, 3)] {
            let bucket = Bucket::of(&limit(requests, Period::Hour, burst));
            let mut full = 0;
            for _ in 0..burst {
                match bucket.take(full, 1) {
                    Taken::Token(at) => full = at,
                    Taken::None(_) => panic!("the burst of {burst} is not there"),
                }
            }
            let Taken::None(wait) = bucket.take(full, 1) else {
                panic!("one more than {burst}");
            };
            assert!(matches!(bucket.take(full, 1 + wait), Taken::Token(_)));
            assert!(matches!(bucket.take(full, wait), Taken::None(1)));
        }
    }

    /// The same bucket by its definition: a number of tokens, in parts of one.
    struct Tokens {
        parts: u128,
        at: u64,
    }

    impl Tokens {
        fn take(&mut self, interval: u64, burst: u32, now: u64) -> bool {
            let (one, most) = (
                u128::from(interval),
                u128::from(interval) * u128::from(burst),
            );
            self.parts = (self.parts + u128::from(now - self.at)).min(most);
            self.at = now;
            let may = self.parts >= one;
            if may {
                self.parts -= one;
            }
            may
        }
    }

    proptest! {
        #[test]
        fn it_is_a_token_bucket(
            requests in 1u32..1000,
            burst in 1u32..50,
            waits in prop::collection::vec(0u64..200_000_000, 0..200),
        ) {
            let limit = limit(requests, Period::Second, burst);
            let (bucket, interval) = (Bucket::of(&limit), limit.interval());
            let full_at_first = u128::from(interval) * u128::from(burst);
            let mut reference = Tokens { parts: full_at_first, at: 1 };
            let (mut full, mut now) = (0, 1);
            for wait in waits {
                now += wait;
                let taken = bucket.take(full, now);
                let expected = reference.take(interval, burst, now);
                prop_assert_eq!(matches!(taken, Taken::Token(_)), expected);
                if let Taken::Token(at) = taken {
                    prop_assert!(at > full && at > now);
                    full = at;
                }
            }
        }
    }
}
