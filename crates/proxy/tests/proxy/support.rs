//! What the tests share: the proxy as a process, a server's end of the link, backends.

pub(crate) mod attested;
pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod prometheus;
pub(crate) mod stage;
pub(crate) mod tls;
pub(crate) mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::{
    Endpoint, Generation, Host, Listener, ListenerRole, PathPrefix, Protocol, Route, Snapshot,
    Upstream, UpstreamId,
};
use proxy::protocol::{FromProxy, ToProxy};

use self::backend::{Backend, Connection};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A home with a server's socket in it, and a proxy that runs for it.
pub(crate) struct Setup {
    pub(crate) home: tempfile::TempDir,
    server: UnixListener,
    pub(crate) link: UnixStream,
    pub(crate) proxy: Proxy,
    pub(crate) hello: FromProxy,
    limits: Vec<String>,
}

/// The proxy's process, killed when dropped.
pub(crate) struct Proxy(pub(crate) Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Proxy {
    pub(crate) fn start(home: &std::path::Path, limits: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxy-under-test"));
        command.arg(home).arg("2").args(limits).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.0.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Lets the proxy open as many descriptors as it has and `more`; all that it may, with none.
    pub(crate) fn limit_descriptors(&self, more: Option<usize>) {
        use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        // The limit is one of their numbers, among which there may be gaps.
        let current = more.map(|more| {
            let folder = std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap();
            let numbers = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let taken: BTreeSet<u64> = numbers.map(|number| number.parse().unwrap()).collect();
            let mut free = (0..).filter(|number| !taken.contains(number));
            free.nth(more).unwrap()
        });
        let current = current.or(maximum);
        let pid = Pid::from_child(&self.0);
        prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Setup {
    /// A proxy that has no snapshot yet.
    pub(crate) fn new(limits: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("run")).unwrap();
        let server = UnixListener::bind(home.path().join("run/proxies.sock")).unwrap();
        let limits: Vec<String> = limits.iter().map(|limit| limit.to_string()).collect();
        let proxy = Proxy::start(home.path(), &limits);
        let (link, hello) = accept(&server);
        Self {
            home,
            server,
            link,
            proxy,
            hello,
            limits,
        }
    }

    /// A proxy that serves from `snapshot`.
    pub(crate) fn serving(snapshot: &Snapshot, limits: &[&str]) -> Self {
        let mut setup = Self::new(limits);
        match setup.offer(ToProxy::Snapshot(snapshot.clone())) {
            FromProxy::Acknowledged {
                generation,
                listener_failures,
                ..
            } => {
                assert_eq!(generation, snapshot.generation);
                assert_eq!(listener_failures, BTreeMap::new());
            }
            other => panic!("expected an acknowledgement, not {other:?}"),
        }
        setup
    }

    /// Sends a message and returns the answer.
    pub(crate) fn offer(&mut self, message: ToProxy) -> FromProxy {
        let json = serde_json::to_vec(&message).unwrap();
        self.link
            .write_all(&(json.len() as u32).to_be_bytes())
            .unwrap();
        self.link.write_all(&json).unwrap();
        self.receive()
    }

    /// Has the proxy go from `old` to `new` by a delta, and returns what is busy.
    pub(crate) fn change(&mut self, old: &Snapshot, new: &Snapshot) -> BTreeMap<String, u32> {
        match self.offer(ToProxy::Delta(old.delta_to(new))) {
            FromProxy::Acknowledged {
                generation, busy, ..
            } => {
                assert_eq!(generation, new.generation);
                busy.into_iter()
                    .map(|(instance, count)| (instance.to_string(), count))
                    .collect()
            }
            other => panic!("expected an acknowledgement, not {other:?}"),
        }
    }

    /// The next message of the proxy.
    pub(crate) fn receive(&mut self) -> FromProxy {
        receive(&mut self.link).expect("the link is open")
    }

    /// Kills the proxy as a crash would and starts another, which finds no server at first.
    pub(crate) fn crash_and_restart(&mut self) {
        self.proxy = {
            let _ = self.proxy.0.kill();
            let _ = self.proxy.0.wait();
            Proxy::start(self.home.path(), &self.limits)
        };
    }

    /// Hangs up on the proxy and waits until it is back.
    pub(crate) fn reconnect(&mut self) {
        self.link.shutdown(std::net::Shutdown::Both).unwrap();
        self.accept();
    }

    /// Accepts the proxy's next connection.
    pub(crate) fn accept(&mut self) {
        (self.link, self.hello) = accept(&self.server);
    }
}

fn accept(server: &UnixListener) -> (UnixStream, FromProxy) {
    let (mut link, _) = server.accept().unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    let hello = receive(&mut link).expect("a proxy says hello");
    (link, hello)
}

fn receive(link: &mut UnixStream) -> Option<FromProxy> {
    let mut length = [0; 4];
    link.read_exact(&mut length).ok()?;
    let mut json = vec![0; u32::from_be_bytes(length) as usize];
    link.read_exact(&mut json).unwrap();
    Some(serde_json::from_slice(&json).unwrap())
}

/// An address that nothing listens on, outside the range from which the kernel takes ports for
/// outgoing connections.
pub(crate) fn free_address() -> SocketAddr {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = std::process::id() * 37 + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], 12_000 + (offset % 18_000) as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Builds snapshots.
#[derive(Clone, Default)]
pub(crate) struct Builder(pub(crate) Snapshot);

pub(crate) fn upstream_id(service: &str) -> UpstreamId {
    UpstreamId::try_from(format!("app/{service}")).unwrap()
}

impl Builder {
    pub(crate) fn generation(generation: u64) -> Self {
        let mut builder = Self::default();
        builder.0.generation = Generation(generation);
        builder
    }

    pub(crate) fn next(&self) -> Self {
        let mut builder = self.clone();
        builder.0.generation = builder.0.generation.next();
        builder
    }

    pub(crate) fn edge(mut self, address: SocketAddr) -> Self {
        self.0.listeners.insert(
            "edge".into(),
            Listener {
                address,
                role: ListenerRole::Edge,
                tls: false,
                trusted: Default::default(),
            },
        );
        self
    }

    pub(crate) fn mesh(mut self, address: SocketAddr, service: &str) -> Self {
        let role = ListenerRole::Mesh {
            caller: upstream_id("caller"),
            upstream: upstream_id(service),
        };
        let id = format!("mesh/app/caller/{service}");
        let tls = false;
        let listener = Listener {
            address,
            role,
            tls,
            trusted: Default::default(),
        };
        self.0.listeners.insert(id, listener);
        self
    }

    pub(crate) fn route(mut self, host: &str, path: &str, service: &str) -> Self {
        let (name, prefix) = (Host::new(host).unwrap(), PathPrefix::new(path).unwrap());
        let route = Route::exposing(name, prefix, upstream_id(service));
        self.0.routes.insert(format!("{host}{path}"), route);
        self
    }

    pub(crate) fn http(self, service: &str, endpoints: &[SocketAddr]) -> Self {
        self.upstream(service, Protocol::Http, Duration::from_secs(5), endpoints)
    }

    pub(crate) fn tcp(self, service: &str, endpoints: &[SocketAddr]) -> Self {
        self.upstream(service, Protocol::Tcp, Duration::from_secs(5), endpoints)
    }

    /// Instances are named `app.SERVICE.1.N`, N counting from 1.
    pub(crate) fn upstream(
        mut self,
        service: &str,
        protocol: Protocol,
        timeout: Duration,
        endpoints: &[SocketAddr],
    ) -> Self {
        let endpoints = endpoints.iter().enumerate().map(|(index, &address)| {
            let instance = format!("app.{service}.1.{}", index + 1).parse().unwrap();
            let tls = None;
            let endpoint = Endpoint {
                address,
                protocol,
                tls,
            };
            (instance, endpoint)
        });
        let upstream = Upstream {
            files: None,
            protocol,
            timeout,
            resilience: model::Resilience::default(),
            endpoints: endpoints.collect(),
        };
        self.0.upstreams.insert(upstream_id(service), upstream);
        self
    }

    /// Without the instance `app.SERVICE.1.ORDINAL`.
    pub(crate) fn without(mut self, service: &str, ordinal: u32) -> Self {
        let instance = format!("app.{service}.1.{ordinal}").parse().unwrap();
        let upstream = self.0.upstreams.get_mut(&upstream_id(service)).unwrap();
        upstream.endpoints.remove(&instance).unwrap();
        self
    }
}

/// A proxy with an edge that leads requests for `a.test` to one backend.
pub(crate) fn edge_to(backend: &Backend, limits: &[&str]) -> (Setup, SocketAddr) {
    let address = free_address();
    let builder = edge_builder(address, backend);
    (Setup::serving(&builder.0, limits), address)
}

/// The snapshot of [`edge_to`].
pub(crate) fn edge_builder(edge: SocketAddr, backend: &Backend) -> Builder {
    Builder::generation(1)
        .edge(edge)
        .http("web", &[backend.address])
        .route("a.test", "/", "web")
}

/// The same with a backend that does as told.
pub(crate) fn edge_with(
    serve: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> (Setup, SocketAddr, Backend) {
    let backend = Backend::start(serve);
    let (setup, address) = edge_to(&backend, &[]);
    (setup, address, backend)
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
