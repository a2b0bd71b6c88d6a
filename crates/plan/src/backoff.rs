//! When an instance whose process ended is started again.

use std::time::Duration;

use model::InstanceId;

use crate::settings::CRASH_LOOP_STREAK;

/// The delay before the first restart.
const FIRST: Duration = Duration::from_millis(100);
/// No delay is longer, jitter aside.
const LONGEST: Duration = Duration::from_secs(30);
/// No delay before an attempt is longer.
pub const LONGEST_RESTART_DELAY: Duration = Duration::from_secs(36);

/// The delay before the next attempt: 100 ms, doubled for each further end in a row, at most
/// 30 s, and up to a fifth more. The surplus is drawn from the instance's name and attempt, so
/// that instances which fell together do not return together, and the same state gives the same
/// plan.
pub(crate) fn restart_delay(instance: &InstanceId, attempt: u32, streak: u32) -> Duration {
    let doublings = streak.saturating_sub(1).min(16);
    let delay = (FIRST * 2u32.pow(doublings)).min(LONGEST);
    let delay = delay + delay.mul_f64(fraction(&format!("{instance}#{attempt}")) / 5.0);
    delay.min(LONGEST_RESTART_DELAY)
}

/// Whether so many ends in a row are a crash loop.
pub fn is_crash_loop(streak: u32) -> bool {
    streak >= CRASH_LOOP_STREAK
}

/// A number from 0 to 1 that depends evenly on `text` (FNV-1a, 64 bits).
fn fraction(text: &str) -> f64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(attempt: u32, streak: u32) -> Duration {
        restart_delay(&"a.b.1.1".parse().unwrap(), attempt, streak)
    }

    #[test]
    fn grows_from_a_tenth_of_a_second_to_half_a_minute() {
        for (streak, least) in [(1, 100), (2, 200), (3, 400), (9, 25_600), (10, 30_000)] {
            let least = Duration::from_millis(least);
            let got = delay(1, streak);
            assert!(
                got >= least && got <= least.mul_f64(1.2),
                "{streak}: {got:?}"
            );
        }
        assert!(delay(1, u32::MAX) <= LONGEST.mul_f64(1.2));
    }

    #[test]
    fn is_spread_and_repeatable() {
        assert_eq!(delay(4, 3), delay(4, 3));
        let distinct: std::collections::BTreeSet<_> = (0..50).map(|n| delay(n, 3)).collect();
        assert!(distinct.len() > 40);
    }
}
