//! How many requests wait for the head of their answer. What waits for longer than a long poll
//! does is not counted any more, without a timer for each: they are counted by the second in which
//! they came, and seconds that are long ago are forgotten as a whole.

use std::time::Instant;

use crate::limits::LONG_POLL;

/// The seconds that count, the present one included.
const SECONDS: usize = LONG_POLL.as_secs() as usize + 1;

/// The requests of one upstream that wait on one worker.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    began: Option<Instant>,
    /// The present second since it began.
    second: u64,
    /// Those that came in each second, modulo the seconds that count.
    by_second: [u32; SECONDS],
    count: u32,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since(u64);

impl Waiting {
    /// How many there are.
    pub(crate) fn count(&mut self, now: Instant) -> u32 {
        self.forget(now);
        self.count
    }

    /// One more waits from now on.
    pub(crate) fn begin(&mut self, now: Instant) -> Since {
        self.forget(now);
        self.by_second[index(self.second)] += 1;
        self.count += 1;
        Since(self.second)
    }

    /// One does not wait any more.
    pub(crate) fn end(&mut self, since: Since) {
        // What is older was forgotten, or will be before it is asked for again.
        if since.0 + SECONDS as u64 > self.second {
            self.by_second[index(since.0)] -= 1;
            self.count -= 1;
        }
    }

    fn forget(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let second = now.saturating_duration_since(began).as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        // Times may be handed in a little out of order; it never goes back.
        self.second = self.second.max(second);
        for ago in 0..passed {
            self.count -= std::mem::take(&mut self.by_second[index(self.second - ago)]);
        }
    }
}

fn index(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn who_waits_for_very_long_is_not_counted_and_neither_is_their_end() {
        let (now, mut waiting) = (Instant::now(), Waiting::default());
        let poll = waiting.begin(now);
        let other = waiting.begin(now + LONG_POLL / 2);
        assert_eq!(waiting.count(now + LONG_POLL), 2);
        let later = now + LONG_POLL + Duration::from_secs(1);
        assert_eq!(waiting.count(later), 1);
        waiting.end(poll);
        assert_eq!(waiting.count(later), 1);
        waiting.end(other);
        assert_eq!(waiting.count(later), 0);
    }

    proptest! {
        #[test]
        fn it_counts_those_that_have_not_ended_and_came_lately(
            steps in proptest::collection::vec((0_u64..4_000, any::<bool>(), 0_usize..100), 1..200),
        ) {
            let began = Instant::now();
            let (mut now, mut waiting) = (began, Waiting::default());
            let mut all: Vec<(u64, Since)> = Vec::new();
            for (wait, ends, which) in steps {
                now += Duration::from_millis(wait);
                // The first of all sets the clock.
                let second = waiting.began.map_or(0, |began| (now - began).as_secs());
                if ends && !all.is_empty() {
                    let (_, since) = all.swap_remove(which % all.len());
                    waiting.end(since);
                } else {
                    all.push((second, waiting.begin(now)));
                }
                let lately = |&&(came, _): &&(u64, Since)| second - came < SECONDS as u64;
                prop_assert_eq!(waiting.count(now) as usize, all.iter().filter(lately).count());
            }
        }
    }
}
