//! Which releases are kept. Pure.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppName, Digest};

/// A release as far as it matters whether it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) app: AppName,
    pub(crate) number: u64,
    /// When it was deployed.
    pub(crate) created: u64,
    /// Whether it has to be kept: it runs, is being rolled out, or is what would be gone back to.
    pub(crate) is_needed: bool,
    /// What it consists of, each with what that takes on disk in bytes.
    pub(crate) contents: BTreeMap<Digest, u64>,
}

/// Those of an app's releases that go so that `count` are left: the oldest, and none that is needed.
pub(crate) fn beyond_count(
    releases: impl DoubleEndedIterator<Item = u64>,
    is_needed: impl Fn(u64) -> bool,
    count: usize,
) -> Vec<u64> {
    let releases: Vec<u64> = releases.collect();
    let surplus = releases.len().saturating_sub(count);
    let spare = releases.into_iter().filter(|number| !is_needed(*number));
    spare.take(surplus).collect()
}

/// Those that go so that what is kept takes at most `budget` bytes: the oldest, and none that is
/// needed. `others` is what is taken by what none of them has.
pub(crate) fn beyond_budget(
    candidates: &[Candidate],
    others: u64,
    budget: u64,
) -> BTreeSet<(AppName, u64)> {
    let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut total = others;
    for (digest, size) in candidates.iter().flat_map(|candidate| &candidate.contents) {
        let users = users.entry(*digest).or_default();
        if *users == 0 {
            total = total.saturating_add(*size);
        }
        *users += 1;
    }
    let mut spare: Vec<&Candidate> = candidates.iter().filter(|c| !c.is_needed).collect();
    spare.sort_by_key(|candidate| (candidate.created, candidate.number));
    let mut beyond = BTreeSet::new();
    for candidate in spare {
        if total <= budget {
            break;
        }
        for (digest, size) in &candidate.contents {
            if let Some(users) = users.get_mut(digest) {
                *users -= 1;
                if *users == 0 {
                    total = total.saturating_sub(*size);
                }
            }
        }
        beyond.insert((candidate.app.clone(), candidate.number));
    }
    beyond
}

#[cfg(test)]
mod tests {
    use artifacts::digest_of;

    use super::*;

    #[test]
    fn by_count_the_oldest_go_and_none_that_is_needed() {
        let needed = |number| number == 2 || number == 6;
        assert_eq!(beyond_count(1..=6, needed, 10), [0u64; 0]);
        assert_eq!(beyond_count(1..=6, needed, 4), [1, 3]);
        assert_eq!(beyond_count(1..=6, needed, 1), [1, 3, 4, 5]);
    }

    #[test]
    fn by_budget_a_release_is_worth_what_only_it_has() {
        let candidate = |number: u64, is_needed, contents: &[(&str, u64)]| Candidate {
            app: AppName::new("shop").unwrap(),
            number,
            created: number,
            is_needed,
            contents: contents
                .iter()
                .map(|(text, size)| (digest_of(text.as_bytes()), *size))
                .collect(),
        };
        let candidates = [
            candidate(1, true, &[("all", 100), ("one", 10)]),
            candidate(2, false, &[("all", 100), ("two", 10)]),
            candidate(3, false, &[("all", 100), ("three", 10)]),
            candidate(4, true, &[("all", 100), ("four", 10)]),
        ];
        let beyond = |others, budget| -> Vec<u64> {
            let beyond = beyond_budget(&candidates, others, budget);
            beyond.into_iter().map(|(_, number)| number).collect()
        };
        assert_eq!(beyond(0, 140), [0u64; 0]);
        assert_eq!(beyond(0, 139), [2]);
        assert_eq!(beyond(5, 140), [2]);
        assert_eq!(beyond(0, 125), [2, 3]);
        // What is needed stays whatever it takes.
        assert_eq!(beyond(0, 1), [2, 3]);
    }
}
