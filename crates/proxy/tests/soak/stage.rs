//! What clients, instances and the one who changes the snapshot share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Protocol;
use rustls::ClientConfig;
use tokio::sync::oneshot;

use super::tally::{Kinds, Outcome, Tally};

/// No single thing that a client does takes longer, on however loaded a machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A service all of whose instances speak one thing and then another.
pub(crate) const CHANGING: &str = "changing";

/// A service of the fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) protocol: Protocol,
    /// What its instances speak in turn, and whether in TLS.
    pub(crate) instances: &'static [(Protocol, bool)],
    /// Its instances are killed and end connections as they like. Those of the others only leave
    /// when nothing is in flight to them any more, so that no request may fail.
    pub(crate) is_wild: bool,
}

fn pair(
    tame: &'static str,
    wild: &'static str,
    protocol: Protocol,
    instances: &'static [(Protocol, bool)],
) -> [Service; 2] {
    let service = |name, is_wild| Service {
        name,
        protocol,
        instances,
        is_wild,
    };
    [service(tame, false), service(wild, true)]
}

/// All services.
pub(crate) fn services() -> Vec<Service> {
    use Protocol::{Grpc, Http, Http2, Tcp};
    [
        pair("one", "wild-one", Http, &[(Http, false)]),
        pair("two", "wild-two", Http2, &[(Http2, false)]),
        pair("one-tls", "wild-one-tls", Http, &[(Http, true)]),
        pair("two-tls", "wild-two-tls", Http2, &[(Http2, true)]),
        pair(
            "mixed",
            "wild-mixed",
            Http,
            &[(Http, false), (Http2, false), (Http2, true)],
        ),
        pair("calls", "wild-calls", Grpc, &[(Grpc, false), (Grpc, true)]),
        pair(
            CHANGING,
            "wild-changing",
            Http,
            &[(Http, false), (Http2, false), (Http, true), (Http2, true)],
        ),
        pair("bytes", "wild-bytes", Tcp, &[(Tcp, false), (Tcp, true)]),
    ]
    .concat()
}

/// See above.
pub(crate) struct Stage {
    pub(crate) seed: u64,
    pub(crate) services: Vec<Service>,
    pub(crate) edge: SocketAddr,
    pub(crate) edge_tls: SocketAddr,
    pub(crate) mesh: BTreeMap<&'static str, SocketAddr>,
    /// A listener to the service `one` that comes and goes.
    pub(crate) flapping: SocketAddr,
    pub(crate) http1_in_tls: Arc<ClientConfig>,
    pub(crate) http2_in_tls: Arc<ClientConfig>,
    /// The newest generation that the proxy has acknowledged.
    pub(crate) acknowledged: AtomicU64,
    pub(crate) stopping: AtomicBool,
    pub(crate) tallies: BTreeMap<&'static str, Tally>,
    pub(crate) kinds: Kinds,
    violations: Mutex<Vec<String>>,
    next: AtomicU64,
    awaited: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

/// An address that nothing else of this run was given. It is at IP addresses of this process's own,
/// so that no other test that runs meanwhile takes it while nobody listens there.
pub(crate) fn own_address() -> SocketAddr {
    // A long run needs more than one IP address has ports to give: of those that the kernel chooses
    // from it takes every other, of the lower half.
    const OF_ONE: usize = 4_000;
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let mut given = GIVEN.lock().unwrap();
    let block = u8::try_from(64 + given.len() / OF_ONE).expect("a run of days");
    loop {
        let address = Ipv4Addr::new(127, block, high, low);
        let listener = std::net::TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        if given.insert(address) {
            return address;
        }
    }
}

/// What is asked of a service, in the path of a request: `/KIND?op=N&size=N&since=N`.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) kind: String,
    /// The number of the request among all.
    pub(crate) number: u64,
    pub(crate) size: usize,
    /// The generation that had been acknowledged before it.
    since: u64,
}

impl Ask {
    pub(crate) fn path(&self) -> String {
        let Self {
            kind,
            number,
            size,
            since,
        } = self;
        format!("/{kind}?op={number}&size={size}&since={since}")
    }

    pub(crate) fn read(path: &str) -> Option<Self> {
        let (kind, query) = path.strip_prefix('/')?.split_once('?')?;
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
        };
        Some(Self {
            kind: kind.to_owned(),
            number: value("op")?,
            size: value("size")? as usize,
            since: value("since")?,
        })
    }

    /// What its content consists of.
    pub(crate) fn letter(&self) -> u8 {
        b'a' + (self.number % 26) as u8
    }
}

impl Stage {
    pub(crate) fn new(
        seed: u64,
        http1_in_tls: Arc<ClientConfig>,
        http2_in_tls: Arc<ClientConfig>,
    ) -> Self {
        let services = services();
        let mesh = services.iter().map(|service| (service.name, own_address()));
        let tallies = services.iter().map(|s| (s.name, Tally::default()));
        Self {
            seed,
            edge: own_address(),
            edge_tls: own_address(),
            mesh: mesh.collect(),
            flapping: own_address(),
            http1_in_tls,
            http2_in_tls,
            acknowledged: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            tallies: tallies.collect(),
            services,
            kinds: Kinds::default(),
            violations: Mutex::default(),
            next: AtomicU64::new(1),
            awaited: Mutex::default(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// A request that begins now.
    pub(crate) fn ask(&self, kind: &str, size: usize) -> Ask {
        Ask {
            kind: kind.to_owned(),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            size,
            since: self.acknowledged.load(Ordering::SeqCst),
        }
    }

    /// Ends when a service says that it has this request.
    pub(crate) fn arrival(&self, ask: &Ask) -> oneshot::Receiver<()> {
        let (told, hears) = oneshot::channel();
        self.awaited.lock().unwrap().insert(ask.number, told);
        hears
    }

    /// An instance has this request, which left the snapshot with generation `left` if not 0.
    pub(crate) fn arrived(&self, ask: &Ask, instance: &str, left: &AtomicU64) {
        let left = left.load(Ordering::SeqCst);
        if left != 0 && left <= ask.since {
            self.violation(format!(
                "{instance} is not in generation {left} and got {ask:?}"
            ));
        }
        if let Some(waits) = self.awaited.lock().unwrap().remove(&ask.number) {
            // Who waited may have given up.
            let _ = waits.send(());
        }
    }

    /// Counts what became of a request.
    pub(crate) fn count(&self, service: &Service, kind: &str, outcome: Outcome) {
        self.tallies[service.name].count(outcome);
        let name = match outcome {
            Outcome::Answered { failed: false } => "answered",
            Outcome::Answered { failed: true } => "failed",
            Outcome::Cut => "cut",
            Outcome::Nothing => "nothing",
            Outcome::Unknown => "unknown",
        };
        self.kinds.count(&format!("{kind}: {name}"));
    }

    /// Something happened that must not.
    pub(crate) fn violation(&self, what: String) {
        let mut violations = self.violations.lock().unwrap();
        if violations.len() < 20 {
            eprintln!("VIOLATION: {what}");
            violations.push(what);
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// Does one thing, which must not hang; none if it did.
    pub(crate) async fn in_time<T>(
        &self,
        what: impl FnOnce() -> String,
        doing: impl Future<Output = T>,
    ) -> Option<T> {
        let done = tokio::time::timeout(LONG, doing).await.ok();
        if done.is_none() {
            self.violation(format!("{} hangs", what()));
        }
        done
    }
}
