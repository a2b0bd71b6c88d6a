//! A worker: one thread with its own runtime, connections, pools and view of the snapshot. It
//! shares nothing with other workers while it serves, but for limits of rates; the control thread
//! sends it changes.

mod connections;
pub(crate) mod listener;
mod routes;
mod view;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{ListenerId, SnapshotDelta};
use tokio::sync::mpsc::UnboundedReceiver;

use self::connections::Connections;
pub(crate) use self::connections::Extra;
pub(crate) use self::listener::Listener;
pub(crate) use self::routes::Routed;
use self::view::View;
use crate::buffers::Buffers;
use crate::http::request_id::RequestIds;
use crate::limits::{DISK_THREADS, Limits, SWEEP_INTERVAL};
use crate::measure::Sides;
use crate::messages::{Command, Event, Reporter, RetiredEndpoint};
use crate::mirror::Mirrors;
use crate::rate_limit::Limiters;
use crate::telemetry::{Queues, Telemetry};
use crate::tls::Trust;

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
