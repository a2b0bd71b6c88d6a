//! How often the proxy answered in place of a service, by the reason that it gave.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Counts by reason. There are as many as the proxy has reasons, and one that never was takes no
/// room.
#[derive(Debug, Default)]
pub(crate) struct Reasons(RefCell<Vec<(&'static str, u64)>>);

/// The same, added up.
pub(crate) type ReasonTotals = BTreeMap<&'static str, u64>;

impl Reasons {
    /// Counts one more.
    pub(crate) fn count(&self, reason: &'static str) {
        let mut counts = self.0.borrow_mut();
        match counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count = count.wrapping_add(1),
            None => counts.push((reason, 1)),
        }
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> ReasonTotals {
        self.0.borrow().iter().copied().collect()
    }
}

/// Adds `more` to `total`.
pub(crate) fn merge(total: &mut ReasonTotals, more: &ReasonTotals) {
    for (reason, count) in more {
        *total.entry(reason).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let (one, two) = (Reasons::default(), Reasons::default());
        for reason in ["no-route", "timeout", "no-route"] {
            one.count(reason);
        }
        two.count("timeout");
        let mut total = one.read();
        merge(&mut total, &two.read());
        assert_eq!(total, BTreeMap::from([("no-route", 2), ("timeout", 2)]));
    }
}
