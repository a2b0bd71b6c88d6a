//! What the proxies serve, from what the apps declare and which instances are ready.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::app::is_full;
use model::{
    Endpoint, Generation, InstanceRecord, Intent, Listener, ListenerId, ListenerRole, ObservedApp,
    Protocol, Release, Route, ServiceName, Snapshot, Upstream, UpstreamId,
};

/// The key of the edge's listener in a snapshot.
pub const EDGE: &str = "edge";

/// A caller and what it calls within one app: what one mesh listener serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The service that calls.
    pub caller: UpstreamId,
    /// The service that is called.
    pub upstream: UpstreamId,
}

impl Edge {
    /// The key of its listener in a snapshot.
    pub fn listener_id(&self) -> ListenerId {
        format!("mesh/{}/{}", self.caller, self.upstream.service)
    }
}

/// Every caller and what it calls, in all releases that instances may run.
pub fn mesh_edges(app: &ObservedApp) -> Vec<Edge> {
    let mut edges: Vec<Edge> = served_releases(app)
        .flat_map(|release| {
            release
                .app
                .services
                .iter()
                .flat_map(move |(caller, service)| {
                    service.uses.iter().map(move |used| Edge {
                        caller: upstream_id(release, caller),
                        upstream: upstream_id(release, used),
                    })
                })
        })
        .collect();
    edges.sort();
    edges.dedup();
    edges
}

/// The snapshot that says what `apps` need, without a number yet. `ports` gives the loopback port
/// of each mesh listener; a listener without one is left out.
pub fn snapshot<'a>(
    apps: impl IntoIterator<Item = &'a ObservedApp>,
    ports: &BTreeMap<ListenerId, u16>,
    edge: SocketAddr,
) -> Snapshot {
    let mut snapshot = Snapshot {
        generation: Generation(0),
        ..Snapshot::default()
    };
    for app in apps {
        add_app(&mut snapshot, app, ports);
    }
    if !snapshot.routes.is_empty() {
        snapshot.listeners.insert(
            EDGE.into(),
            Listener {
                address: edge,
                role: ListenerRole::Edge,
                tls: false,
            },
        );
    }
    snapshot
}

fn add_app(snapshot: &mut Snapshot, app: &ObservedApp, ports: &BTreeMap<ListenerId, u16>) {
    for mesh in mesh_edges(app) {
        let id = mesh.listener_id();
        if let Some(port) = ports.get(&id) {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            let role = ListenerRole::Mesh {
                caller: mesh.caller,
                upstream: mesh.upstream,
            };
            let tls = false;
            snapshot
                .listeners
                .insert(id, Listener { address, role, tls });
        }
    }
    for release in served_releases(app) {
        for (name, service) in &release.app.services {
            let upstream = Upstream {
                protocol: service.protocol,
                timeout: service.timeout,
                endpoints: BTreeMap::new(),
            };
            snapshot
                .upstreams
                .entry(upstream_id(release, name))
                .and_modify(|older| *older = for_both(older, &upstream))
                .or_insert(upstream);
        }
    }
    for (id, seen) in &app.instances {
        let key = UpstreamId {
            app: id.app.clone(),
            service: id.service.clone(),
        };
        if let Some(upstream) = snapshot.upstreams.get_mut(&key)
            && seen.record.phase.is_ready()
        {
            upstream
                .endpoints
                .insert(id.clone(), endpoint(app, &seen.record));
        }
    }
    if app.desired.intent == Intent::Run
        && let Some(target) = app.releases.get(&app.desired.target)
    {
        add_routes(snapshot, app, target);
    }
}

/// Settings under which instances of two releases can be reached while both run: bytes that are
/// passed on as they are suit either, and so does the longer wait.
fn for_both(older: &Upstream, newer: &Upstream) -> Upstream {
    Upstream {
        protocol: match (older.protocol, newer.protocol) {
            (Protocol::Tcp, _) | (_, Protocol::Tcp) => Protocol::Tcp,
            (_, newer) => newer,
        },
        timeout: older.timeout.max(newer.timeout),
        endpoints: BTreeMap::new(),
    }
}

/// The routes of the target. As long as it is being rolled out, those of the release before it
/// stay, and each gives way only when what takes its place has an endpoint.
fn add_routes(snapshot: &mut Snapshot, app: &ObservedApp, target: &Release) {
    let before = app
        .desired
        .confirmed
        .filter(|number| *number != target.number && !is_full(app, target))
        .and_then(|number| app.releases.get(&number));
    let is_served = |route: &Route| {
        let upstream = snapshot.upstreams.get(&route.upstream);
        upstream.is_some_and(|upstream| !upstream.endpoints.is_empty())
    };
    let mut routes: BTreeMap<String, Route> = before
        .into_iter()
        .flat_map(|release| routes_of(release))
        .filter(|(_, route)| is_served(route))
        .collect();
    for (key, route) in routes_of(target) {
        if is_served(&route) || !routes.contains_key(&key) {
            routes.insert(key, route);
        }
    }
    snapshot.routes.extend(routes);
}

fn routes_of(release: &Release) -> impl Iterator<Item = (String, Route)> {
    release.app.services.iter().filter_map(|(name, service)| {
        let exposure = service.expose.as_ref()?;
        let route = Route {
            host: exposure.host.clone(),
            path: exposure.path.clone(),
            upstream: upstream_id(release, name),
        };
        Some((format!("{}{}", exposure.host, exposure.path), route))
    })
}

/// The releases whose instances exist or may be launched, the target last.
fn served_releases(app: &ObservedApp) -> impl Iterator<Item = &Release> {
    let target = app.desired.target;
    let in_use = move |number: &u64| app.instances.keys().any(|id| id.release == *number);
    let old = app
        .releases
        .values()
        .filter(move |r| r.number != target && in_use(&r.number));
    let last = app
        .releases
        .get(&target)
        .filter(|_| app.desired.intent == Intent::Run || in_use(&target));
    old.chain(last).map(Arc::as_ref)
}

fn upstream_id(release: &Release, service: &ServiceName) -> UpstreamId {
    UpstreamId {
        app: release.app.name.clone(),
        service: service.clone(),
    }
}

fn endpoint(app: &ObservedApp, record: &InstanceRecord) -> Endpoint {
    let id = &record.id;
    let release = app.releases.get(&id.release);
    let service = release.and_then(|release| release.app.services.get(&id.service));
    Endpoint {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, record.port)),
        protocol: service.map_or(Protocol::Http, |service| service.protocol),
        tls: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{World, app};

    #[test]
    fn a_snapshot_of_two_releases_in_mid_rollout() {
        let mut world = World::new(app(&[("web", &["api"]), ("api", &[])]));
        world.run_until_complete();
        world.deploy(app(&[("web", &["api", "db"]), ("api", &[]), ("db", &[])]));
        world.step();
        let seen = world.seen();
        let ports = mesh_edges(&seen)
            .iter()
            .enumerate()
            .map(|(n, edge)| (edge.listener_id(), 10_000 + n as u16))
            .collect();
        let snapshot = snapshot([&seen], &ports, "127.0.0.1:8080".parse().unwrap());
        insta::assert_json_snapshot!(snapshot);
    }
}
