//! Which endpoint a number stands for, so that the same number finds the same endpoint as long as it
//! is there: of all endpoints the one that has the highest rank with it (rendezvous hashing; Thaler
//! and Ravishankar, 1998). If an endpoint goes, only its own numbers go elsewhere, evenly to all
//! others; if one comes, it takes an even part of all. That is what a ring of hashes gives, without a
//! ring to keep, and more evenly.
//!
//! An endpoint that enters slowly takes its numbers one after the other as its share grows, each of
//! them once.

use super::pick::{Candidates, Fitness, from};

/// How much more than the average an endpoint may have to do where that is bounded, in hundredths
/// (Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads).
const BOUND_PERCENT: u64 = 125;

/// A number for some bytes, the same everywhere (FNV-1a, and a last mix).
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    mixed(hash)
}

/// Every bit depends on every bit (the finalizer of SplitMix64).
fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The one that `number` stands for; none where there is none that is fit in any way.
pub(super) fn find(candidates: &impl Candidates, number: u64, bounded: bool) -> Option<usize> {
    let count = candidates.count();
    let most = bounded.then(|| most(candidates));
    let has_room =
        |index: usize| most.is_none_or(|most| u64::from(candidates.load(index).in_flight) < most);
    let ranked = from(0, count).filter_map(|index| {
        let fitness = candidates.fitness(index);
        (fitness > Fitness::Unfit).then(|| {
            let rank = rank(candidates.identity(index), number, candidates.share(index));
            (fitness, has_room(index), rank, index)
        })
    });
    let best = ranked.max_by(|one, other| {
        let order = (one.0, one.1).cmp(&(other.0, other.1));
        order.then(one.2.total_cmp(&other.2))
    });
    best.map(|(.., index)| index)
}

/// How many requests each may have in flight: not less than all of them together have.
fn most(candidates: &impl Candidates) -> u64 {
    let count = candidates.count() as u64;
    let in_flight: u64 = (0..candidates.count())
        .map(|index| u64::from(candidates.load(index).in_flight))
        .sum();
    ((in_flight + 1) * BOUND_PERCENT).div_ceil(100 * count.max(1))
}

/// The rank of an endpoint with a number: of several, each is the highest as often as its share
/// says (Schindelhauer and Schomaker, Weighted Distributed Hash Tables).
fn rank(identity: u64, number: u64, share: f64) -> f64 {
    let chance = mixed(identity ^ mixed(number)) >> 11;
    // Above 0 and at most 1.
    let chance = (chance + 1) as f64 / (1_u64 << 53) as f64;
    match share < 1.0 {
        true => chance.ln() / share,
        false => chance.ln(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pick::Load;
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    struct One {
        name: u64,
        share: f64,
        in_flight: u32,
    }

    impl Candidates for Vec<One> {
        fn count(&self) -> usize {
            self.len()
        }
        fn fitness(&self, _: usize) -> Fitness {
            Fitness::Fit
        }
        fn share(&self, index: usize) -> f64 {
            self[index].share
        }
        fn load(&self, index: usize) -> Load {
            Load {
                seconds: None,
                last: None,
                in_flight: self[index].in_flight,
            }
        }
        fn identity(&self, index: usize) -> u64 {
            digest(&self[index].name.to_be_bytes())
        }
    }

    fn fleet(names: impl IntoIterator<Item = u64>) -> Vec<One> {
        let one = |name| One {
            name,
            share: 1.0,
            in_flight: 0,
        };
        names.into_iter().map(one).collect()
    }

    /// The name that a key stands for.
    fn name(fleet: &Vec<One>, key: u64) -> u64 {
        fleet[find(fleet, digest(&key.to_be_bytes()), false).unwrap()].name
    }

    #[test]
    fn keys_are_spread_evenly_and_by_share() {
        let mut fleet = fleet(0..10);
        fleet[4].share = 0.25;
        let mut counts = [0_u32; 10];
        for key in 0..37_000 {
            counts[name(&fleet, key) as usize] += 1;
        }
        assert!((900..1_100).contains(&counts[4]), "{counts:?}");
        let others = counts.iter().enumerate().filter(|(at, _)| *at != 4);
        for (_, count) in others {
            assert!((3_800..4_200).contains(count), "{counts:?}");
        }
    }

    #[test]
    fn with_a_bound_none_has_more_than_a_quarter_above_the_average() {
        let mut fleet = fleet(0..8);
        for request in 1..=10_000_u32 {
            // One key has half of all requests.
            let key = if request % 2 == 0 {
                7
            } else {
                u64::from(request)
            };
            let index = find(&fleet, digest(&key.to_be_bytes()), true).unwrap();
            fleet[index].in_flight += 1;
            let most = f64::from(request) * 1.25 / 8.0 + 1.0;
            assert!(f64::from(fleet[index].in_flight) <= most);
        }
        let alone = fleet[..1].to_vec();
        assert_eq!(find(&alone, 5, true), Some(0));
        assert_eq!(find(&Vec::new(), 5, true), None);
    }

    proptest! {
        #[test]
        fn only_the_keys_of_who_goes_move_and_only_to_who_comes(
            names in proptest::collection::btree_set(0_u64..1_000, 2..20),
            comes in 1_000_u64..2_000,
            which in any::<prop::sample::Index>(),
        ) {
            let all: Vec<u64> = names.into_iter().collect();
            let gone = all[which.index(all.len())];
            let before = fleet(all.iter().copied());
            // Their order does not matter either.
            let without = fleet(all.iter().rev().copied().filter(|name| *name != gone));
            let with = fleet(all.iter().copied().chain([comes]));
            let mut entering = with.clone();
            entering.last_mut().unwrap().share = 0.3;
            for key in 0..200 {
                let was = name(&before, key);
                prop_assert!(was == gone || name(&without, key) == was);
                let (is, enters) = (name(&with, key), name(&entering, key));
                prop_assert!(is == was || is == comes);
                // What has moved to one that enters stays there.
                prop_assert!(enters == was || (enters == comes && is == comes));
            }
        }
    }
}
