//! How long to wait before a program that ended is started again.

use std::time::Duration;

/// The delay before the first restart.
pub const FIRST_DELAY: Duration = Duration::from_millis(100);
/// No delay is longer.
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Jitter takes up to this share of a delay away, so that what failed together (because something
/// they share failed) does not come back together. It never adds, so that the limit is one.
const JITTER: f64 = 0.2;

/// The delay before restart number `restart`, the first of a series being 1: [`FIRST_DELAY`],
/// doubled for each further one up to [`LONGEST_DELAY`], less some jitter. `random` is a fresh
/// number from 0 up to 1; the caller draws it, so that this stays a pure function.
pub fn restart_delay(restart: u32, random: f64) -> Duration {
    let doublings = restart.saturating_sub(1).min(31);
    let full = FIRST_DELAY
        .saturating_mul(1 << doublings)
        .min(LONGEST_DELAY);
    full.mul_f64(1.0 - JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit() {
        let millis: Vec<u128> = (1..=11)
            .map(|n| restart_delay(n, 0.0).as_millis())
            .collect();
        assert_eq!(
            millis,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000
            ]
        );
        assert_eq!(restart_delay(u32::MAX, 0.0), LONGEST_DELAY);
        assert_eq!(restart_delay(0, 0.0), FIRST_DELAY);
    }

    #[test]
    fn jitter_only_shortens_and_by_a_fifth_at_most() {
        assert_eq!(restart_delay(1, 0.5), Duration::from_millis(90));
        assert_eq!(restart_delay(20, 1.0), Duration::from_secs(24));
        // Not a number from 0 to 1: a caller's mistake must not become a panic or a long wait.
        assert_eq!(restart_delay(1, -7.0), FIRST_DELAY);
        assert_eq!(restart_delay(1, 7.0), Duration::from_millis(80));
    }
}
