//! What the clients count, to be held against what the proxy counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proxy::protocol::Counts;

/// What became of one request, as far as its client can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered wholly; whether that says that the service failed.
    Answered { failed: bool },
    /// Its answer broke off, or its client gave up when the service was known to have it and not
    /// to end by itself.
    Cut,
    /// It was no request to this service: it did not arrive, or the proxy refused it.
    Nothing,
    /// Its client gave up at some moment: the proxy may have counted it in any way or not at all.
    Unknown,
}

/// The counts of one service.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answered: AtomicU64,
    failed: AtomicU64,
    cut: AtomicU64,
    unknown: AtomicU64,
}

impl Tally {
    pub(crate) fn count(&self, outcome: Outcome) {
        let add = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match outcome {
            Outcome::Answered { failed } => {
                add(&self.answered);
                if failed {
                    add(&self.failed);
                }
            }
            Outcome::Cut => add(&self.cut),
            Outcome::Nothing => {}
            Outcome::Unknown => add(&self.unknown),
        }
    }

    /// Why the proxy's counts cannot be those of these requests, where they cannot.
    pub(crate) fn contradicts(&self, counted: Counts) -> Option<String> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let unknown = read(&self.unknown);
        let (answered, failed, cut) = (read(&self.answered), read(&self.failed), read(&self.cut));
        let within = |known: u64, counted: u64| (known..=known + unknown).contains(&counted);
        let agree = within(answered, counted.answered)
            && within(failed, counted.failed)
            && within(cut, counted.cut)
            && within(answered + cut, counted.answered + counted.cut);
        (!agree).then(|| {
            format!(
                "clients know of {answered} answered, {failed} failed, {cut} cut and do not know \
                 of {unknown}; the proxy says {counted:?}"
            )
        })
    }

    pub(crate) fn line(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} answered, {} failed, {} cut, {} unknown",
            read(&self.answered),
            read(&self.failed),
            read(&self.cut),
            read(&self.unknown)
        )
    }
}

/// How often each kind of thing was done.
#[derive(Debug, Default)]
pub(crate) struct Kinds(Mutex<BTreeMap<String, u64>>);

impl Kinds {
    pub(crate) fn count(&self, kind: &str) {
        let mut kinds = self.0.lock().unwrap();
        match kinds.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(kinds.insert(kind.to_owned(), 1)),
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn counts_that_cannot_be_those_of_the_requests_are_told_from_those_that_can() {
    let tally = Tally::default();
    for outcome in [
        Outcome::Answered { failed: false },
        Outcome::Answered { failed: true },
        Outcome::Cut,
        Outcome::Nothing,
        Outcome::Unknown,
    ] {
        tally.count(outcome);
    }
    for (answered, failed, cut, possible) in [
        (2, 1, 1, true),
        (3, 2, 1, true),
        (2, 1, 2, true),
        (3, 1, 2, false),
        (1, 1, 1, false),
        (2, 0, 1, false),
        (4, 1, 1, false),
    ] {
        let counted = Counts {
            answered,
            failed,
            cut,
            ..Counts::default()
        };
        assert_eq!(
            tally.contradicts(counted).is_none(),
            possible,
            "{counted:?}"
        );
    }
}
