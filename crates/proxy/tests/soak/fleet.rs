//! The fleet: its instances, and the snapshots by which the proxy knows of them. Both change all
//! the time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{
    Certificate, Endpoint, EndpointTls, Generation, Host, InstanceId, Listener, ListenerRole,
    PathPrefix, Protocol, Route, Snapshot, Upstream,
};
use proxy::protocol::{Counts, FromProxy, ToProxy};
use tokio_rustls::TlsAcceptor;

use super::certificates::{INSTANCE, Signer};
use super::instance::{Instance, Shared};
use super::random::Random;
use super::stage::{CHANGING, LONG, Service, Stage};
use super::support::{Setup, upstream_id};

/// How many instances a service has.
const INSTANCES: usize = 3;
/// How long a service has to answer of which that is not sure.
const SOON: Duration = Duration::from_millis(500);
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// See above.
pub(crate) struct Fleet {
    pub(crate) stage: Arc<Stage>,
    pub(crate) setup: Setup,
    snapshot: Snapshot,
    instances: BTreeMap<&'static str, Vec<Instance>>,
    /// How many instances there ever were.
    started: u32,
    signer: Signer,
    acceptors: BTreeMap<bool, TlsAcceptor>,
    random: Random,
    /// What the proxy says is in flight to instances that left.
    busy: BTreeMap<InstanceId, u32>,
    /// What it last counted.
    counted: BTreeMap<String, Counts>,
    /// How many connections clients have, as it last said.
    pub(crate) connections: u64,
}

impl Fleet {
    /// A fleet that the proxy serves.
    pub(crate) fn start(seed: u64) -> Self {
        let signer = Signer::new();
        let (http1, http2) = (signer.clients(HTTP1), signer.clients(HTTP2));
        let stage = Arc::new(Stage::new(seed, http1, http2));
        let acceptors = [(false, HTTP1), (true, HTTP2)]
            .map(|(is_http2, name)| (is_http2, TlsAcceptor::from(signer.instances(name))));
        // Idle connections are closed soon, so that what is left at the end is a leak.
        let setup = Setup::new(&["pool-idle=1000", "linger=500"]);
        let mut fleet = Self {
            snapshot: Snapshot::default(),
            instances: BTreeMap::new(),
            started: 0,
            acceptors: BTreeMap::from(acceptors),
            random: Random::of(seed, 0),
            busy: BTreeMap::new(),
            counted: BTreeMap::new(),
            connections: 0,
            signer,
            stage,
            setup,
        };
        fleet.patience();
        fleet.begin();
        fleet
    }

    /// The proxy answers within this time, on however loaded a machine.
    fn patience(&self) {
        self.setup.link.set_read_timeout(Some(LONG)).unwrap();
    }

    fn begin(&mut self) {
        let stage = self.stage.clone();
        let edges = [
            ("edge", stage.edge, false),
            ("edge-tls", stage.edge_tls, true),
        ];
        for (id, address, tls) in edges {
            let role = ListenerRole::Edge;
            let listener = Listener {
                address,
                role,
                tls,
                trusted: Default::default(),
            };
            self.snapshot.listeners.insert(id.to_owned(), listener);
        }
        let authority = self.signer.authority();
        self.snapshot
            .authorities
            .insert("fleet".to_owned(), authority);
        for service in &stage.services {
            self.mesh(service.name, service.name, stage.mesh[service.name]);
            let host = format!("{}.test", service.name);
            self.route(&host, service.name);
            self.certify(&host);
            for index in 0..INSTANCES {
                self.add(service, index);
            }
            self.describe(service);
        }
        self.mesh("flapping", "one", stage.flapping);
        self.snapshot.generation = Generation(1);
        let message = ToProxy::Snapshot(self.snapshot.clone());
        self.tell(message);
    }

    fn mesh(&mut self, name: &str, service: &str, address: SocketAddr) {
        let role = ListenerRole::Mesh {
            caller: upstream_id("caller"),
            upstream: upstream_id(service),
        };
        let (id, tls) = (format!("mesh/app/caller/{name}"), false);
        let listener = Listener {
            address,
            role,
            tls,
            trusted: Default::default(),
        };
        self.snapshot.listeners.insert(id, listener);
    }

    fn route(&mut self, host: &str, service: &str) {
        let name = Host::new(host).unwrap();
        let route = Route::exposing(name, PathPrefix::root(), upstream_id(service));
        self.snapshot.routes.insert(host.to_owned(), route);
    }

    fn certify(&mut self, host: &str) {
        let certificate: Certificate = self.signer.certificate(host);
        self.snapshot
            .certificates
            .insert(host.to_owned(), certificate);
    }

