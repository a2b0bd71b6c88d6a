//! The buckets of one rule, which all workers share, in bounded memory.
//!
//! A key has its place in one of many small sets. Where all places of a set are taken, a new key
//! takes over the bucket that is soonest full, as it is, rather than a fresh one (the rule of the
//! Space-Saving algorithm of Metwally, Agrawal and El Abbadi). Two things follow. A key never finds
//! a bucket that is fuller than its own would be: whoever floods the table with keys gains
//! nothing by it and resets nobody's bucket. And a bucket that is full again is given away first,
//! at no loss.
//!
//! There is no lock. Two workers that give the same place to two keys at once, or a key two places,
//! lose at most one request for each worker from the count, and only then.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bucket::{Bucket, Taken};
use crate::limits::{RATE_LIMIT_SEGMENTS, RATE_LIMIT_SETS, RATE_LIMIT_WAYS};

/// A key, and when its bucket is full.
#[derive(Debug, Default)]
struct Place {
    /// The key's hash; 0 where no key has had it yet.
    key: AtomicU64,
    full: AtomicU64,
}

/// The places that a key may have.
type Set = [Place; RATE_LIMIT_WAYS];

/// A part of the table, which is there once it is needed.
type Segment = OnceLock<Box<[Set; RATE_LIMIT_SETS]>>;

/// Buckets by the hashes of their keys.
#[derive(Debug)]
pub(super) struct Table {
    segments: Box<[Segment]>,
}

impl Table {
    /// A table without a bucket.
    pub(super) fn new() -> Self {
        Self::of(RATE_LIMIT_SEGMENTS)
    }

