//! The keeper of one attempt of one instance.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{Asked, Exit, ExitCause, Health, ProcessState, Service};
use runner::probe::{self, Target, Tls};
use runner::{AdoptError, Adopted, Launch, Process, Processes};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Facts, Start, lock};
use crate::home::make_private_folder;

/// The pause before the second probe of an instance that is not ready yet; each further pause is
/// half as long again, up to [`SLOWEST_FIRST`]. Short, because users wait for it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const SLOWEST_FIRST: Duration = Duration::from_millis(250);
/// The pause before an order that the system refused is given again.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// The pause before another look for a process of which nothing could be said.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Instances that are well are probed at shared ticks.
const PROBE_TICK: Duration = Duration::from_millis(250);
/// A shorter pause is not rounded up to a tick.
const SHORTEST_ROUNDED: Duration = Duration::from_millis(500);
/// How soon an instance that failed a probe is probed again, at the latest.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) processes: Arc<Processes>,
    pub(super) facts: Arc<Mutex<Facts>>,
    pub(super) wake: Arc<Notify>,
    /// What it is to do with its process.
    pub(super) orders: watch::Receiver<Asked>,
    /// How it is verified, if it speaks TLS; that changes when its authority does.
    pub(super) tls: watch::Receiver<Option<Tls>>,
    /// Folders to make before the process is started.
    pub(super) volumes: Vec<PathBuf>,
}

impl Keeper {
    /// Starts or finds the process and stays with it until it has ended.
    pub(super) async fn run(mut self, launch: Launch, service: &Service, port: u16, start: Start) {
        let found = match start {
            Start::Launch if port == 0 => Err(not_started("no loopback port is free".into())),
            Start::Launch => self.launch(&launch).await,
            Start::Adopt { or_launch } => self.adopt(&launch, or_launch).await,
        };
        let exit = match found {
            Ok(process) => {
                self.see(|facts| {
                    facts.process = ProcessState::Running;
                    facts.pid = process.child_pid();
                });
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let target = Target {
                    address,
                    protocol: service.protocol,
                    tls: None,
                    host: address.to_string(),
                    folder: launch.folder,
                    environment: probe_environment(&self.processes, launch.environment),
                };
                self.stay(&process, &service.health, &target).await
            }
            Err(exit) => exit,
        };
        self.see(|facts| facts.process = ProcessState::Ended(exit));
    }

    async fn launch(&self, launch: &Launch) -> Result<Process, Exit> {
        for volume in self.volumes.clone() {
            // A slow disk must not stop this thread, on which others are kept too.
            let shown = volume.display().to_string();
            let made = tokio::task::spawn_blocking(move || make_private_folder(&volume)).await;
            made.map_err(io::Error::other)
                .flatten()
                .map_err(|error| not_started(format!("cannot make its volume {shown}: {error}")))?;
        }
        self.processes
            .launch(launch)
            .await
            .map_err(|error| error.into_exit())
    }

