//! What the proxies serve, from what the apps declare and which instances are ready.

mod error_pages;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use self::error_pages::add_error_pages;
use self::files::{keep_files, served_files};
use crate::app::is_full;
use model::{
    Action, AuthorityId, Certificate, Endpoint, EndpointTls, Generation, HostPattern,
    InstanceRecord, Intent, Listener, ListenerId, ListenerRole, ObservedApp, Protocol, Release,
    Route, ServiceName, Snapshot, TrustedHops, Upstream, UpstreamId,
};

/// The key of the edge's listener in a snapshot.
pub const EDGE: &str = "edge";
/// The key of the edge's listener for TLS.
pub const EDGE_TLS: &str = "edge-tls";

/// Where the edge listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeAddresses {
    /// For HTTP in the clear.
    pub plain: SocketAddr,
    /// For HTTP in TLS, to hosts that have a certificate.
    pub tls: SocketAddr,
}

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
    edge: EdgeAddresses,
) -> Snapshot {
    let mut snapshot = Snapshot {
        generation: Generation(0),
        ..Snapshot::default()
    };
    for app in apps {
        add_app(&mut snapshot, app, ports);
    }
    for route in snapshot.routes.values_mut() {
        find_edge(route, edge);
    }
    let listener = |address, tls| Listener {
        address,
        role: ListenerRole::Edge,
        tls,
        trusted: TrustedHops::default(),
    };
    if !snapshot.routes.is_empty() {
        let plain = listener(edge.plain, false);
        snapshot.listeners.insert(EDGE.into(), plain);
    }
    if !snapshot.certificates.is_empty() {
        let tls = listener(edge.tls, true);
        snapshot.listeners.insert(EDGE_TLS.into(), tls);
    }
    snapshot
}

/// Has whoever serves `snapshot` believe `hops` what they say of requests that they bring.
pub fn trust(snapshot: &mut Snapshot, hops: &TrustedHops) {
    for listener in snapshot.listeners.values_mut() {
        if listener.role == ListenerRole::Edge {
            listener.trusted = hops.clone();
        }
    }
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
            let listener = Listener {
                address,
                role,
                tls: false,
                trusted: TrustedHops::default(),
            };
            snapshot.listeners.insert(id, listener);
        }
    }
    for release in served_releases(app) {
        for (name, service) in &release.app.services {
            let upstream = Upstream {
                protocol: service.protocol,
                timeout: service.timeout,
                resilience: service.resilience.clone(),
                endpoints: BTreeMap::new(),
                files: served_files(release, service),
            };
            snapshot
                .upstreams
                .entry(upstream_id(release, name))
                .and_modify(|older| *older = for_both(older, &upstream))
                .or_insert(upstream);
        }
    }
    add_authorities(snapshot, app);
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
        resilience: newer.resilience.clone(),
        endpoints: BTreeMap::new(),
        files: newer.files.clone(),
    }
}

