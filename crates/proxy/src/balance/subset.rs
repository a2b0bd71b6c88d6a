//! Which of many endpoints one worker uses. If each of many workers used all of many endpoints, there
//! would be a connection for each pair, of which each is hardly ever used and about which nothing is
//! known when it is.
//!
//! All endpoints stand in a ring, in an order that is the same for all and follows from their names.
//! The workers of a proxy stand around the same ring, as far from each other as can be, and each
//! takes what lies before it, so far that every endpoint is before as many workers as every other (the
//! deterministic aperture of Finagle). Where that ends within an endpoint, it is used as much less. So
//! each proxy's load is even, and with it that of any number of proxies that know nothing of each
//! other; parts that chance draws are even only if there are very many who draw.
//!
//! If an endpoint comes or goes, all parts begin and end a place further at most.

use crate::limits::{SUBSET_ABOVE, SUBSET_LEAST};

/// A worker's part of the ring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Subset {
    /// Where it begins.
    pub(crate) start: usize,
    /// How many endpoints it has.
    pub(crate) width: usize,
    /// How much of its first and its last one it has.
    first: f64,
    last: f64,
}

impl Subset {
    /// That of one of so many workers; none where it uses all endpoints.
    pub(crate) fn of(endpoints: usize, worker: usize, workers: usize) -> Option<Self> {
        if endpoints <= SUBSET_ABOVE || workers < 2 {
            return None;
        }
        // How many workers use each endpoint.
        let times = (SUBSET_LEAST * workers).div_ceil(endpoints);
        // A part of a part may be at both of its ends.
        if endpoints * times / workers + 2 > endpoints {
            return None;
        }
        // In parts of an endpoint, of which each has as many as there are workers.
        let begin = endpoints * (worker % workers);
        let end = begin + endpoints * times;
        let start = begin / workers;
        let part = |parts: usize| parts as f64 / workers as f64;
        Some(Self {
            start,
            width: end.div_ceil(workers) - start,
            first: 1.0 - part(begin % workers),
            last: match end % workers {
                0 => 1.0,
                parts => part(parts),
            },
        })
    }

