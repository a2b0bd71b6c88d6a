//! Choices that a seed repeats, and the seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of this run: that of `ROADBED_SEED`, or one of its own.
pub(crate) fn seed() -> u64 {
    match std::env::var("ROADBED_SEED") {
        Ok(seed) => seed.parse().expect("ROADBED_SEED is a number"),
        Err(_) => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::from(since.subsec_nanos()) | 1
        }
    }
}

/// A source of choices (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The choices of one of those who choose.
    pub(crate) fn of(seed: u64, who: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ who);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Whether one of so many chances comes.
    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// How much a body has: most are small, some are larger than every buffer.
    pub(crate) fn size(&mut self) -> usize {
        let most = self.pick(&[200, 2_000, 2_000, 20_000, 300_000]);
        1 + self.below(most) as usize
    }
}
