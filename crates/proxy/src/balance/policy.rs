//! The ways to choose an endpoint that a service can declare.

use super::pick::{Candidates, Fitness, from, least_bad, pick};
use super::random::Random;
use super::sticky;

/// One of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Of two that chance names, the one that is expected to answer sooner.
    #[default]
    LeastLatency,
    /// The one with the least in flight.
    LeastConnections,
    /// One after the other.
    RoundRobin,
    /// The one that a request's number stands for.
    Hash {
        /// Unless that one has a quarter more to do than the average.
        bounded: bool,
    },
}

/// Chooses by a policy, and knows whose turn it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chooser {
    policy: Policy,
    /// The one that is next, modulo how many there are.
    turn: usize,
}

impl Chooser {
    /// One that begins anywhere: workers and proxies that all begin with the first would overrun it.
    pub(crate) fn new(policy: Policy, random: &mut Random) -> Self {
        let turn = random.number() as usize;
        Self { policy, turn }
    }

    /// Whether requests have numbers that matter.
    pub(crate) fn is_sticky(self) -> bool {
        matches!(self.policy, Policy::Hash { .. })
    }

    /// Chooses one for a request of this number, if it has one; none where there is none that is fit
    /// in any way.
    pub(crate) fn pick(
        &mut self,
        candidates: &impl Candidates,
        number: Option<u64>,
        random: &mut Random,
    ) -> Option<usize> {
        match (self.policy, number) {
            (Policy::Hash { bounded }, Some(number)) => sticky::find(candidates, number, bounded),
            (Policy::LeastLatency | Policy::Hash { .. }, _) => pick(candidates, random),
            (Policy::LeastConnections, _) => {
                least_busy(candidates, random).or_else(|| least_bad(candidates, random))
            }
            (Policy::RoundRobin, _) => self
                .next(candidates, random)
                .or_else(|| least_bad(candidates, random)),
        }
    }

    /// The next that is fit. One that enters is passed over as often as its share says, unless all
    /// do.
    fn next(&mut self, candidates: &impl Candidates, random: &mut Random) -> Option<usize> {
        let count = candidates.count();
        let mut fit = from(self.turn % count.max(1), count)
            .filter(|&index| candidates.fitness(index) == Fitness::Fit);
        let first = fit.next()?;
        let takes = |index: &usize| {
            let share = candidates.share(*index);
            share >= 1.0 || random.fraction() < share
        };
        let chosen = std::iter::once(first).chain(fit).find(takes);
        let chosen = chosen.unwrap_or(first);
        self.turn = chosen + 1;
        Some(chosen)
    }
}

/// One that fails, and may not be ejected, gets one in so many of the requests that it would get. It
/// has nothing in flight, as what fails is fast, and would attract all of them.
const TRIES_FAILING: usize = 64;

