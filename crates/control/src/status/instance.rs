//! What users are shown of an instance.

use model::{Exit, ObservedInstance, Phase};
use plan::is_crash_loop;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceStatus {
    /// Its name.
    pub instance: String,
    /// The release that it runs.
    pub release: u64,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Since when, or for `restarting` until when, in milliseconds since the Unix epoch.
    pub state_time: u64,
    /// Where it listens.
    pub address: String,
    /// Its process, while it has one.
    pub pid: Option<u32>,
    /// How often its process ended without being asked to.
    pub restarts: u32,
    /// Whether it ends again and again soon after its start.
    pub crash_loop: bool,
    /// What its last failed probe said, while it fails.
    pub probe_failure: Option<String>,
    /// How its process last ended unasked.
    pub last_exit: Option<ExitStatus>,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Its process runs and has not been ready yet.
    Starting,
    /// It is well and gets traffic.
    Ready,
    /// It was ready and fails its probes now; it gets no traffic.
    Failing,
    /// Its process ended; another is started soon.
    Restarting,
    /// It gets no new traffic and finishes what it has begun.
    Draining,
    /// It was told to stop.
    Stopping,
}

/// How an instance's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExitStatus {
    /// How, in words.
    pub message: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The last lines that it wrote.
    pub last_lines: Vec<String>,
}

pub(super) fn instance(seen: &ObservedInstance, pid: Option<u32>) -> InstanceStatus {
    let record = &seen.record;
    let (state, time) = match record.phase {
        Phase::Starting { since } => (InstanceState::Starting, since),
        Phase::Ready { since } => (InstanceState::Ready, since),
        Phase::Failing { since } => (InstanceState::Failing, since),
        Phase::Waiting { until } => (InstanceState::Restarting, until),
        Phase::Leaving { since } => (InstanceState::Draining, since),
        Phase::Stopping { since } => (InstanceState::Stopping, since),
    };
    let in_doubt = matches!(state, InstanceState::Starting | InstanceState::Failing);
    InstanceStatus {
        instance: record.id.to_string(),
        release: record.id.release,
        state,
        state_time: time.0,
        address: format!("127.0.0.1:{}", record.port),
        pid: pid.filter(|_| seen.process == model::ProcessState::Running),
        restarts: record.restarts,
        crash_loop: is_crash_loop(record.streak) && state != InstanceState::Ready,
        probe_failure: seen.probe.last_failure.clone().filter(|_| in_doubt),
        last_exit: record.last_exit.as_ref().map(exit),
    }
}

pub(super) fn exit(exit: &Exit) -> ExitStatus {
    ExitStatus {
        message: exit.cause.to_string(),
        at: exit.at,
        last_lines: exit.last_lines.clone(),
    }
}
