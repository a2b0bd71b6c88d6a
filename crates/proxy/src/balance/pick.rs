//! Which endpoint a request goes to. Usually, of two that chance names, the one with less to do. That
//! is nearly as good as the best of all, costs no look at all, and does not send everybody to the one
//! that looked best a moment ago (Mitzenmacher, The Power of Two Choices). The other ways are in
//! `policy`.

use super::random::Random;
use crate::limits::INDISTINGUISHABLE;

/// How fit an endpoint is for a request; the last is what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fitness {
    /// Not even if there is no other.
    Unfit,
    /// It is ejected.
    Ejected,
    /// The request was there before.
    Left,
    Fit,
}

/// What an endpoint has to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// How long it lets requests wait, where that is known.
    pub(crate) seconds: Option<f64>,
    /// The same as it was last known.
    pub(crate) last: Option<f64>,
    pub(crate) in_flight: u32,
}

impl Load {
    fn is_below(self, other: Self) -> bool {
        let wait = |seconds: f64, load: Self| {
            seconds.max(INDISTINGUISHABLE.as_secs_f64()) * (f64::from(load.in_flight) + 1.0)
        };
        let is_better = |one: Self, (seconds, other): (f64, Self)| {
            let last = one.last.map(|last| wait(last, one));
            last.is_some_and(|last| last < wait(seconds, other))
        };
        match (self.seconds, other.seconds) {
            (Some(own), Some(others)) => wait(own, self) < wait(others, other),
            // One that was fast, a while ago, is better than one that is known to be slow. That it
            // was slow is forgotten.
            (None, Some(others)) if is_better(self, (others, other)) => true,
            (Some(own), None) if is_better(other, (own, self)) => false,
            // One of which nothing is known is taken to be like the other.
            _ => self.in_flight < other.in_flight,
        }
    }
}

/// The endpoints among which is chosen, by number.
pub(crate) trait Candidates {
    /// How many there are.
    fn count(&self) -> usize;
    /// How fit one is.
    fn fitness(&self, index: usize) -> Fitness;
    /// Which part of the usual share of requests it gets, above 0 and at most 1.
    fn share(&self, index: usize) -> f64;
    /// What it has to do.
    fn load(&self, index: usize) -> Load;
    /// Whether it has failed so often in a row that it would be ejected if others were not.
    fn is_failing(&self, _: usize) -> bool {
        false
    }
    /// A number that stands for it, the same for all workers and proxies and after any change.
    fn identity(&self, index: usize) -> u64;
}

/// Chooses one; none where there is none that is fit in any way.
pub(crate) fn pick(candidates: &impl Candidates, random: &mut Random) -> Option<usize> {
    let Some(one) = draw(candidates, None, random) else {
        return least_bad(candidates, random);
    };
    let Some(other) = draw(candidates, Some(one), random) else {
        return Some(one);
    };
    let mut takes = |index| {
        let share = candidates.share(index);
        share >= 1.0 || random.fraction() < share
    };
    Some(match (takes(one), takes(other)) {
        (true, false) => one,
        (false, true) => other,
        _ if candidates.load(other).is_below(candidates.load(one)) => other,
        _ => one,
    })
}

/// One that is fit, by chance, but not `taken`.
fn draw(candidates: &impl Candidates, taken: Option<usize>, random: &mut Random) -> Option<usize> {
    /// Nearly always enough, since few are unfit.
    const DRAWS: usize = 4;
    let count = candidates.count();
    let is_good =
        |&index: &usize| Some(index) != taken && candidates.fitness(index) == Fitness::Fit;
    (0..DRAWS.min(count))
        .map(|_| random.below(count))
        .find(is_good)
        .or_else(|| from(random.below(count), count).find(is_good))
}

/// The fittest where none is fit.
pub(super) fn least_bad(candidates: &impl Candidates, random: &mut Random) -> Option<usize> {
    let count = candidates.count();
    from(random.below(count), count)
        .filter(|&index| candidates.fitness(index) > Fitness::Unfit)
        .max_by_key(|&index| candidates.fitness(index))
}