    /// How much of the endpoint at this place of it it has.
    pub(crate) fn share(&self, index: usize) -> f64 {
        match index {
            0 => self.first,
            _ if index + 1 == self.width => self.last,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pick::{Candidates, Fitness, Load, pick};
    use super::super::random::Random;
    use super::super::sticky::digest;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What one worker chooses among: a part of a ring, all of which are alike.
    struct Part(Subset);

    impl Candidates for Part {
        fn count(&self) -> usize {
            self.0.width
        }
        fn fitness(&self, _: usize) -> Fitness {
            Fitness::Fit
        }
        fn share(&self, index: usize) -> f64 {
            self.0.share(index)
        }
        fn load(&self, _: usize) -> Load {
            Load {
                seconds: None,
                last: None,
                in_flight: 0,
            }
        }
        fn identity(&self, _: usize) -> u64 {
            0
        }
    }

    /// The most and the least that an endpoint gets of what it should, when all of `proxies` are
    /// asked as much on each worker.
    fn unevenness(endpoints: usize, workers: usize, proxies: usize, seed: u64) -> (f64, f64) {
        const FOR_EACH: usize = 1_000;
        let (mut random, mut counts) = (Random::seeded(seed), vec![0_u32; endpoints]);
        let requests = FOR_EACH * endpoints / (workers * proxies);
        for worker in (0..workers).cycle().take(workers * proxies) {
            let part = Part(Subset::of(endpoints, worker, workers).unwrap());
            for _ in 0..requests {
                let chosen = pick(&part, &mut random).unwrap();
                counts[(part.0.start + chosen) % endpoints] += 1;
            }
        }
        let mean = (requests * workers * proxies) as f64 / endpoints as f64;
        let of = |count: Option<&u32>| f64::from(*count.unwrap()) / mean;
        (of(counts.iter().max()), of(counts.iter().min()))
    }

    #[test]
    fn the_load_is_even_over_workers_and_proxies() {
        for seed in 0..2 {
            for endpoints in [101, 150, 300, 1_000] {
                for (workers, proxies) in [(2, 1), (4, 3), (8, 1), (8, 5), (64, 1)] {
                    let (most, least) = unevenness(endpoints, workers, proxies, seed);
                    println!(
                        "seed {seed}, {endpoints} for {proxies} x {workers}: {least:.2} to {most:.2}"
                    );
                    assert!(most < 1.25 && least > 0.75, "{endpoints} {workers}");
                }
            }
        }
    }

    /// The same for parts that chance draws, as other proxies have them; to compare.
    #[test]
    fn parts_that_chance_draws_are_far_from_even() {
        let (endpoints, workers, mut random) = (300, 8 * 5, Random::seeded(1));
        let mut counts = vec![0_u32; endpoints];
        for _ in 0..workers {
            let mut part = BTreeSet::new();
            while part.len() < 2 * SUBSET_LEAST {
                part.insert(random.below(endpoints));
            }
            part.into_iter().for_each(|at| counts[at] += 1);
        }
        let most = counts.iter().max().unwrap();
        let mean = workers * 2 * SUBSET_LEAST / endpoints;
        println!("up to {most} workers use one, and {mean} on average");
        assert!(*most as usize >= 2 * mean);
    }

    fn names(of: impl Iterator<Item = u32>) -> Vec<u64> {
        let mut names: Vec<u64> = of.map(|name| digest(&name.to_be_bytes())).collect();
        names.sort_unstable();
        names
    }

    fn members(ring: &[u64], worker: usize, workers: usize) -> BTreeSet<u64> {
        match Subset::of(ring.len(), worker, workers) {
            None => ring.iter().copied().collect(),
            Some(part) => {
                let of = part.start..part.start + part.width;
                of.map(|at| ring[at % ring.len()]).collect()
            }
        }
    }

    #[test]
    fn few_endpoints_are_all_used_and_a_part_of_one_more() {
        assert!(Subset::of(SUBSET_ABOVE, 0, 4).is_none());
        let part = Subset::of(SUBSET_ABOVE + 1, 0, 4).unwrap();
        assert!((SUBSET_LEAST..SUBSET_ABOVE).contains(&part.width));
    }

    proptest! {
        #[test]
        fn every_endpoint_is_used_as_much_as_every_other(
            endpoints in 101_usize..2_000, workers in 2_usize..100,
        ) {
            let mut used = vec![0.0; endpoints];
            for worker in 0..workers {
                let Some(part) = Subset::of(endpoints, worker, workers) else {
                    return Ok(());
                };
                prop_assert!(part.width >= SUBSET_LEAST.min(endpoints) && part.width <= endpoints);
                for index in 0..part.width {
                    let share = part.share(index);
                    prop_assert!(share > 0.0 && share <= 1.0);
                    used[(part.start + index) % endpoints] += share;
                }
            }
            let times = (SUBSET_LEAST * workers).div_ceil(endpoints) as f64;
            prop_assert!(used.iter().all(|used| (used - times).abs() < 1e-6), "{:?}", used);
        }

        #[test]
        fn one_that_comes_or_goes_changes_few(
            endpoints in 150_u32..600, workers in 2_usize..32, which in 0_u32..600,
        ) {
            let (before, after) = (names(0..endpoints), {
                let which = which % endpoints;
                names((0..endpoints).filter(|name| *name != which))
            });
            let times = |count: usize| (SUBSET_LEAST * workers).div_ceil(count);
            // As many workers use each: otherwise their parts grow, and keep what they had.
            prop_assume!(times(before.len()) == times(after.len()));
            for worker in 0..workers {
                let (before, after) = (members(&before, worker, workers), members(&after, worker, workers));
                prop_assert!(before.difference(&after).count() <= 3);
                prop_assert!(after.difference(&before).count() <= 3);
            }
        }
    }
}
