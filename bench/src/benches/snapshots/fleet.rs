//! The snapshots of a fleet of services, and changes to it. All endpoints lead to one backend.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use model::snapshot::Changes;
use model::{
    AppName, Endpoint, Host, InstanceId, Listener, ListenerRole, PathPrefix, Protocol, Route,
    ServiceName, Snapshot, SnapshotDelta, TrustedHops, Upstream, UpstreamId,
};

/// How many endpoints a service has.
const ENDPOINTS: usize = 10;

/// A fleet as the proxy knows it.
pub(super) struct Fleet {
    pub(super) snapshot: Snapshot,
    services: usize,
    changes: usize,
}

impl Fleet {
    /// So many services, each with a host at the edge.
    pub(super) fn new(services: usize, edge: SocketAddr, backend: SocketAddr) -> Result<Self> {
        let mut snapshot = Snapshot::default();
        snapshot.generation = snapshot.generation.next();
        let listener = Listener {
            address: edge,
            role: ListenerRole::Edge,
            tls: false,
            trusted: TrustedHops::default(),
        };
        snapshot.listeners.insert("edge".into(), listener);
        for service in 0..services {
            let id = id(service)?;
            let host = Host::new(&host(service))?;
            let route = Route::exposing(host, PathPrefix::root(), id.clone());
            snapshot.routes.insert(id.to_string(), route);
            snapshot.upstreams.insert(id, upstream(service, backend)?);
        }
        Ok(Self {
            snapshot,
            services,
            changes: 0,
        })
    }

    /// The next change: an endpoint of some service goes or comes back. Every tenth is one of the
    /// service that has the traffic.
    pub(super) fn change(&mut self) -> Result<SnapshotDelta> {
        self.changes += 1;
        let service = match self.changes % 10 {
            0 => 0,
            // Far apart, so that all are met in turn.
            _ => self.changes * 37 % self.services,
        };
        let id = id(service)?;
        let from = self.snapshot.generation;
        let mut delta = SnapshotDelta {
            from,
            to: from.next(),
            listeners: Changes::default(),
            routes: Changes::default(),
            upstreams: Changes::default(),
            certificates: Changes::default(),
            authorities: Changes::default(),
            error_pages: Changes::default(),
            telemetry: None,
        };
        if let Some(upstream) = self.snapshot.upstreams.get_mut(&id) {
            match upstream.endpoints.len() {
                ENDPOINTS => drop(upstream.endpoints.pop_last()),
                _ => {
                    let first = upstream.endpoints.values().next().cloned();
                    let last = instance(service, ENDPOINTS)?;
                    upstream.endpoints.extend(first.map(|first| (last, first)));
                }
            }
            delta.upstreams.set.insert(id, upstream.clone());
        }
        self.snapshot.generation = delta.to;
        Ok(delta)
    }
}

/// The host of a service.
pub(super) fn host(service: usize) -> String {
    format!("s{service}.test")
}

fn id(service: usize) -> Result<UpstreamId> {
    Ok(UpstreamId {
        app: AppName::new("fleet")?,
        service: ServiceName::new(format!("s{service}"))?,
    })
}

fn instance(service: usize, ordinal: usize) -> Result<InstanceId> {
    let name = format!("fleet.s{service}.1.{ordinal}");
    Ok(name.parse()?)
}

fn upstream(service: usize, address: SocketAddr) -> Result<Upstream> {
    let endpoint = Endpoint {
        address,
        protocol: Protocol::Http,
        tls: None,
    };
    let endpoints: Result<BTreeMap<_, _>> = (1..=ENDPOINTS)
        .map(|ordinal| Ok((instance(service, ordinal)?, endpoint.clone())))
        .collect();
    Ok(Upstream {
        protocol: Protocol::Http,
        timeout: Duration::from_secs(30),
        resilience: model::Resilience::default(),
        endpoints: endpoints?,
        files: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_touch_one_service_each_and_follow_each_other() {
        let address = ([127, 0, 0, 1], 1).into();
        let mut fleet = Fleet::new(7, address, address).unwrap();
        let mut followed = fleet.snapshot.clone();
        let mut sizes = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let delta = fleet.change().unwrap();
            assert_eq!(delta.upstreams.set.len(), 1);
            sizes.extend(delta.upstreams.set.values().map(|u| u.endpoints.len()));
            followed.apply(&delta).unwrap();
        }
        assert_eq!(followed, fleet.snapshot);
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [9, 10]);
    }
}
