//! Which instances that have left the snapshot still have something in flight, over all workers,
//! and what the server knows of that.

use std::collections::{BTreeMap, BTreeSet};

use model::{InstanceId, Snapshot};

use crate::messages::RetiredEndpoint;

/// What is still in flight to instances that are not in the snapshot.
#[derive(Debug)]
pub(crate) struct Busy {
    by_worker: Vec<BTreeMap<RetiredEndpoint, u32>>,
    /// The instances that the server was told are busy.
    reported: BTreeSet<InstanceId>,
}

impl Busy {
    /// Nothing, over so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            by_worker: vec![BTreeMap::new(); workers],
            reported: BTreeSet::new(),
        }
    }

    /// Takes what a worker has in flight after it applied a change.
    pub(crate) fn applied(&mut self, worker: usize, busy: BTreeMap<RetiredEndpoint, u32>) {
        self.by_worker[worker] = busy;
    }

    /// Takes that a worker has nothing in flight to an endpoint any more. If with that its
    /// instance has nothing anywhere and the server waits for that, it is returned.
    pub(crate) fn idle(&mut self, worker: usize, endpoint: &RetiredEndpoint) -> Option<InstanceId> {
        self.by_worker[worker].remove(endpoint);
        let instance = &endpoint.instance;
        let elsewhere = self
            .by_worker
            .iter()
            .flat_map(BTreeMap::keys)
            .any(|e| e.instance == *instance);
        if elsewhere {
            None
        } else {
            self.reported.take(instance)
        }
    }

    /// What is in flight now, by instance, as the server is about to be told; and the instances
    /// that it was told of before which have drained since and have not come back.
    pub(crate) fn report(
        &mut self,
        snapshot: &Snapshot,
    ) -> (BTreeMap<InstanceId, u32>, Vec<InstanceId>) {
        let mut busy = BTreeMap::new();
        for (endpoint, count) in self.by_worker.iter().flatten() {
            *busy.entry(endpoint.instance.clone()).or_insert(0) += count;
        }
        let reported = std::mem::replace(&mut self.reported, busy.keys().cloned().collect());
        let is_back = |instance: &InstanceId| {
            snapshot
                .upstreams
                .values()
                .any(|u| u.endpoints.contains_key(instance))
        };
        let drained = reported
            .into_iter()
            .filter(|instance| !busy.contains_key(instance) && !is_back(instance))
            .collect();
        (busy, drained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> RetiredEndpoint {
        endpoint_in("a/b", port)
    }

    fn endpoint_in(upstream: &str, port: u16) -> RetiredEndpoint {
        RetiredEndpoint {
            instance: "a.b.1.1".parse().unwrap(),
            upstream: upstream.to_owned().try_into().unwrap(),
            address: ([127, 0, 0, 1], port).into(),
        }
    }

    #[test]
    fn an_instance_in_two_upstreams_has_drained_when_it_has_in_both() {
        let mut busy = Busy::new(1);
        let both = [(endpoint_in("a/b", 1), 1), (endpoint_in("a/c", 1), 1)];
        busy.applied(0, both.into());
        busy.report(&Snapshot::default());
        assert_eq!(busy.idle(0, &endpoint_in("a/c", 1)), None);
        assert!(busy.idle(0, &endpoint_in("a/b", 1)).is_some());
    }

    #[test]
    fn an_instance_has_drained_when_every_worker_and_address_has() {
        let mut busy = Busy::new(2);
        busy.applied(0, [(endpoint(1), 2), (endpoint(2), 1)].into());
        busy.applied(1, [(endpoint(1), 4)].into());
        let (report, drained) = busy.report(&Snapshot::default());
        assert_eq!(report.into_values().collect::<Vec<_>>(), [7]);
        assert!(drained.is_empty());
        assert_eq!(busy.idle(0, &endpoint(1)), None);
        assert_eq!(busy.idle(1, &endpoint(1)), None);
        assert_eq!(busy.idle(0, &endpoint(2)), Some(endpoint(2).instance));
        assert_eq!(busy.idle(0, &endpoint(2)), None, "once is enough");
    }

    #[test]
    fn what_drained_before_it_was_reported_is_never_reported() {
        let mut busy = Busy::new(1);
        busy.applied(0, [(endpoint(1), 1)].into());
        assert_eq!(busy.idle(0, &endpoint(1)), None);
        assert_eq!(busy.report(&Snapshot::default()), (BTreeMap::new(), vec![]));
    }

    #[test]
    fn what_drained_between_two_reports_is_made_up_for() {
        let mut busy = Busy::new(1);
        busy.applied(0, [(endpoint(1), 1)].into());
        busy.report(&Snapshot::default());
        busy.applied(0, BTreeMap::new());
        assert_eq!(busy.report(&Snapshot::default()).1, [endpoint(1).instance]);
    }
}
