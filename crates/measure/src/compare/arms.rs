//! One of something for each of the two arms.

use serde::{Deserialize, Serialize};

/// One of something for each arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arms<T> {
    /// Of what is known to be good, such as the release that runs.
    pub baseline: T,
    /// Of what is judged, such as the release that is new.
    pub candidate: T,
}

/// What people call the arms, such as `release 6` and `release 7`.
pub type Names<'a> = Arms<&'a str>;

impl<T> Arms<T> {
    /// The same of each.
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> Arms<U> {
        Arms {
            baseline: of(&self.baseline),
            candidate: of(&self.candidate),
        }
    }
}

impl Arms<u64> {
    /// Both together.
    pub fn sum(&self) -> u64 {
        self.baseline.saturating_add(self.candidate)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.baseline = self.baseline.saturating_add(other.baseline);
        self.candidate = self.candidate.saturating_add(other.candidate);
    }
}
