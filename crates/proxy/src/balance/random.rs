//! Chance that costs a nanosecond (xorshift64*). It spreads load; nothing may depend on its being
//! unguessable.

use std::hash::{BuildHasher, RandomState};

/// A source of random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random(u64);

impl Random {
    /// One that the seed determines.
    pub(crate) fn seeded(seed: u64) -> Self {
        // Neighbouring seeds are spread, and zero, from which nothing else follows, is avoided.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One that the operating system seeds, so that workers and proxies choose differently.
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0))
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of the numbers below `limit`; zero where there is none.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // The high bits are the better ones. With a multiplication instead of a division the
        // numbers differ in likelihood by less than one in 2^32 / limit.
        let high = self.number() >> 32;
        ((high * limit as u64) >> 32) as usize
    }

    /// From 0 up to, but without, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_repeatable_within_their_limit_and_spread_evenly() {
        let (mut one, mut same, mut other) =
            (Random::seeded(7), Random::seeded(7), Random::seeded(8));
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            let number = one.below(10);
            assert_eq!(number, same.below(10));
            counts[number] += 1;
            assert!((0.0..1.0).contains(&other.fraction()));
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)));
        assert_ne!(Random::new().number(), Random::new().number());
    }

    #[test]
    fn no_seed_makes_it_stand_still() {
        for seed in [0, 1, u64::MAX] {
            let mut random = Random::seeded(seed);
            assert_ne!(random.number(), random.number());
        }
    }
}
