//! Random numbers that are the same for the same seed, and latencies made of them.

use std::time::Duration;

/// SplitMix64, <https://doi.org/10.1145/2660193.2660195>.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Self(seed);
        // Seeds that follow each other begin far from each other.
        Self(random.next() ^ seed.rotate_left(32))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, never either.
    pub(crate) fn part(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.part() < probability
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.part() * end as f64) as u64
    }

    /// Of a normal distribution (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.part().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.part()).cos()
    }
}

/// How latencies are distributed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Log-normal with this deviation, 20 ms in the middle.
    LogNormal(f64),
    /// A cache: 7 of 10 take about 2 ms, the others about 60 ms.
    Bimodal,
    /// Pareto with this exponent, 5 ms at least: below 2 it has no variance.
    Pareto(f64),
    /// Some values only, as of a service that polls.
    Steps,
}

impl Shape {
    /// A latency in seconds.
    pub(crate) fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::LogNormal(deviation) => 0.020 * (deviation * random.normal()).exp(),
            Self::Bimodal if random.happens(0.7) => 0.002 * (0.3 * random.normal()).exp(),
            Self::Bimodal => 0.060 * (0.4 * random.normal()).exp(),
            Self::Pareto(exponent) => 0.005 * random.part().powf(-1.0 / exponent),
            Self::Steps => 0.010 * (1.0 + (4.0 * random.part() * random.part()).floor()),
        }
    }
}

pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.min(1e6))
}
