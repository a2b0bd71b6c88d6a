//! A worker: one thread with its own runtime, connections, pools and view of the snapshot. It
//! shares nothing with other workers while it serves, but for limits of rates; the control thread
//! sends it changes.

mod admission;
pub(crate) mod buffers;
mod connections;
mod endpoint;
mod gate;
mod hedges;
pub(crate) mod listener;
mod routes;
mod sticky;
mod upstream;
mod view;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, ListenerId, SnapshotDelta, UpstreamId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

pub(crate) use self::admission::Place;
use self::buffers::Buffers;
use self::connections::Connections;
pub(crate) use self::connections::Extra;
pub(crate) use self::endpoint::{Endpoint, InFlight, Kept};
pub(crate) use self::gate::Pass;
pub(crate) use self::listener::Listener;
pub(crate) use self::routes::Routed;
pub(crate) use self::upstream::{Left, Upstream, is_gateway_failure};
use self::view::View;
use crate::http::request_id::RequestIds;
use crate::limits::{DISK_THREADS, Limits, SWEEP_INTERVAL};
use crate::measure::{self, Endpoints, Releases, SideTotals, Sides, Totals};
use crate::mirror::Mirrors;
use crate::rate_limit::Limiters;
use crate::telemetry::{Queues, Telemetry};
use crate::tls::Trust;

/// What the control thread tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Serve from what results of `delta`, with these sockets for listeners that are new or have
    /// another address. Answered with [`Event::Applied`].
    Apply {
        delta: Arc<SnapshotDelta>,
        sockets: BTreeMap<ListenerId, std::net::TcpListener>,
        /// What TLS uses from now on, where that changes.
        trust: Option<Trust>,
    },
    /// Say what became of requests, also by endpoint, release and route where `each` is set.
    /// Answered with [`Event::Counted`].
    Count { each: bool },
    /// Accept nothing more, finish what is in flight, end.
    Drain,
}

/// An endpoint that is not in the snapshot any more. An instance that moved to another address
/// and then left has two, as has one that was in two upstreams.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RetiredEndpoint {
    pub(crate) instance: InstanceId,
    pub(crate) upstream: UpstreamId,
    pub(crate) address: SocketAddr,
}

/// What a worker tells the control thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A delta is applied. `busy` are the endpoints of instances that are not in the snapshot any
    /// more but still have something in flight on this worker.
    Applied {
        busy: BTreeMap<RetiredEndpoint, u32>,
    },
    /// Nothing is in flight any more, on this worker, to this endpoint.
    Idle { endpoint: RetiredEndpoint },
    /// What became of requests on this worker.
    Counted {
        upstreams: BTreeMap<UpstreamId, Totals>,
        connections: usize,
        accepted: u64,
        /// The numbers of single endpoints, releases and routes; none where they were not asked for.
        each: Box<(Endpoints, Releases, measure::Routes)>,
        sides: Box<SideTotals>,
        /// Lines of the access log and spans that found no room.
        dropped: [u64; 2],
    },
    /// The worker has ended.
    Ended,
}

/// How a worker reports; copies report for the same worker.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    /// The worker's number.
    pub(crate) worker: usize,
    /// The control thread.
    pub(crate) to: UnboundedSender<(usize, Event)>,
}

impl Reporter {
    /// Tells the control thread.
    pub(crate) fn report(&self, event: Event) {
        // Fails only when the control thread has ended, and with it all interest.
        let _ = self.to.send((self.worker, event));
    }
}

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) limits: Limits,
    /// How many workers the proxy has.
    pub(crate) workers: usize,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) view: RefCell<View>,
    pub(crate) trust: RefCell<Trust>,
    pub(crate) connections: Rc<Connections>,
    pub(crate) mirrors: Mirrors,
    /// What became of all requests, by where they came from.
    pub(crate) sides: Sides,
    /// What is said of single requests.
    pub(crate) telemetry: Telemetry,
    pub(crate) request_ids: RequestIds,
    /// How many answers are being compressed.
    pub(crate) compressing: Cell<usize>,
}

/// Runs a worker on this thread until it is drained.
///
/// It is one of `workers`; `most_connections` bounds the clients' connections that it has at a time.
pub(crate) fn run(
    limits: Limits,
    (workers, most_connections): (usize, usize),
    commands: UnboundedReceiver<Command>,
    reporter: Reporter,
    (limiters, queues): (Arc<Limiters>, Queues),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS)
        .build_local(tokio::runtime::LocalOptions::default())?;
    let drain = limits.drain;
    let worker = Rc::new(Worker {
        limits,
        workers,
        buffers: Rc::default(),
        view: RefCell::new(View::new(reporter.clone(), limiters)),
        trust: RefCell::default(),
        connections: Connections::new(most_connections),
        mirrors: Mirrors::default(),
        sides: Sides::default(),
        telemetry: Telemetry::new(queues),
        request_ids: RequestIds::default(),
        compressing: Cell::new(0),
    });
    runtime.block_on(serve(worker, commands, &reporter, drain));
    Ok(())
}

async fn serve(
    worker: Rc<Worker>,
    mut commands: UnboundedReceiver<Command>,
    reporter: &Reporter,
    drain: Duration,
) {
    drop(tokio::task::spawn_local(sweep(worker.clone())));
    loop {
        match commands.recv().await {
            Some(Command::Apply {
                delta,
                sockets,
                trust,
            }) => {
                let busy = apply(&worker, &delta, sockets, trust).await;
                reporter.report(Event::Applied { busy });
            }
            Some(Command::Count { each }) => reporter.report(Event::Counted {
                upstreams: worker.view.borrow().counts(),
                connections: worker.connections.count(),
                accepted: worker.connections.accepted(),
                each: Box::new(match each {
                    true => worker.view.borrow().each_count(),
                    false => Default::default(),
                }),
                sides: Box::new(worker.sides.read()),
                dropped: worker.telemetry.dropped(),
            }),
            Some(Command::Drain) | None => break,
        }
    }
    let accepting = worker.view.borrow_mut().take_listeners();
    for accepting in accepting {
        accepting.stop(&worker).await;
    }
    if tokio::time::timeout(drain, worker.connections.none())
        .await
        .is_err()
    {
        tracing::warn!(limit = ?drain, "connections were still in use at the end of the drain");
    }
    worker.telemetry.end();
}

/// Serves from what results of `delta`; what is busy that is not in it any more.
async fn apply(
    worker: &Rc<Worker>,
    delta: &SnapshotDelta,
    mut sockets: BTreeMap<ListenerId, std::net::TcpListener>,
    trust: Option<Trust>,
) -> BTreeMap<RetiredEndpoint, u32> {
    if let Some(trust) = trust {
        *worker.trust.borrow_mut() = trust;
    }
    if let Some(telemetry) = &delta.telemetry {
        worker.telemetry.configure(telemetry);
    }
    let stopped = worker.view.borrow_mut().apply(worker, delta, &mut sockets);
    for accepting in stopped {
        accepting.stop(worker).await;
    }
    worker.view.borrow_mut().busy()
}

/// Closes idle connections that nobody will use again.
async fn sweep(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        worker.view.borrow().each_upstream(|upstream| {
            let idle = upstream.idle(&worker.limits);
            upstream.each_endpoint(|endpoint| endpoint.sweep(idle));
        });
    }
}
