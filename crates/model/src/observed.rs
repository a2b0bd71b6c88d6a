//! What is: instances as recorded and as seen, and what proxies have acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::credentials::Credentials;
use crate::desired::{Desired, Release};
use crate::instance::{Exit, InstanceId};
use crate::names::ServiceName;
use crate::time::Timestamp;

/// What the store remembers of an instance. Written before each step that it describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Its name.
    pub id: InstanceId,
    /// Which start of its process this is, from 1.
    pub attempt: u32,
    /// The port that this attempt listens on.
    pub port: u16,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was first launched.
    pub created: Timestamp,
    /// How often its process ended without being asked to.
    pub restarts: u32,
    /// How many of those ends came in a row without a stable time between them.
    pub streak: u32,
    /// How its process last ended.
    pub last_exit: Option<Exit>,
    /// How long it may finish what it has begun, copied from its release, which may be gone
    /// before the instance is.
    pub drain: Duration,
}

impl InstanceRecord {
    /// A new instance, whose first attempt begins.
    pub fn new(id: InstanceId, port: u16, drain: Duration, now: Timestamp) -> Self {
        Self {
            id,
            attempt: 1,
            port,
            phase: Phase::Starting { since: now },
            created: now,
            restarts: 0,
            streak: 0,
            last_exit: None,
            drain,
        }
    }

    /// Its process ended unasked; the next attempt is due at `until`.
    pub fn record_exit(&mut self, exit: Exit, streak: u32, until: Timestamp) {
        self.restarts = self.restarts.saturating_add(1);
        self.streak = streak;
        self.last_exit = Some(exit);
        self.phase = Phase::Waiting { until };
    }

    /// Its next attempt begins.
    pub fn begin_attempt(&mut self, port: u16, now: Timestamp) {
        self.attempt += 1;
        self.port = port;
        self.phase = Phase::Starting { since: now };
    }
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Phase {
    /// Its process was started and has not been ready yet.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// It is well and in the routes.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// It was ready, its probes fail now, and it is out of the routes.
    Failing {
        /// Since when.
        since: Timestamp,
    },
    /// Its process ended; the next attempt is due.
    Waiting {
        /// When the next attempt is due.
        until: Timestamp,
    },
    /// It is out of the routes for good and finishes what it has begun.
    Leaving {
        /// Since when.
        since: Timestamp,
    },
    /// It was told to stop.
    Stopping {
        /// Since when.
        since: Timestamp,
    },
}

impl Phase {
    /// The phase as a server that begins at `now` takes it over. Time in which nobody looked counts
    /// for no deadline, and nothing that lies ahead is further than `most`: a clock that was set
    /// back between two servers must not make an instance wait for hours.
    pub fn resumed(self, now: Timestamp, most: Duration) -> Self {
        let past = |since: Timestamp| since.min(now);
        match self {
            Self::Starting { .. } => Self::Starting { since: now },
            Self::Failing { .. } => Self::Failing { since: now },
            Self::Ready { since } => Self::Ready { since: past(since) },
            Self::Leaving { since } => Self::Leaving { since: past(since) },
            Self::Stopping { since } => Self::Stopping { since: past(since) },
            Self::Waiting { until } => Self::Waiting {
                until: until.min(now.after(most)),
            },
        }
    }

    /// Whether the instance is on its way out and no longer counts as a copy of its service.
    pub fn is_going(self) -> bool {
        matches!(self, Self::Leaving { .. } | Self::Stopping { .. })
    }

    /// Whether the instance belongs in the routes.
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Ready { .. })
    }
}

/// What is seen of an instance's process now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProcessState {
    /// Nothing is known yet: it is being started or looked for.
    #[default]
    Unknown,
    /// It runs.
    Running,
    /// It ended.
    Ended(Exit),
}

/// What the probes of an instance's present attempt have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeState {
    /// Whether the last probe succeeded; none before the first verdict.
    pub passing: Option<bool>,
    /// How many probes failed in a row.
    pub failures: u32,
    /// What the last failed probe said.
    pub last_failure: Option<String>,
}

/// Why an instance that left the routes may not be stopped yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// Proxies have not acknowledged that they no longer route to it.
    Unacknowledged {
        /// How many have not.
        waiting: usize,
        /// How many there are.
        proxies: usize,
        /// What has to be acknowledged.
        generation: u64,
    },
    /// Proxies still carry requests or connections that it has begun.
    Busy {
        /// How many.
        requests: u64,
    },
}

/// All that is seen of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedInstance {
    /// What the store remembers.
    pub record: InstanceRecord,
    /// Its process.
    pub process: ProcessState,
    /// Its probes.
    pub probe: ProbeState,
    /// What holds it back from being stopped.
    pub hold: Option<Hold>,
    /// What this server has asked of its process already.
    pub asked: Asked,
}

/// What has been asked of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Nothing.
    #[default]
    Nothing,
    /// To stop, and to be killed at its limit.
    Stop,
    /// To be killed at once.
    Kill,
}

/// A listener that a proxy cannot open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerFailure {
    /// The operating system's answer, with what was tried.
    pub error: String,
    /// Since when that is so.
    pub since: Timestamp,
}

/// All that the planner needs to know of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedApp {
    /// What should be.
    pub desired: Desired,
    /// The releases that `desired` and the instances speak of, as far as they are kept.
    pub releases: BTreeMap<u64, Arc<Release>>,
    /// What the files say that the releases name for TLS, by release.
    pub credentials: BTreeMap<u64, Arc<Credentials>>,
    /// Every instance of the app.
    pub instances: BTreeMap<InstanceId, ObservedInstance>,
    /// Why a service could not reach the addresses that would be injected into it: by service, the
    /// listeners that no proxy serves yet.
    pub unserved: BTreeMap<ServiceName, String>,
    /// Listeners of a service's own that cannot be opened.
    pub listener_failures: BTreeMap<ServiceName, ListenerFailure>,
    /// Why the edge does not listen, when it should and cannot.
    pub edge_failure: Option<ListenerFailure>,
    /// What proxies have yet to acknowledge before the published snapshot is what they serve.
    pub unacknowledged: Option<String>,
    /// Since when no proxy has been connected, where none is.
    pub without_proxy_since: Option<Timestamp>,
}
