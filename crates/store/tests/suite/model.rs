//! Random steps, compared with a model that is too simple to be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use store::{
    Acquired, Changes, Entry, Event, Expected, Lease, Outcome, Renewed, Revision, Store, Token,
    Transaction, Watch,
};

use super::Harness;

/// A change of a small key space, so that steps meet.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Transact {
        conditions: Vec<(u8, Guess)>,
        operations: BTreeMap<u8, Option<u8>>,
        fenced: bool,
    },
    Watch {
        prefix: u8,
        back: u8,
    },
    Acquire {
        holder: u8,
    },
    Renew,
    Release,
    Advance {
        seconds: u8,
    },
    Reopen,
}

/// What a condition supposes of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guess {
    Right,
    Absent,
    Wrong,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guess =
        prop_oneof![6 => Just(Guess::Right), 1 => Just(Guess::Absent), 1 => Just(Guess::Wrong)];
    let operations = proptest::collection::btree_map(0..6u8, any::<Option<u8>>(), 0..4);
    let transact = (
        vec((0..6u8, guess), 0..3),
        operations,
        proptest::bool::weighted(0.3),
    )
        .prop_map(|(conditions, operations, fenced)| Step::Transact {
            conditions,
            operations,
            fenced,
        });
    let step = prop_oneof![
        12 => transact,
        2 => (0..3u8, 0..5u8).prop_map(|(prefix, back)| Step::Watch { prefix, back }),
        2 => (0..2u8).prop_map(|holder| Step::Acquire { holder }),
        2 => Just(Step::Renew),
        1 => Just(Step::Release),
        2 => (1..8u8).prop_map(|seconds| Step::Advance { seconds }),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..40)
}

const TIME: Duration = Duration::from_secs(10);
const PREFIXES: [&str; 3] = ["", "key/", "key/3"];

#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    revision: Revision,
    history: Vec<Changes>,
    now: Duration,
    /// The lease as it is held, and when it expires.
    held: Option<(Lease, Duration)>,
    /// The lease as it was last acquired, by whoever that was.
    last: Option<Lease>,
    highest: Option<Token>,
    watches: Vec<(&'static str, Revision, Watch)>,
}

pub(crate) async fn behaves(harness: &mut impl Harness, steps: Vec<Step>) {
    let mut model = Model::default();
    let mut store = harness.store();
    for step in steps {
        match step {
            Step::Reopen => {
                model.drain_watches().await;
                model.let_go(&*store).await;
                drop(store);
                harness.reopen();
                store = harness.store();
            }
            Step::Advance { seconds } => {
                let time = Duration::from_secs(seconds.into());
                harness.advance(time);
                model.now += time;
                model.held = model
                    .held
                    .take()
                    .filter(|(_, deadline)| *deadline > model.now);
            }
            step => model.step(&store, step).await,
        }
        let listing = store.list("").await.unwrap();
        assert_eq!(
            listing.entries,
            model.entries.values().cloned().collect::<Vec<_>>()
        );
        assert!(listing.revision >= model.revision);
    }
    model.drain_watches().await;
}

impl Model {
    async fn step(&mut self, store: &Arc<dyn Store>, step: Step) {
        match step {
            Step::Transact {
                conditions,
                operations,
                fenced,
            } => {
                self.transact(store, conditions, operations, fenced).await;
            }
            Step::Watch { prefix, back } => {
                let back = self.history.len().saturating_sub(back.into());
                let after = match self.history.get(back) {
                    // Only what this opening of the store has seen is kept.
                    Some(changes) => Revision(changes.revision.0 - 1),
                    None => store.list("").await.unwrap().revision,
                };
                let prefix = PREFIXES[usize::from(prefix)];
                let watch = store.watch(prefix, after).await.unwrap();
                self.watches.push((prefix, after, watch));
            }
            Step::Acquire { holder } => self.acquire(store, &format!("holder-{holder}")).await,
            Step::Renew => {
                let Some(last) = &self.last else { return };
                let renewed = store.renew(last).await.unwrap();
                let expected = match &mut self.held {
                    Some((held, deadline)) if held.token == last.token => {
                        *deadline = self.now + TIME;
                        Renewed::Held
                    }
                    _ => Renewed::Lost,
                };
                assert_eq!(renewed, expected);
            }
            Step::Release => self.let_go(&**store).await,
            Step::Advance { .. } | Step::Reopen => unreachable!("handled by the caller"),
        }
    }

