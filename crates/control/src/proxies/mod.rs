//! The proxies: what each has acknowledged, and the snapshot that all should serve.

mod counting;
mod link;
mod local;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Generation, Hold, InstanceId, ListenerId, Snapshot};
use tokio::sync::{Notify, watch};

pub(crate) use counting::{Counted, Counting};
pub(crate) use link::{bind_private, listen};
pub(crate) use local::LocalProxy;

/// The snapshot that is published, and what the proxies say of it.
pub(crate) struct Proxies {
    published: watch::Sender<Arc<Snapshot>>,
    registry: Arc<Registry>,
    /// For each instance that left the routes, the first generation without it.
    left_at: BTreeMap<InstanceId, Generation>,
    /// For each listener, the first generation with it at its present address.
    listens_from: BTreeMap<ListenerId, Generation>,
}

/// The connected proxies, shared with their links.
pub(crate) struct Registry {
    connected: Mutex<BTreeMap<u64, Connected>>,
    wake: Arc<Notify>,
    /// What they counted, of which the reconciler knows nothing.
    pub(crate) counting: Counting,
}

/// What one connected proxy has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Connected {
    pub(crate) pid: u32,
    /// The generation that it said it has, or that it refused another for.
    pub(crate) has: Option<Generation>,
    pub(crate) acknowledged: Option<Generation>,
    pub(crate) listener_failures: BTreeMap<ListenerId, String>,
    pub(crate) busy: BTreeMap<InstanceId, u32>,
}

impl Registry {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, Connected>) -> T) -> T {
        let result = change(
            &mut self
                .connected
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.wake.notify_one();
        result
    }

    fn connected(&self) -> Vec<Connected> {
        let connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connected.values().cloned().collect()
    }
}

/// A moment's view of all proxies that may be serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    connected: Vec<Connected>,
    /// Proxies that run, as far as is known, but are not connected.
    silent: usize,
    published: Generation,
}

impl Proxies {
    /// No proxies yet, and nothing published. `wake` is notified whenever a proxy says something.
    pub(crate) fn new(generation: Generation, wake: Arc<Notify>) -> Self {
        let (published, _) = watch::channel(Arc::new(Snapshot {
            generation,
            ..Snapshot::default()
        }));
        let registry = Arc::new(Registry {
            connected: Mutex::default(),
            wake,
            counting: Counting::new(),
        });
        Self {
            published,
            registry,
            left_at: BTreeMap::new(),
            listens_from: BTreeMap::new(),
        }
    }

    /// What links need to serve proxies: the published snapshots and the place for answers.
    pub(crate) fn share(&self) -> (watch::Receiver<Arc<Snapshot>>, Arc<Registry>) {
        (self.published.subscribe(), Arc::clone(&self.registry))
    }

    /// The snapshot that proxies should serve.
    pub(crate) fn published(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.borrow())
    }

    /// Has every proxy serve `snapshot`, whose generation must be newer than the published one.
    pub(crate) fn publish(&mut self, snapshot: Snapshot) {
        let before = self.published();
        self.listens_from
            .retain(|id, _| snapshot.listeners.contains_key(id));
        for (id, listener) in &snapshot.listeners {
            let moved = before.listeners.get(id).is_some_and(|old| old != listener);
            if moved || !self.listens_from.contains_key(id) {
                self.listens_from.insert(id.clone(), snapshot.generation);
            }
        }
        self.published.send_replace(Arc::new(snapshot));
    }

    /// Notes which instances are out of the routes for good as of the published snapshot.
    pub(crate) fn note_leaving(&mut self, leaving: &BTreeSet<InstanceId>) {
        let generation = self.published.borrow().generation;
        self.left_at.retain(|id, _| leaving.contains(id));
        for id in leaving {
            self.left_at.entry(id.clone()).or_insert(generation);
        }
    }

    /// The generation of a proxy that has a newer snapshot than is published, as after the store was
    /// restored from a backup: what is published has to be newer for it to be taken.
    pub(crate) fn ahead(&self) -> Option<Generation> {
        let published = self.published.borrow().generation;
        let connected = self.registry.connected();
        let known = connected.iter().filter_map(|proxy| proxy.has);
        known.max().filter(|generation| *generation > published)
    }

    /// Whether no proxy is connected.
    pub(crate) fn is_empty(&self) -> bool {
        self.registry.connected().is_empty()
    }

    /// What the proxies say now. `local_runs` tells whether this node's own proxy has a process.
    pub(crate) fn view(&self, local_runs: bool) -> View {
        let connected = self.registry.connected();
        let silent = usize::from(local_runs && connected.is_empty());
        View {
            connected,
            silent,
            published: self.published.borrow().generation,
        }
    }

    /// Why an instance that left the routes may not be stopped yet, by `view`.
    pub(crate) fn hold(&self, view: &View, id: &InstanceId) -> Option<Hold> {
        // An instance that is only about to leave is in no generation's absence yet.
        let generation = self
            .left_at
            .get(id)
            .copied()
            .unwrap_or(view.published.next());
        let waiting = view.behind(generation);
        if waiting > 0 {
            return Some(Hold::Unacknowledged {
                waiting,
                proxies: view.count(),
                generation: generation.0,
            });
        }
        let busy = view.connected.iter().filter_map(|proxy| proxy.busy.get(id));
        let requests: u64 = busy.map(|count| u64::from(*count)).sum();
        (requests > 0).then_some(Hold::Busy { requests })
    }

    /// Why a listener is not served by every proxy, by `view`.
    pub(crate) fn unserved(&self, view: &View, id: &ListenerId) -> Option<String> {
        let Some(generation) = self.listens_from.get(id) else {
            return Some("its listener is about to be published".into());
        };
        if let Some(error) = view.listener_failure(id) {
            return Some(error.to_owned());
        }
        if view.count() == 0 {
            return Some("waiting for the proxy to connect".into());
        }
        view.lag(*generation)
    }
}

