//! Rules of one host and path, which differ only in their conditions, in their order.

use std::cmp::Reverse;

use model::Matching;

use super::Asked;
use super::conditions::Conditions;

/// One rule and its value.
#[derive(Debug)]
pub(super) struct Candidate<T> {
    key: Box<str>,
    order: u32,
    /// Most rules have none.
    conditions: Option<Box<Conditions>>,
    /// How many there are.
    count: usize,
    pub(super) value: T,
}

impl<T> Candidate<T> {
    pub(super) fn new(key: &str, matching: &Matching, order: u32, value: T) -> Self {
        let count = matching.conditions();
        Self {
            key: key.into(),
            order,
            conditions: (count > 0).then(|| Conditions::of(matching).into()),
            count,
            value,
        }
    }

    /// What it is ordered by, the first first.
    pub(super) fn rank(&self) -> (Reverse<usize>, u32, &str) {
        (Reverse(self.count), self.order, &self.key)
    }
}

/// Rules in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Candidates<T>(Vec<Candidate<T>>);

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Candidates<T> {
    pub(super) fn insert(&mut self, candidate: Candidate<T>) {
        let at = self.0.partition_point(|c| c.rank() < candidate.rank());
        self.0.insert(at, candidate);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|candidate| &*candidate.key != key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first whose conditions are fulfilled.
    pub(super) fn first(&self, asked: &dyn Asked) -> Option<&Candidate<T>> {
        let holds = |candidate: &&Candidate<T>| {
            let conditions = candidate.conditions.as_ref();
            conditions.is_none_or(|conditions| conditions.hold(asked))
        };
        self.0.iter().find(holds)
    }
}
