//! One endpoint as one worker sees it: what is in flight there, and idle connections to it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::balance::{Entering, Member, digest};
use crate::http2::pool::Pool;
use crate::limits::IDLE_PER_ENDPOINT;
use crate::measure::{EndpointTotals, Histogram};
use crate::messages::{Event, Reporter, RetiredEndpoint};
use crate::socket::Socket;
use model::{EndpointTls, InstanceId, Protocol, UpstreamId};

/// One address of an upstream.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The upstream that it belongs to.
    pub(crate) upstream: UpstreamId,
    /// The instance that listens there.
    pub(crate) instance: InstanceId,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What its instance speaks.
    pub(crate) protocol: Protocol,
    /// How its instance is verified, where it speaks TLS.
    pub(crate) tls: Option<EndpointTls>,
    /// What stands for it where requests are spread by a number of theirs.
    pub(crate) identity: u64,
    /// How it has done.
    pub(crate) member: Cell<Member>,
    in_flight: Cell<u32>,
    /// Requests and streams that there ever were, and failures.
    requests: Cell<u64>,
    failures: Cell<u64>,
    /// Times from the end of a request to the head of its answer.
    response: RefCell<Histogram>,
    /// It is not in the snapshot any more.
    retired: Cell<bool>,
    /// Idle connections, the freshest last.
    idle: RefCell<Vec<Idle>>,
    /// Connections that requests share, where it speaks HTTP/2.
    pub(crate) http2: Pool,
    /// Where the end of what was in flight is reported once it is retired.
    reporter: Reporter,
}

/// A connection that awaits its next request.
#[derive(Debug)]
struct Idle {
    kept: Kept,
    since: Instant,
}

/// A connection, and when it is too old to be used again.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) socket: Socket,
    pub(crate) expires: Option<Instant>,
}

impl Kept {
    fn is_old(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

impl Endpoint {
    pub(crate) fn new(
        upstream: UpstreamId,
        instance: InstanceId,
        wanted: &model::Endpoint,
        reporter: Reporter,
    ) -> Rc<Self> {
        Rc::new(Self {
            upstream,
            identity: digest(instance.to_string().as_bytes()),
            instance,
            address: wanted.address,
            protocol: wanted.protocol,
            tls: wanted.tls.clone(),
            member: Cell::default(),
            in_flight: Cell::new(0),
            requests: Cell::new(0),
            failures: Cell::new(0),
            response: RefCell::default(),
            retired: Cell::new(false),
            idle: RefCell::default(),
            http2: Pool::default(),
            reporter,
        })
    }

    /// Whether it is what `wanted` says.
    pub(crate) fn is(&self, wanted: &model::Endpoint) -> bool {
        self.address == wanted.address && self.protocol == wanted.protocol && self.tls == wanted.tls
    }

    /// Whether requests share connections to it.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2 | Protocol::Grpc)
    }

    /// What it is called towards the control thread.
    pub(crate) fn name(&self) -> RetiredEndpoint {
        RetiredEndpoint {
            instance: self.instance.clone(),
            upstream: self.upstream.clone(),
            address: self.address,
        }
    }

    /// How many requests and streams are in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// A connection or request has failed in a way that counts against it.
    pub(crate) fn count_failure(&self) {
        self.failures.set(self.failures.get() + 1);
    }

    /// An answer has begun so long after the end of its request.
    pub(crate) fn took(&self, time: Duration) {
        self.response.borrow_mut().record(time);
    }

    /// What it has had to do.
    pub(crate) fn totals(&self) -> EndpointTotals {
        EndpointTotals {
            requests: self.requests.get(),
            failures: self.failures.get(),
            in_flight: self.in_flight.get().into(),
            pooled: (self.idle.borrow().len() + self.http2.count()) as u64,
            ejected: self.member.get().is_ejected().into(),
            response: self.response.borrow().clone(),
        }
    }

    /// Takes it out of use: idle connections are closed now, what is in flight finishes.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.http2.clear();
    }

    /// Takes it into use, for the first time or again. What was known of it may not be so any more.
    pub(crate) fn enter(&self, entering: Option<Entering>) {
        self.retired.set(false);
        self.member.set(Member::new(entering));
    }

    /// Whether it is not in the snapshot any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// An idle connection that is not spent, the freshest first since backends close the ones
    /// that have waited longest; none that has been idle for longer than `limit`.
    pub(crate) fn take_idle(
        &self,
        now: Instant,
        limit: Duration,
        is_spent: impl Fn(&Socket) -> bool,
    ) -> Option<Kept> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if now.saturating_duration_since(connection.since) > limit {
                // All others have been idle for longer still; the sweeper closes them.
                idle.push(connection);
                return None;
            }
            let kept = connection.kept;
            if !kept.is_old(now) && !is_spent(&kept.socket) {
                return Some(kept);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep_idle(&self, kept: Kept) {
        let (mut idle, since) = (self.idle.borrow_mut(), Instant::now());
        if !self.retired.get() && idle.len() < IDLE_PER_ENDPOINT && !kept.is_old(since) {
            idle.push(Idle { kept, since });
        }
    }

    /// Closes idle connections that have been so for longer than `limit`, that are too old or were
    /// closed by the backend.
    pub(crate) fn sweep(&self, limit: Duration) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|idle| {
            let waits = now.saturating_duration_since(idle.since);
            waits <= limit && !idle.kept.is_old(now) && !idle.kept.socket.is_spent()
        });
        self.http2.sweep(limit);
    }
}

/// One request or stream in flight to an endpoint; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Rc<Endpoint>);

impl InFlight {
    /// Counts one more.
    pub(crate) fn begin(endpoint: &Rc<Endpoint>) -> Self {
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        endpoint.requests.set(endpoint.requests.get() + 1);
        Self(endpoint.clone())
    }

    /// Where it goes.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.0
    }

    /// The same, to be held for longer.
    pub(crate) fn shared_endpoint(&self) -> &Rc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let left = self.0.in_flight.get() - 1;
        self.0.in_flight.set(left);
        if left == 0 && self.0.retired.get() {
            let endpoint = self.0.name();
            self.0.reporter.report(Event::Idle { endpoint });
        }
    }
}