    /// Starts an instance, which nobody is told of yet.
    fn add(&mut self, service: &Service, index: usize) {
        self.started += 1;
        let turn = match service.name.ends_with(CHANGING) {
            true => self.started as usize / 40,
            false => index,
        };
        let (protocol, tls) = service.instances[turn % service.instances.len()];
        let is_http2 = matches!(protocol, Protocol::Http2 | Protocol::Grpc);
        let shared = Shared {
            stage: self.stage.clone(),
            name: format!("app.{}.1.{}", service.name, self.started),
            protocol,
            acceptor: tls.then(|| self.acceptors[&is_http2].clone()),
            left: AtomicU64::new(0),
        };
        let instance = Instance::start(Arc::new(shared));
        self.instances
            .entry(service.name)
            .or_default()
            .push(instance);
    }

    /// Has the snapshot name the instances of a service as they are.
    fn describe(&mut self, service: &Service) {
        let endpoints = self.instances[service.name].iter().map(|instance| {
            let shared = &instance.shared;
            let tls = shared.acceptor.is_some().then(|| EndpointTls {
                name: INSTANCE.to_owned(),
                authority: "fleet".to_owned(),
            });
            let endpoint = Endpoint {
                address: instance.address,
                protocol: shared.protocol,
                tls,
            };
            (shared.name.parse().unwrap(), endpoint)
        });
        let upstream = Upstream {
            files: None,
            protocol: service.protocol,
            timeout: if service.is_wild { SOON } else { LONG },
            // So much of what wild ones are asked stays without an answer that most of it would be
            // refused.
            resilience: model::Resilience {
                overload: match service.is_wild {
                    true => model::Overload::Off,
                    false => model::Overload::Usual,
                },
                ..model::Resilience::default()
            },
            endpoints: endpoints.collect(),
        };
        self.snapshot
            .upstreams
            .insert(upstream_id(service.name), upstream);
    }

    /// Has the proxy follow what `change` makes of the snapshot. `left` are instances that are not
    /// in it any more.
    fn publish(&mut self, before: &Snapshot, left: &[&Shared]) {
        self.snapshot.generation = before.generation.next();
        let message = match self.random.one_in(50) {
            true => ToProxy::Snapshot(self.snapshot.clone()),
            false => ToProxy::Delta(before.delta_to(&self.snapshot)),
        };
        self.tell(message);
        let generation = self.snapshot.generation.0;
        for shared in left {
            shared.left.store(generation, Ordering::SeqCst);
        }
        self.stage.acknowledged.store(generation, Ordering::SeqCst);
    }

    /// Sends a message and waits for what answers it.
    fn tell(&mut self, message: ToProxy) {
        let wanted = self.snapshot.generation;
        let is_count = message == ToProxy::Count;
        let mut heard = self.setup.offer(message);
        loop {
            match heard {
                FromProxy::Acknowledged {
                    generation,
                    listener_failures,
                    busy,
                } => {
                    assert_eq!(generation, wanted);
                    self.busy = busy;
                    // A listener may be tried again when its address has just been given up.
                    if !is_count && listener_failures.is_empty() {
                        return;
                    }
                }
                FromProxy::Drained { instance } => drop(self.busy.remove(&instance)),
                FromProxy::Counted {
                    upstreams,
                    connections,
                    ..
                } => {
                    assert!(is_count);
                    self.connections = connections;
                    for (id, counts) in upstreams {
                        self.note(id.service.to_string(), counts);
                    }
                    return;
                }
                other => panic!("{other:?}"),
            }
            heard = self.setup.receive();
        }
    }

    fn note(&mut self, service: String, counts: Counts) {
        let before = self
            .counted
            .insert(service.clone(), counts.clone())
            .unwrap_or_default();
        let grew = before.answered <= counts.answered
            && before.failed <= counts.failed
            && before.cut <= counts.cut;
        if !grew {
            let what = format!("{service} was at {before:?} and is at {counts:?}");
            self.stage.violation(what);
        }
    }

    /// Asks the proxy what it counted.
    pub(crate) fn count(&mut self) -> &BTreeMap<String, Counts> {
        self.tell(ToProxy::Count);
        &self.counted
    }

    /// Changes something.
    pub(crate) fn change(&mut self) {
        let tame = self.any(false);
        let wild = self.any(true);
        match self.random.below(12) {
            0..4 => self.replace(&tame),
            4 => self.kill(&wild),
            5 => self.kill_all(&wild),
            6 => self.lose(&wild),
            7 => self.toggle(Self::toggle_listener),
            8 => self.toggle(Self::toggle_route),
            9 => self.toggle(Self::renew_certificate),
            10 => self.toggle(Self::change_authority),
            _ if self.random.one_in(4) => self.reconnect(),
            _ => drop(self.count()),
        }
        if self.random.one_in(2) {
            self.revive(&wild);
        }
    }