    async fn adopt(&self, launch: &Launch, or_launch: bool) -> Result<Process, Exit> {
        loop {
            match self.processes.adopt(&launch.unit, launch.attempt).await {
                Ok(Adopted::Running(process)) => return Ok(process),
                Ok(Adopted::Ended(exit) | Adopted::Lost(exit)) => return Err(exit),
                Err(AdoptError::Unknown(_)) if or_launch => return self.launch(launch).await,
                Err(error @ AdoptError::Unknown(_)) => return Err(not_started(error.to_string())),
                // It may run all the same, and must not be started twice.
                Err(error) => {
                    tracing::error!(%error, "an instance cannot be found again; trying on");
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    /// Probes the process and passes orders on until it has ended.
    async fn stay(&mut self, process: &Process, health: &Health, target: &Target) -> Exit {
        let (facts, wake) = (Arc::clone(&self.facts), Arc::clone(&self.wake));
        let tls = self.tls.clone();
        let probing = probe_forever(&facts, &wake, health, target, &tls);
        tokio::pin!(probing);
        let mut ordered = true;
        loop {
            tokio::select! {
                exit = process.exited() => return exit,
                () = &mut probing => {}
                changed = self.orders.changed(), if ordered => {
                    // The one who gives orders is gone when the instance is forgotten.
                    ordered = changed.is_ok();
                    let order = *self.orders.borrow_and_update();
                    let obeyed = match order {
                        Asked::Nothing => Ok(()),
                        Asked::Stop => process.stop(),
                        Asked::Kill => process.kill(),
                    };
                    if let Err(error) = obeyed {
                        tracing::error!(unit = %process.unit(), ?order, %error, "cannot be done");
                        // As if it had not been asked yet: it will be again, though not at once.
                        sleep(REFUSED_PAUSE).await;
                        self.see(|facts| facts.asked = Asked::Nothing);
                    }
                }
            }
        }
    }

    fn see(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut lock(&self.facts));
        self.wake.notify_one();
    }
}

/// The first shared tick after `pause`. Probes that are due at about the same time are made
/// together: to wake up for each by itself would cost more than the probe. Of an interval that is
/// short itself nothing is rounded.
fn tick_after(pause: Duration) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let due = start.elapsed() + pause;
    if pause < SHORTEST_ROUNDED {
        return start + due;
    }
    let tick = PROBE_TICK.as_millis();
    let ticks = u64::try_from(due.as_millis() / tick + 1).unwrap_or(u64::MAX);
    start + Duration::from_millis(ticks.saturating_mul(u64::try_from(tick).unwrap_or(1)))
}

/// A number from 0 to 1, different each time.
fn random_fraction() -> f64 {
    (RandomState::new().hash_one(()) >> 11) as f64 / (1u64 << 53) as f64
}

/// A probe's command has the instance's environment, but is no part of the instance: it goes when
/// the server does.
fn probe_environment(
    processes: &Processes,
    mut environment: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let (name, value) = processes.mark();
    environment.insert(name.to_owned(), value);
    environment
}

async fn probe_forever(
    facts: &Mutex<Facts>,
    wake: &Notify,
    health: &Health,
    target: &Target,
    tls: &watch::Receiver<Option<Tls>>,
) {
    let mut target = target.clone();
    let mut first_pause = FIRST_PAUSE;
    let mut is_spread = false;
    loop {
        target.tls.clone_from(&tls.borrow());
        let verdict = probe::check(&health.probe, &target, health.timeout).await;
        let passing = verdict.is_ok();
        let (changed, ready_once) = {
            let mut facts = lock(facts);
            let before = facts.probe.clone();
            match verdict {
                Ok(()) => {
                    facts.probe.passing = Some(true);
                    facts.probe.failures = 0;
                }
                Err(failure) => {
                    // Never ready is not the same as not ready any more.
                    facts.probe.passing = facts.probe.passing.map(|_| false);
                    facts.probe.failures = facts.probe.failures.saturating_add(1);
                    facts.probe.last_failure = Some(failure.to_string());
                }
            }
            let telling = |probe: &model::ProbeState| (probe.passing, probe.last_failure.clone());
            let fails_on = facts.probe.passing == Some(false);
            (
                fails_on || telling(&before) != telling(&facts.probe),
                facts.probe.passing.is_some(),
            )
        };
        if changed {
            wake.notify_one();
        }
        match (ready_once, passing) {
            (false, _) => {
                sleep(first_pause).await;
                first_pause = first_pause.mul_f32(1.5).min(SLOWEST_FIRST);
            }
            // The first time at random, so that what started together is not probed together.
            (true, true) if !is_spread => {
                is_spread = true;
                sleep_until(tick_after(health.interval.mul_f64(random_fraction()))).await;
            }
            (true, true) => sleep_until(tick_after(health.interval)).await,
            (true, false) => sleep(health.interval.min(DOUBT_PAUSE)).await,
        }
    }
}

fn not_started(error: String) -> Exit {
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let at = at.as_millis().try_into().unwrap_or(u64::MAX);
    let cause = ExitCause::NotStarted {
        error,
        permanent: false,
    };
    Exit {
        cause,
        at,
        last_lines: Vec::new(),
    }
}