/// The one that is fit with the least in flight for its share; of several, one by chance.
fn least_busy(candidates: &impl Candidates, random: &mut Random) -> Option<usize> {
    let count = candidates.count();
    let tries_failing = random.below(TRIES_FAILING) == 0;
    let mut best: Option<(usize, (bool, f64))> = None;
    for index in from(random.below(count), count) {
        if candidates.fitness(index) != Fitness::Fit {
            continue;
        }
        let in_flight = f64::from(candidates.load(index).in_flight) + 1.0;
        let avoided = !tries_failing && candidates.is_failing(index);
        let busy = (avoided, in_flight / candidates.share(index));
        if best.is_none_or(|(_, least)| busy < least) {
            best = Some((index, busy));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::super::pick::Load;
    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct One {
        fitness: Fitness,
        share: f64,
        in_flight: u32,
    }

    const FIT: One = One {
        fitness: Fitness::Fit,
        share: 1.0,
        in_flight: 0,
    };

    impl Candidates for &[One] {
        fn count(&self) -> usize {
            self.len()
        }
        fn fitness(&self, index: usize) -> Fitness {
            self[index].fitness
        }
        fn share(&self, index: usize) -> f64 {
            self[index].share
        }
        fn load(&self, index: usize) -> Load {
            Load {
                seconds: Some(1.0),
                last: None,
                in_flight: self[index].in_flight,
            }
        }
        fn identity(&self, index: usize) -> u64 {
            index as u64
        }
    }

    fn chosen<const COUNT: usize>(policy: Policy, of: [One; COUNT], times: u32) -> [u32; COUNT] {
        let (mut random, mut counts) = (Random::seeded(1), [0; COUNT]);
        let mut chooser = Chooser::new(policy, &mut random);
        for _ in 0..times {
            counts[chooser.pick(&&of[..], None, &mut random).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn each_has_its_turn_and_who_enters_a_part_of_it() {
        let busy = One {
            in_flight: 9,
            ..FIT
        };
        assert_eq!(chosen(Policy::RoundRobin, [FIT, busy, FIT], 9), [3, 3, 3]);
        let out = One {
            fitness: Fitness::Ejected,
            ..FIT
        };
        assert_eq!(chosen(Policy::RoundRobin, [FIT, out, FIT], 10), [5, 0, 5]);
        let new = One { share: 0.1, ..FIT };
        let counts = chosen(Policy::RoundRobin, [FIT, new, FIT], 10_000);
        assert!((350..600).contains(&counts[1]), "{counts:?}");
        assert_eq!(chosen(Policy::RoundRobin, [new], 7), [7]);
    }

    #[test]
    fn the_least_busy_is_chosen_and_equals_by_chance() {
        let with = |in_flight| One { in_flight, ..FIT };
        let policy = Policy::LeastConnections;
        assert_eq!(chosen(policy, [with(3), with(1), with(2)], 10), [0, 10, 0]);
        let counts = chosen(policy, [with(1); 4], 10_000);
        assert!(counts.iter().all(|count| (2_300..2_700).contains(count)));
        let new = One { share: 0.1, ..FIT };
        assert_eq!(chosen(policy, [with(8), new], 10), [10, 0]);
        assert_eq!(chosen(policy, [with(12), new], 10), [0, 10]);
    }

    #[test]
    fn one_that_fails_does_not_attract_all_and_is_tried() {
        struct Failing<'a>(&'a [One]);
        impl Candidates for Failing<'_> {
            fn count(&self) -> usize {
                self.0.len()
            }
            fn fitness(&self, index: usize) -> Fitness {
                self.0.fitness(index)
            }
            fn share(&self, index: usize) -> f64 {
                self.0.share(index)
            }
            fn load(&self, index: usize) -> Load {
                self.0.load(index)
            }
            fn identity(&self, index: usize) -> u64 {
                self.0.identity(index)
            }
            fn is_failing(&self, index: usize) -> bool {
                index == 1
            }
        }
        let busy = One {
            in_flight: 5,
            ..FIT
        };
        let (mut random, mut tried) = (Random::seeded(1), 0);
        let mut chooser = Chooser::new(Policy::LeastConnections, &mut random);
        for _ in 0..10_000 {
            let chosen = chooser.pick(&Failing(&[busy, FIT]), None, &mut random);
            tried += usize::from(chosen == Some(1));
        }
        assert!((100..220).contains(&tried), "{tried}");
    }

    #[test]
    fn where_none_is_fit_the_best_of_them_is_used() {
        let with = |fitness| One { fitness, ..FIT };
        let (out, left, unfit) = (
            with(Fitness::Ejected),
            with(Fitness::Left),
            with(Fitness::Unfit),
        );
        for policy in [
            Policy::LeastLatency,
            Policy::LeastConnections,
            Policy::RoundRobin,
            Policy::Hash { bounded: true },
        ] {
            let (mut random, number) = (Random::seeded(1), Some(7));
            let mut chooser = Chooser::new(policy, &mut random);
            let mut pick = |of: &[One]| chooser.pick(&of, number, &mut random);
            assert_eq!(pick(&[out, unfit, left]), Some(2), "{policy:?}");
            assert_eq!(pick(&[unfit, out]), Some(1), "{policy:?}");
            assert_eq!(pick(&[unfit]), None, "{policy:?}");
            assert_eq!(pick(&[]), None, "{policy:?}");
        }
    }
}