    fn any(&mut self, is_wild: bool) -> Service {
        let fitting: Vec<_> = self
            .stage
            .services
            .iter()
            .filter(|s| s.is_wild == is_wild)
            .collect();
        *self.random.pick(&fitting)
    }

    /// Puts another instance in the place of one, which ends when nothing is in flight to it.
    fn replace(&mut self, service: &Service) {
        let index = self.random.below(INSTANCES as u64) as usize;
        let before = self.snapshot.clone();
        self.add(service, index);
        self.describe(service);
        self.publish(&before, &[]);
        let before = self.snapshot.clone();
        let instances = self.instances.get_mut(service.name).unwrap();
        // The new one takes the place in which it speaks what it has to.
        let mut old = instances.swap_remove(index);
        self.describe(service);
        self.publish(&before, &[&old.shared]);
        self.until_idle(&old.shared);
        old.kill();
        self.stage.kinds.count("fleet: instances replaced");
    }

    /// Waits until nothing is in flight to an instance that left.
    fn until_idle(&mut self, shared: &Shared) {
        let id: InstanceId = shared.name.parse().unwrap();
        while self.busy.contains_key(&id) {
            match self.setup.receive() {
                FromProxy::Drained { instance } => drop(self.busy.remove(&instance)),
                other => panic!("{other:?} while {id} should become idle"),
            }
        }
    }

    /// Kills an instance and tells nobody.
    fn kill(&mut self, service: &Service) {
        let index = self.random.below(INSTANCES as u64) as usize;
        self.instances.get_mut(service.name).unwrap()[index].kill();
        self.stage.kinds.count("fleet: instances killed");
    }

    fn kill_all(&mut self, service: &Service) {
        let instances = self.instances.get_mut(service.name).unwrap();
        instances.iter_mut().for_each(Instance::kill);
        self.stage.kinds.count("fleet: services killed");
    }

    /// Starts again what was killed.
    fn revive(&mut self, service: &Service) {
        let instances = self.instances.get_mut(service.name).unwrap();
        for instance in instances.iter_mut().filter(|instance| !instance.runs()) {
            instance.run();
        }
    }

    /// Takes an instance out of the snapshot and kills it with all that is in flight to it.
    fn lose(&mut self, service: &Service) {
        let before = self.snapshot.clone();
        let index = self.random.below(INSTANCES as u64) as usize;
        self.add(service, index);
        let instances = self.instances.get_mut(service.name).unwrap();
        let mut old = instances.swap_remove(index);
        self.describe(service);
        self.publish(&before, &[&old.shared]);
        old.kill();
        self.stage.kinds.count("fleet: instances lost");
    }

    fn toggle(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.snapshot.clone();
        change(self);
        self.publish(&before, &[]);
    }

    fn toggle_listener(&mut self) {
        let removed = self.snapshot.listeners.remove("mesh/app/caller/flapping");
        if removed.is_none() {
            self.mesh("flapping", "one", self.stage.flapping);
        }
        self.stage.kinds.count("fleet: listeners changed");
    }

    fn toggle_route(&mut self) {
        if self.snapshot.routes.remove("extra.test").is_none() {
            self.route("extra.test", "one");
        }
        self.stage.kinds.count("fleet: routes changed");
    }

    fn renew_certificate(&mut self) {
        let is_wild = self.random.one_in(2);
        let service = self.any(is_wild);
        self.certify(&format!("{}.test", service.name));
        if self.snapshot.certificates.remove("extra.test").is_none() {
            self.certify("extra.test");
        }
        self.stage.kinds.count("fleet: certificates changed");
    }

    fn change_authority(&mut self) {
        let mut authority = self.signer.authority();
        // The same in other words, with and without another authority.
        if self.random.one_in(2) {
            authority.roots += &Signer::new().authority().roots;
        }
        self.snapshot
            .authorities
            .insert("fleet".to_owned(), authority);
        self.stage.kinds.count("fleet: authorities changed");
    }

    /// As when the server ends and another comes.
    fn reconnect(&mut self) {
        self.setup.reconnect();
        self.patience();
        let FromProxy::Hello { generation, .. } = self.setup.hello else {
            panic!("{:?}", self.setup.hello);
        };
        assert_eq!(generation, Some(self.snapshot.generation));
        self.tell(ToProxy::Snapshot(self.snapshot.clone()));
        self.stage.kinds.count("fleet: servers replaced");
    }

    /// Has everything as it was at the beginning.
    pub(crate) fn settle(&mut self) {
        let before = self.snapshot.clone();
        self.mesh("flapping", "one", self.stage.flapping);
        self.snapshot.routes.remove("extra.test");
        self.snapshot.certificates.remove("extra.test");
        self.publish(&before, &[]);
        for service in self.stage.services.clone() {
            self.revive(&service);
        }
    }
}