/// All numbers below `count`, from `start` around.
pub(super) fn from(start: usize, count: usize) -> impl Iterator<Item = usize> {
    (start..count).chain(0..start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type One = (Fitness, f64, Load);

    impl Candidates for &[One] {
        fn count(&self) -> usize {
            self.len()
        }
        fn fitness(&self, index: usize) -> Fitness {
            self[index].0
        }
        fn share(&self, index: usize) -> f64 {
            self[index].1
        }
        fn load(&self, index: usize) -> Load {
            self[index].2
        }
        fn identity(&self, index: usize) -> u64 {
            index as u64
        }
    }

    fn one(fitness: Fitness, share: f64, seconds: Option<f64>, in_flight: u32) -> One {
        let last = None;
        let load = Load {
            seconds,
            last,
            in_flight,
        };
        (fitness, share, load)
    }

    /// How often each is chosen, of 10,000 times.
    fn chosen<const COUNT: usize>(candidates: [One; COUNT]) -> [u32; COUNT] {
        let (mut random, mut counts) = (Random::seeded(1), [0; COUNT]);
        for _ in 0..10_000 {
            counts[pick(&&candidates[..], &mut random).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn the_one_with_less_to_do_is_chosen_and_equals_share() {
        let with = |seconds, in_flight| one(Fitness::Fit, 1.0, seconds, in_flight);
        assert_eq!(
            chosen([with(Some(0.1), 0), with(Some(0.02), 3)]),
            [0, 10_000]
        );
        assert_eq!(
            chosen([with(Some(0.1), 0), with(Some(0.02), 5)]),
            [10_000, 0]
        );
        // Of one that is not known yet only what is in flight counts.
        assert_eq!(chosen([with(None, 1), with(Some(9.0), 0)]), [0, 10_000]);
        // Differences of the machine's own noise do not matter.
        assert_eq!(
            chosen([with(Some(0.000_01), 1), with(Some(0.000_1), 0)]),
            [0, 10_000]
        );
        let shares = chosen([with(Some(0.1), 1); 4]);
        assert!(
            shares.iter().all(|count| (2_300..2_700).contains(count)),
            "{shares:?}"
        );
    }

    #[test]
    fn one_that_was_fast_a_while_ago_is_better_than_one_that_is_slow() {
        let with = |seconds, last, in_flight| {
            let (fitness, share, load) = one(Fitness::Fit, 1.0, seconds, in_flight);
            (fitness, share, Load { last, ..load })
        };
        let slow = with(Some(1.0), Some(1.0), 0);
        assert_eq!(chosen([slow, with(None, Some(0.001), 0)]), [0, 10_000]);
        assert_eq!(chosen([with(None, Some(0.001), 0), slow]), [10_000, 0]);
        // That it was slow is forgotten: it is tried.
        let counts = chosen([with(Some(0.001), Some(0.001), 0), with(None, Some(9.0), 0)]);
        assert!((4_000..6_000).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn the_worst_of_many_is_never_chosen_and_all_others_are() {
        let mut fleet = [one(Fitness::Fit, 1.0, Some(0.01), 2); 5];
        fleet[3].2.in_flight = 9;
        let counts = chosen(fleet);
        assert_eq!(counts[3], 0);
        assert_eq!(counts.iter().filter(|&&count| count > 2_000).count(), 4);
    }

    #[test]
    fn one_that_enters_gets_its_part_and_alone_all() {
        let old = one(Fitness::Fit, 1.0, Some(0.01), 0);
        let counts = chosen([old, one(Fitness::Fit, 0.1, None, 0)]);
        assert!((400..600).contains(&counts[1]), "{counts:?}");
        assert_eq!(chosen([one(Fitness::Fit, 0.1, None, 7)]), [10_000]);
        let counts = chosen([
            one(Fitness::Fit, 0.1, None, 0),
            one(Fitness::Fit, 0.1, None, 9),
        ]);
        assert!(
            counts[0] > 9_000,
            "those who all enter are told apart by load: {counts:?}"
        );
    }

    #[test]
    fn those_that_are_unfit_are_used_in_their_order() {
        let with = |fitness| one(fitness, 1.0, None, 0);
        let (fit, left, out, unfit) = (
            with(Fitness::Fit),
            with(Fitness::Left),
            with(Fitness::Ejected),
            with(Fitness::Unfit),
        );
        assert_eq!(chosen([out, fit, left, unfit]), [0, 10_000, 0, 0]);
        assert_eq!(chosen([out, unfit, left]), [0, 0, 10_000]);
        assert_eq!(chosen([out, unfit]), [10_000, 0]);
        assert_eq!(pick(&&[unfit, unfit][..], &mut Random::seeded(1)), None);
        assert_eq!(pick(&(&[] as &[One]), &mut Random::seeded(1)), None);
    }

    fn any_one() -> impl Strategy<Value = One> {
        let fitness = prop_oneof![
            Just(Fitness::Unfit),
            Just(Fitness::Ejected),
            Just(Fitness::Left),
            Just(Fitness::Fit),
        ];
        let seconds = proptest::option::of(0.0..20.0);
        (fitness, 0.01..=1.0, seconds, 0_u32..100).prop_map(
            |(fitness, share, seconds, in_flight)| one(fitness, share, seconds, in_flight),
        )
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_the_fittest_there_is(
            candidates in proptest::collection::vec(any_one(), 0..20), seed: u64,
        ) {
            let best = candidates.iter().map(|one| one.0).max().unwrap_or(Fitness::Unfit);
            let chosen = pick(&&candidates[..], &mut Random::seeded(seed));
            match best {
                Fitness::Unfit => prop_assert_eq!(chosen, None),
                best => prop_assert_eq!(candidates[chosen.unwrap()].0, best),
            }
        }
    }
}