impl View {
    /// Every proxy that may be serving.
    pub(crate) fn count(&self) -> usize {
        self.connected.len() + self.silent
    }

    pub(crate) fn connected(&self) -> &[Connected] {
        &self.connected
    }

    /// How many proxies have not acknowledged `generation`.
    fn behind(&self, generation: Generation) -> usize {
        let behind = |proxy: &&Connected| proxy.acknowledged.is_none_or(|have| have < generation);
        self.silent + self.connected.iter().filter(behind).count()
    }

    /// Why `generation` is not served by every proxy.
    fn lag(&self, generation: Generation) -> Option<String> {
        let waiting = self.behind(generation);
        let proxies = self.count();
        (waiting > 0).then(|| {
            format!(
                "waiting for {waiting} of {proxies} proxies to acknowledge generation {generation}"
            )
        })
    }

    /// Why what is published is not served by every proxy.
    pub(crate) fn unacknowledged(&self) -> Option<String> {
        if self.count() == 0 {
            return Some("waiting for the proxy to connect".into());
        }
        self.lag(self.published)
    }

    /// Whether no proxy is connected.
    pub(crate) fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    /// The listeners that could not be opened.
    pub(crate) fn failed_listeners(&self) -> BTreeSet<ListenerId> {
        let failures = self.connected.iter().map(|proxy| &proxy.listener_failures);
        failures
            .flat_map(|failures| failures.keys().cloned())
            .collect()
    }

    /// Why a listener could not be opened, where that is so.
    pub(crate) fn listener_failure(&self, id: &ListenerId) -> Option<&str> {
        self.connected
            .iter()
            .find_map(|proxy| proxy.listener_failures.get(id))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> InstanceId {
        "shop.web.1.1".parse().unwrap()
    }

    fn proxies(connected: &[(u64, Option<u64>, u32)]) -> Proxies {
        let mut proxies = Proxies::new(Generation(4), Arc::new(Notify::new()));
        proxies.publish(Snapshot {
            generation: Generation(5),
            ..Snapshot::default()
        });
        proxies.note_leaving(&BTreeSet::from([id()]));
        for (link, acknowledged, busy) in connected {
            let said = Connected {
                acknowledged: acknowledged.map(Generation),
                busy: BTreeMap::from([(id(), *busy)]),
                ..Connected::default()
            };
            proxies.registry.change(|all| all.insert(*link, said));
        }
        proxies
    }

    fn hold(connected: &[(u64, Option<u64>, u32)], local_runs: bool) -> Option<Hold> {
        let proxies = proxies(connected);
        proxies.hold(&proxies.view(local_runs), &id())
    }

    #[test]
    fn an_instance_is_held_until_every_proxy_acknowledged_its_absence() {
        let held = |waiting, proxies| {
            Some(Hold::Unacknowledged {
                waiting,
                proxies,
                generation: 5,
            })
        };
        assert_eq!(hold(&[(1, Some(5), 0), (2, Some(4), 0)], true), held(1, 2));
        assert_eq!(hold(&[(1, None, 0)], true), held(1, 1));
        assert_eq!(hold(&[(1, Some(5), 0), (2, Some(6), 0)], true), None);
    }

    #[test]
    fn a_proxy_that_runs_but_is_silent_holds_an_instance_and_a_dead_one_does_not() {
        let silent = Hold::Unacknowledged {
            waiting: 1,
            proxies: 1,
            generation: 5,
        };
        assert_eq!(hold(&[], true), Some(silent));
        assert_eq!(hold(&[], false), None);
    }

    #[test]
    fn requests_in_flight_hold_it_after_that() {
        let busy = Some(Hold::Busy { requests: 5 });
        assert_eq!(hold(&[(1, Some(5), 2), (2, Some(9), 3)], true), busy);
    }

    #[test]
    fn an_instance_that_is_not_noted_as_leaving_is_held() {
        let proxies = proxies(&[(1, Some(5), 0)]);
        let other = "shop.web.1.2".parse().unwrap();
        assert!(proxies.hold(&proxies.view(true), &other).is_some());
    }
}