    async fn acquire(&mut self, store: &Arc<dyn Store>, holder: &str) {
        let other = self.held.as_ref().map(|(held, _)| held.holder.clone());
        match store.acquire("lease", holder, TIME).await.unwrap() {
            Acquired::Lease(lease) => {
                assert!(other.is_none_or(|other| other == holder));
                assert!(Some(lease.token) > self.highest);
                self.highest = Some(lease.token);
                self.last = Some(lease.clone());
                self.held = Some((lease, self.now + TIME));
            }
            Acquired::HeldBy { holder: found, .. } => {
                assert_eq!(Some(&found), other.as_ref());
                assert_ne!(found, holder);
            }
        }
    }

    async fn let_go(&mut self, store: &dyn Store) {
        if let Some(last) = &self.last {
            store.release(last).await.unwrap();
            self.held = None;
        }
    }

    async fn transact(
        &mut self,
        store: &Arc<dyn Store>,
        conditions: Vec<(u8, Guess)>,
        operations: BTreeMap<u8, Option<u8>>,
        fenced: bool,
    ) {
        let mut transaction = Transaction::new();
        let mut holds = true;
        for (key, guess) in conditions {
            let key = format!("key/{key}");
            let stored = self.entries.get(&key).map(|entry| entry.modified);
            let expected = match (guess, stored) {
                (Guess::Right, Some(revision)) => Expected::Modified(revision),
                (Guess::Right | Guess::Absent, _) => Expected::Absent,
                (Guess::Wrong, stored) => {
                    Expected::Modified(Revision(stored.map_or(1, |r| r.0 - 1)))
                }
            };
            holds &= match expected {
                Expected::Absent => stored.is_none(),
                Expected::Modified(revision) => stored == Some(revision),
            };
            transaction = transaction.expect(key, expected);
        }
        if let (true, Some(last)) = (fenced, &self.last) {
            holds &= self
                .held
                .as_ref()
                .is_some_and(|(held, _)| held.token == last.token);
            transaction = transaction.fenced(last);
        }
        for (key, value) in &operations {
            let key = format!("key/{key}");
            transaction = match value {
                Some(value) => transaction.put(key, vec![*value]),
                None => transaction.delete(key),
            };
        }
        match store.transact(transaction).await.unwrap() {
            Outcome::Conflict(conflict) => assert!(!holds, "{conflict}"),
            Outcome::Committed(revision) => {
                assert!(holds, "made, though a condition does not hold");
                self.apply(operations, revision);
            }
        }
    }

    fn apply(&mut self, operations: BTreeMap<u8, Option<u8>>, revision: Revision) {
        let mut events = Vec::new();
        for (key, value) in operations {
            let key = format!("key/{key}");
            let before = self.entries.remove(&key);
            match value {
                Some(value) => {
                    let created = before.as_ref().map_or(revision, |entry| entry.created);
                    let version = before.map_or(1, |entry| entry.version + 1);
                    let value = vec![value];
                    let entry = Entry {
                        key: key.clone(),
                        value,
                        created,
                        modified: revision,
                        version,
                    };
                    self.entries.insert(key, entry.clone());
                    events.push(Event::Put(Arc::new(entry)));
                }
                None if before.is_some() => events.push(Event::Deleted { key }),
                None => {}
            }
        }
        if events.is_empty() {
            assert!(revision >= self.revision);
        } else {
            assert!(revision > self.revision);
            self.history.push(Changes { revision, events });
        }
        self.revision = revision;
    }

    /// Compares what watches have to tell with the history since each began, and ends them.
    async fn drain_watches(&mut self) {
        for (prefix, after, mut watch) in self.watches.drain(..) {
            for changes in self
                .history
                .iter()
                .filter(|changes| changes.revision > after)
            {
                let mut expected = changes.clone();
                expected
                    .events
                    .retain(|event| event.key().starts_with(prefix));
                if !expected.events.is_empty() {
                    assert_eq!(watch.next().await, Ok(expected));
                }
            }
        }
        self.history.clear();
    }
}