    fn of(segments: usize) -> Self {
        Self {
            segments: (0..segments).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Takes a token at `now` from the bucket of the key with this hash.
    pub(super) fn take(&self, bucket: Bucket, key: u64, now: u64) -> Taken {
        // 0 is no key.
        let key = key.max(1);
        let set = self.set(key);
        let found = set
            .iter()
            .find(|place| place.key.load(Ordering::Relaxed) == key);
        let place = match found {
            Some(place) => place,
            None => {
                let place = soonest_full(set);
                place.key.store(key, Ordering::Relaxed);
                place
            }
        };
        let mut full = place.full.load(Ordering::Relaxed);
        loop {
            let Taken::Token(next) = bucket.take(full, now) else {
                return bucket.take(full, now);
            };
            // Times only grow, so nothing is lost if another worker was faster.
            let swapped =
                place
                    .full
                    .compare_exchange_weak(full, next, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return Taken::Token(next),
                Err(current) => full = current,
            }
        }
    }

    fn set(&self, key: u64) -> &Set {
        let sets = (self.segments.len() * RATE_LIMIT_SETS) as u64;
        let index = (key % sets) as usize;
        let segment = &self.segments[index / RATE_LIMIT_SETS];
        let sets = segment.get_or_init(|| Box::new(std::array::from_fn(|_| Set::default())));
        &sets[index % RATE_LIMIT_SETS]
    }
}

/// The place whose bucket is soonest full; that of no key, where there is one.
fn soonest_full(set: &Set) -> &Place {
    let mut best = &set[0];
    for place in set {
        if place.full.load(Ordering::Relaxed) < best.full.load(Ordering::Relaxed) {
            best = place;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Caller, Period, RateLimit};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn bucket(requests: u32, burst: u32) -> Bucket {
        Bucket::of(&RateLimit {
            requests: requests.try_into().unwrap(),
            per: Period::Second,
            burst: burst.try_into().unwrap(),
            by: Caller::Route,
        })
    }

    fn passes(table: &Table, bucket: Bucket, key: u64, now: u64) -> bool {
        matches!(table.take(bucket, key, now), Taken::Token(_))
    }

    /// Keys of one set of a table of one segment.
    fn in_one_set(number: u64) -> u64 {
        1 + number * RATE_LIMIT_SETS as u64
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own_and_memory_comes_when_it_is_used() {
        let table = Table::new();
        let bucket = bucket(1, 2);
        for key in 0..10_000 {
            // Spread over the table as hashes are.
            let key = u64::wrapping_mul(key, 0x9e37_79b9_7f4a_7c15);
            assert!(passes(&table, bucket, key, 1) && passes(&table, bucket, key, 1));
            assert!(!passes(&table, bucket, key, 1));
        }
        let one = Table::new();
        assert!(passes(&one, bucket, 7, 1));
        let used = one
            .segments
            .iter()
            .filter(|segment| segment.get().is_some());
        assert_eq!(used.count(), 1);
    }

    #[test]
    fn whoever_floods_a_set_resets_no_bucket() {
        let (table, bucket) = (Table::of(1), bucket(1, 3));
        let victim = in_one_set(0);
        for _ in 0..3 {
            assert!(passes(&table, bucket, victim, 1));
        }
        // More keys than there are places, each of them once, and all of them again.
        for _ in 0..4 {
            for number in 1..100 {
                passes(&table, bucket, in_one_set(number), 1);
            }
            assert!(!passes(&table, bucket, victim, 1));
        }
        // Nor does it stop anybody for longer than it lasts.
        let later = 10_000_000_000;
        for number in 0..RATE_LIMIT_WAYS as u64 {
            assert!(passes(&table, bucket, in_one_set(number), later));
        }
    }

    #[test]
    fn a_bucket_that_is_full_again_is_given_away_first() {
        let (table, bucket) = (Table::of(1), bucket(1, 2));
        let ways = RATE_LIMIT_WAYS as u64;
        assert!(passes(&table, bucket, in_one_set(0), 1));
        let later = 5_000_000_000;
        for number in 1..ways {
            assert!(passes(&table, bucket, in_one_set(number), later));
        }
        assert!(passes(&table, bucket, in_one_set(ways), later));
        for number in 1..=ways {
            assert!(
                passes(&table, bucket, in_one_set(number), later),
                "{number}"
            );
            assert!(
                !passes(&table, bucket, in_one_set(number), later),
                "{number}"
            );
        }
    }

    #[test]
    fn workers_that_take_at_once_take_no_more_than_there_is() {
        let (table, bucket) = (Table::new(), bucket(1, 1000));
        assert!(passes(&table, bucket, 5, 1));
        let count = |_: u32| (0..1000).filter(|_| passes(&table, bucket, 5, 1)).count();
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || count(n))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(passed, 999);
    }

    proptest! {
        #[test]
        fn no_key_ever_gets_more_than_its_bucket_has_whatever_others_do(
            burst in 1u32..5,
            asked in prop::collection::vec((0u64..40, 0u64..400_000_000), 0..400),
        ) {
            let (table, bucket) = (Table::of(1), bucket(10, burst));
            let mut exact: HashMap<u64, u64> = HashMap::new();
            let mut now = 1;
            for (number, wait) in asked {
                now += wait;
                let full = exact.entry(number).or_default();
                let alone = bucket.take(*full, now);
                if passes(&table, bucket, in_one_set(number), now) {
                    match alone {
                        Taken::Token(at) => *full = at,
                        Taken::None(_) => prop_assert!(false, "{number} got one too many"),
                    }
                }
            }
        }

        #[test]
        fn keys_that_find_a_place_get_all_that_their_buckets_have(
            burst in 1u32..5,
            asked in prop::collection::vec((0..RATE_LIMIT_WAYS as u64, 0u64..400_000_000), 0..400),
        ) {
            let (table, bucket) = (Table::of(1), bucket(10, burst));
            let mut exact: HashMap<u64, u64> = HashMap::new();
            let mut now = 1;
            for (number, wait) in asked {
                now += wait;
                let full = exact.entry(number).or_default();
                let alone = bucket.take(*full, now);
                prop_assert_eq!(table.take(bucket, in_one_set(number), now), alone);
                if let Taken::Token(at) = alone {
                    *full = at;
                }
            }
        }
    }
}
