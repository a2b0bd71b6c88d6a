//! What the control thread and the workers tell each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use model::{InstanceId, ListenerId, SnapshotDelta, UpstreamId};
use tokio::sync::mpsc::UnboundedSender;

use crate::measure::{self, Endpoints, Releases, SideTotals, Totals};
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