/// The routes of the target, and the certificates of their hosts. As long as it is being rolled out,
/// the routes of the release before it stay, and each gives way only when what takes its place has
/// an endpoint.
fn add_routes(snapshot: &mut Snapshot, app: &ObservedApp, target: &Release) {
    let before = app
        .desired
        .confirmed
        .filter(|number| *number != target.number && !is_full(app, target))
        .and_then(|number| app.releases.get(&number));
    if let Some(before) = before {
        keep_files(snapshot, before);
    }
    let is_served = |route: &Route| {
        route.services().all(|id| {
            let upstream = snapshot.upstreams.get(id);
            upstream
                .is_some_and(|upstream| !upstream.endpoints.is_empty() || upstream.files.is_some())
        })
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
    let hosts: BTreeSet<&HostPattern> = {
        let hosts = routes.values().map(|route| &route.matching.host);
        hosts.collect()
    };
    let releases = [Some(target), before.map(Arc::as_ref)];
    for release in releases.into_iter().flatten() {
        add_certificates(snapshot, app, release, &hosts);
    }
    let releases = [Some(target), before.map(Arc::as_ref)];
    add_error_pages(snapshot, releases.into_iter().flatten(), &routes);
    snapshot.routes.extend(routes);
}

/// The certificates of a release for `hosts`, where they have none yet: one of the target goes
/// before one of the release before it, and two apps that share a host name the same files. One
/// holds for all hosts of the app that it names.
fn add_certificates(
    snapshot: &mut Snapshot,
    app: &ObservedApp,
    release: &Release,
    hosts: &BTreeSet<&HostPattern>,
) {
    let Some(credentials) = app.credentials.get(&release.number) else {
        return;
    };
    for (host, certificate) in &credentials.certificates {
        let is_named = |host: &HostPattern| {
            let mut names = certificate.also.iter();
            names.any(|name| host.is_named_by(name))
        };
        let is_other = |named: &HostPattern| named.exact() != Some(host);
        let others = hosts.iter().filter(|host| is_other(host) && is_named(host));
        let also: BTreeSet<_> = others.map(|host| (*host).clone()).collect();
        if !also.is_empty() || hosts.contains(&HostPattern::Exact(host.clone())) {
            snapshot
                .certificates
                .entry(host.to_string())
                .or_insert_with(|| Certificate {
                    also,
                    ..certificate.clone()
                });
        }
    }
}

/// Whom the instances of each release are verified against.
fn add_authorities(snapshot: &mut Snapshot, app: &ObservedApp) {
    for release in served_releases(app) {
        let credentials = app.credentials.get(&release.number);
        let authorities = credentials.into_iter().flat_map(|c| &c.authorities);
        let authorities = authorities.map(|(name, a)| (authority_id(release, name), a.clone()));
        snapshot.authorities.extend(authorities);
    }
}

/// Each release has its own: while two of them run, their instances may be signed differently.
fn authority_id(release: &Release, service: &ServiceName) -> AuthorityId {
    format!("{}/{}", upstream_id(release, service), release.number)
}

/// Only here it is known where the edge is for TLS.
fn find_edge(route: &mut Route, edge: EdgeAddresses) {
    if let Action::Redirect(redirect) = &mut route.action
        && redirect.https
    {
        redirect.port.get_or_insert(edge.tls.port());
    }
}

fn routes_of(release: &Release) -> impl Iterator<Item = (String, Route)> {
    release.app.rules().map(|rule| {
        let mut route = rule.map(|service| upstream_id(release, service));
        route.error_pages = error_pages::id(release);
        (route.matching.to_string(), route)
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

/// What an instance speaks is what its own release declares.
fn endpoint(app: &ObservedApp, record: &InstanceRecord) -> Endpoint {
    let id = &record.id;
    let release = app.releases.get(&id.release);
    let declared = release.and_then(|r| Some((r, r.app.services.get(&id.service)?)));
    Endpoint {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, record.port)),
        protocol: declared.map_or(Protocol::Http, |(_, service)| service.protocol),
        tls: declared.and_then(|(release, service)| {
            service.tls.as_ref().map(|tls| EndpointTls {
                name: tls.name.to_string(),
                authority: authority_id(release, &id.service),
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{World, app, service};
    use model::{App, CertificateFiles, Exposure, FilePath, Host, PathPrefix, ServiceTls};

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
        insta::assert_json_snapshot!(snapshot([&seen], &ports, EDGES));
    }

    const EDGES: EdgeAddresses = EdgeAddresses {
        plain: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
        tls: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8443),
    };

    /// An app of `web`, exposed with a certificate, and `api`, whose instances speak TLS.
    fn with_tls() -> App {
        let mut app = app(&[("web", &["api"]), ("api", &[])]);
        let file = |name| FilePath::new(name).unwrap();
        let web = app.services.get_mut(&service("web")).unwrap();
        web.expose = Some(Exposure {
            host: Host::new("shop.example.com").unwrap(),
            path: PathPrefix::root(),
            certificate: Some(CertificateFiles {
                certificate: file("shop.pem"),
                key: file("shop.key"),
            }),
            compress: false,
            security_headers: false,
        });
        let api = app.services.get_mut(&service("api")).unwrap();
        api.protocol = Protocol::Grpc;
        api.tls = Some(ServiceTls {
            authority: file("ca.pem"),
            name: Host::new("api.internal").unwrap(),
        });
        app
    }

    #[test]
    fn a_snapshot_with_tls_on_both_sides() {
        let mut world = World::new(with_tls());
        world.run_until_complete();
        let snapshot = snapshot([&world.seen()], &BTreeMap::new(), EDGES);
        insta::assert_json_snapshot!(snapshot);
    }

    /// The world of `with_tls`, with these routes too.
    fn with_routes(routes: &str) -> App {
        let mut app = with_tls();
        app.routes = serde_json::from_str(routes).unwrap();
        app
    }

    #[test]
    fn a_snapshot_with_routes() {
        let routes = r#"[
            {"host": "shop.example.com", "path": "/", "in_clear": true,
             "redirect": {"status": 308, "https": true}},
            {"host": "*.example.com", "path": {"template": "/{id}"}, "methods": ["GET"],
             "headers": {"x-a": {"prefix": "1"}}, "order": 1, "timeout": {"secs": 1, "nanos": 0},
             "split": [{"service": "web", "weight": 9}, {"service": "api", "weight": 1}]}
        ]"#;
        let mut world = World::new(with_routes(routes));
        world.run_until_complete();
        let snapshot = snapshot([&world.seen()], &BTreeMap::new(), EDGES);
        insta::assert_json_snapshot!(snapshot.routes);
    }

    #[test]
    fn a_certificate_is_shown_for_all_hosts_of_its_app_that_it_names() {
        // In this world it names `*.example.com` and `other.test` too.
        let routes = r#"[
            {"host": "*.example.com", "path": "/", "upstream": "web"},
            {"host": "one.example.com", "path": "/", "upstream": "web"},
            {"host": "a.one.example.com", "path": "/", "upstream": "web"},
            {"host": "*", "path": "/x", "upstream": "web"}
        ]"#;
        let mut world = World::new(with_routes(routes));
        world.run_until_complete();
        let snapshot = snapshot([&world.seen()], &BTreeMap::new(), EDGES);
        let also = &snapshot.certificates["shop.example.com"].also;
        let also: Vec<String> = also.iter().map(ToString::to_string).collect();
        assert_eq!(also, ["one.example.com", "*.example.com"]);
        assert_eq!(snapshot.certificates.len(), 1);
    }

    #[test]
    fn a_route_changes_its_service_when_all_that_share_it_are_ready() {
        let to = |action: &str| format!(r#"[{{"host": "a.test", "path": "/x", {action}}}]"#);
        let mut world = World::new(with_routes(&to(r#""upstream": "web""#)));
        world.run_until_complete();
        let mut next = with_routes(&to(
            r#""split": [{"service": "web", "weight": 1}, {"service": "new", "weight": 1}]"#,
        ));
        let web = next.services[&service("web")].clone();
        let new = model::Service {
            expose: None,
            ..web
        };
        next.services.insert(service("new"), new);
        world.deploy(next);
        let mut splits = 0;
        for _ in 0..50 {
            world.step();
            let published = snapshot([&world.seen()], &BTreeMap::new(), EDGES);
            let route = &published.routes["a.test/x"];
            let is_served = |id| !published.upstreams[id].endpoints.is_empty();
            assert!(route.services().all(is_served));
            splits += usize::from(route.services().count() == 2);
        }
        assert!((1..50).contains(&splits), "{splits} of 50 steps");
    }

    #[test]
    fn each_release_has_its_own_authority_and_the_target_its_certificate() {
        let mut world = World::new(with_tls());
        world.run_until_complete();
        let mut plain = with_tls();
        plain.services.get_mut(&service("api")).unwrap().tls = None;
        world.deploy(plain);
        // Until one instance of each release is ready.
        let tls_of = |seen: &ObservedApp| -> BTreeSet<(u64, Option<String>)> {
            let snapshot = snapshot([seen], &BTreeMap::new(), EDGES);
            let endpoints = snapshot.upstreams.into_values().flat_map(|u| u.endpoints);
            endpoints
                .filter(|(id, _)| id.service == service("api"))
                .map(|(id, endpoint)| (id.release, endpoint.tls.map(|tls| tls.authority)))
                .collect()
        };
        let both = BTreeSet::from([(1, Some("shop/api/1".to_owned())), (2, None)]);
        for _ in 0..50 {
            world.step();
            let seen = world.seen();
            let published = snapshot([&seen], &BTreeMap::new(), EDGES);
            let chain = &published.certificates["shop.example.com"].chain;
            assert_eq!(chain, "chain of release 2");
            if tls_of(&seen) == both {
                assert!(published.authorities.contains_key("shop/api/1"));
                return;
            }
        }
        panic!("the two releases never served together");
    }
}
