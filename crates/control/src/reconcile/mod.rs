//! The reconciler: wakes when something changed and when something is due, recomputes everything
//! from state, and carries the plan out. It alone changes instances, listeners' ports and the
//! published snapshot.

mod apply;
mod files;
mod listeners;
mod observe;
mod retention;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    AppName, Desired, Generation, InstanceId, InstanceRecord, ListenerId, Phase, Plan,
    RolloutState, Snapshot, Step, Timestamp, Wait,
};
use plan::{LONGEST_RESTART_DELAY, routes};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::credentials::Watcher;
use crate::instances::{Instances, Start};
use crate::proxies::{LocalProxy, Proxies, View};
use crate::releases::ReleaseFiles;
use crate::settings::Settings;
use crate::state::{State, StateError};
use crate::status::{self, Status};

/// The longest time between two passes: what no event tells is found out by then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long to wait before another try when the store could not be written.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// A proxy's shim starts it again within a fraction of a second; after so long it cannot be started.
const LONGEST_PROXY_ABSENCE: Duration = Duration::from_secs(10);
/// Passes in a row without a pause after which one is taken: no bug may spin a core.
const MOST_PASSES: u32 = 1000;

/// See the module.
pub(crate) struct Reconciler {
    pub(crate) state: State,
    pub(crate) instances: Instances,
    pub(crate) proxies: Proxies,
    pub(crate) local_proxy: Arc<LocalProxy>,
    /// The files of releases.
    pub(crate) files: Arc<ReleaseFiles>,
    /// Watches the files that apps name for TLS.
    pub(crate) watcher: Watcher,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) wake: Arc<Notify>,
    /// Changes whenever something that the API writes has changed.
    pub(crate) desired_changed: watch::Receiver<()>,
    pub(crate) status: watch::Sender<Arc<Status>>,
    /// Since when each listener is one that a proxy could not open.
    pub(crate) listeners_failing: BTreeMap<ListenerId, Timestamp>,
    /// Since when this node's proxy has not been seen to run, though its shim does.
    pub(crate) proxy_absent_since: Option<Timestamp>,
    /// Since when no proxy has been connected.
    pub(crate) without_proxy_since: Option<Timestamp>,
    /// What the last pass found to wait, by app.
    pub(crate) waits: BTreeMap<AppName, Vec<Wait>>,
    /// Why the last pass could not be written down.
    pub(crate) trouble: Option<String>,
}

/// An effect outside the store, carried out after the records that announce it are durable.
enum Effect {
    Start(InstanceId),
    Stop(InstanceId),
    Kill(InstanceId),
    Forget(InstanceId, u32),
    /// Remove the oldest logs of ended instances of the same service.
    PruneLogs(InstanceId),
}

/// Whether files of releases may be needed no more after a step.
fn frees_files(step: &Step) -> bool {
    matches!(
        step,
        Step::Forget { .. } | Step::Confirm { .. } | Step::Abandon { .. } | Step::ForgetApp
    )
}

impl Reconciler {
    /// Finds the instances that an earlier server started, and publishes the snapshot that it had
    /// published, under a new number.
    pub(crate) async fn resume(&mut self) -> Result<(), StateError> {
        self.resume_times();
        self.adopt_unkept();
        let snapshot = self.next_snapshot(true);
        self.state.commit().await?;
        if let Some(snapshot) = snapshot {
            self.proxies.publish(snapshot);
        }
        self.note_leaving();
        Ok(())
    }

    /// Takes the records of an earlier server over: see [`Phase::resumed`].
    fn resume_times(&mut self) {
        let now = self.clock.now();
        let resumed: Vec<InstanceRecord> = self
            .state
            .instances
            .values()
            .filter_map(|record| {
                let phase = record.phase.resumed(now, LONGEST_RESTART_DELAY);
                (phase != record.phase).then(|| InstanceRecord {
                    phase,
                    ..record.clone()
                })
            })
            .collect();
        for record in resumed {
            self.state.put_instance(record);
        }
        let under_way: Vec<(AppName, Desired)> = self
            .state
            .desired
            .iter()
            .filter(|(_, held)| held.value.rollout.state == RolloutState::Progressing)
            .map(|(app, held)| (app.clone(), held.value.clone()))
            .collect();
        for (app, mut desired) in under_way {
            desired.rollout.started = now;
            self.state.put_desired(&app, desired);
        }
    }

    /// Looks for the process of every record that has no keeper: all of them after a start, and
    /// those whose effects were lost when a pass could not be written down.
    fn adopt_unkept(&mut self) {
        self.instances.drop_all_but(&self.state.instances);
        let records = self.state.instances.values();
        let unkept: Vec<_> = records
            .filter(|record| !self.instances.keeps(&record.id))
            .cloned()
            .collect();
        for record in unkept {
            let or_launch = matches!(record.phase, Phase::Starting { .. });
            self.start_keeper(&record, Start::Adopt { or_launch });
        }
    }

    /// Reconciles until the future is dropped.
    pub(crate) async fn run(mut self) {
        let wake = Arc::clone(&self.wake);
        let mut passes = 0;
        loop {
            let woken = wake.notified();
            let pause = match self.pass().await {
                Ok(pause) => {
                    self.trouble = None;
                    pause
                }
                Err(error) => self.recover(&error),
            };
            self.publish_status();
            passes = if pause.is_zero() { passes + 1 } else { 0 };
            if pause.is_zero() && passes < MOST_PASSES {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
            }
        }
    }

    /// One pass over all apps. Says how long nothing will be due.
    async fn pass(&mut self) -> Result<Duration, StateError> {
        if self.state.is_stale() {
            self.state.load().await?;
        }
        if self.desired_changed.has_changed().unwrap_or(false) {
            self.desired_changed.mark_unchanged();
            self.state.reload_desired().await?;
        }
        self.adopt_unkept();
        let renewed = self.take_files();
        let now = self.clock.now();
        self.look_at_proxies(now);
        let plans = self.plans(now);
        let mut effects = Vec::new();
        let mut wake: Option<Timestamp> = None;
        let mut steps = 0;
        let mut frees = false;
        self.waits.clear();
        for (app, plan) in plans {
            steps += plan.steps.len();
            wake = [wake, plan.wake].into_iter().flatten().min();
            frees |= plan.steps.iter().any(frees_files);
            for step in &plan.steps {
                self.apply(&app, step, now, &mut effects);
            }
            self.waits.insert(app, plan.waits);
        }
        frees |= self.prune_releases();
        self.assign_ports();
        let published = self.next_snapshot(false);
        self.state.commit().await?;
        if let Some(snapshot) = published {
            self.proxies.publish(snapshot);
        }
        self.watch_files();
        self.verify_by_files(renewed);
        self.note_leaving();
        for effect in effects {
            self.carry_out(effect);
        }
        if frees {
            self.files.collect.notify_one();
        }
        if steps > 0 {
            return Ok(Duration::ZERO);
        }
        let due = wake.map_or(LONGEST_PAUSE, |wake| wake.since(now));
        Ok(due.min(LONGEST_PAUSE))
    }

    /// What proxies say, and whether this node's own may be serving although it says nothing. One
    /// that does not come up for so long serves nobody: nothing has to wait for it.
    fn view(&self) -> View {
        let now = self.clock.now();
        let absent = self.proxy_absent_since.map(|since| now.since(since));
        let may_serve = absent.is_none_or(|absent| absent < LONGEST_PROXY_ABSENCE);
        self.proxies.view(self.local_proxy.runs() && may_serve)
    }

    /// Notes since when things are with the proxies as they are.
    fn look_at_proxies(&mut self, now: Timestamp) {
        let is_absent = self.proxies.is_empty() && !proxy::is_running(self.settings.home.path());
        self.proxy_absent_since = is_absent.then(|| self.proxy_absent_since.unwrap_or(now));
        let view = self.view();
        let failing = view.failed_listeners();
        self.listeners_failing.retain(|id, _| failing.contains(id));
        for id in failing {
            self.listeners_failing.entry(id).or_insert(now);
        }
        self.without_proxy_since = view
            .is_empty()
            .then(|| self.without_proxy_since.unwrap_or(now));
    }

    fn plans(&self, now: Timestamp) -> Vec<(AppName, Plan)> {
        let view = self.view();
        self.state
            .desired
            .keys()
            .filter_map(|app| Some((app.clone(), self.observe(app, &view)?)))
            .map(|(app, seen)| (app, plan::plan(&seen, now)))
            .collect()
    }

    /// The snapshot that the records call for, if it differs from the published one or `anyway`,
    /// with its number put down to be committed.
    fn next_snapshot(&mut self, anyway: bool) -> Option<Snapshot> {
        let view = self.view();
        let apps: Vec<_> = self
            .state
            .desired
            .keys()
            .filter_map(|app| self.observe(app, &view))
            .collect();
        let mut snapshot = routes::snapshot(&apps, &self.state.ports, self.settings.edge);
        snapshot.telemetry = self.settings.telemetry.clone();
        routes::trust(&mut snapshot, &self.settings.trusted);
        let ahead = self.proxies.ahead();
        if !anyway && ahead.is_none() && snapshot.same_content(&self.proxies.published()) {
            return None;
        }
        if let Some(ahead) = ahead {
            tracing::warn!(%ahead, "a proxy has a snapshot from another life of the store");
            self.state.put_generation(ahead.max(self.state.generation));
        }
        snapshot.generation = self.next_generation();
        Some(snapshot)
    }

    fn next_generation(&mut self) -> Generation {
        let next = self.state.generation.next();
        self.state.put_generation(next);
        next
    }

    fn note_leaving(&mut self) {
        let going = self
            .state
            .instances
            .values()
            .filter(|record| record.phase.is_going());
        let leaving: BTreeSet<_> = going.map(|record| record.id.clone()).collect();
        self.proxies.note_leaving(&leaving);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start(id) => {
                if let Some(record) = self.state.instances.get(&id).cloned() {
                    self.start_keeper(&record, Start::Launch);
                }
            }
            Effect::Stop(id) => self.instances.stop(&id),
            Effect::Kill(id) => self.instances.kill(&id),
            Effect::Forget(id, attempt) => self.instances.forget(&id, attempt),
            Effect::PruneLogs(id) => {
                let live = self.state.instances.keys().map(ToString::to_string);
                self.instances.prune_logs(&id, live.collect());
            }
        }
    }

    /// Nothing of a pass whose records were not written takes effect: read them again and say so.
    fn recover(&mut self, error: &StateError) -> Duration {
        let conflict = matches!(error, StateError::Conflict(_));
        if !conflict {
            tracing::error!(%error, "a pass could not be written down; nothing of it took effect");
            self.trouble = Some(error.to_string());
        }
        // The next pass begins with reading everything again.
        if conflict {
            Duration::ZERO
        } else {
            TROUBLE_PAUSE
        }
    }

    fn publish_status(&self) {
        let view = self.view();
        let apps = self.state.desired.keys().filter_map(|app| {
            let seen = self.observe(app, &view)?;
            let mut waits = self.waits.get(app).cloned().unwrap_or_default();
            waits.extend(self.file_warnings(app, seen.desired.target));
            let pid = |id: &InstanceId| self.instances.facts(id).pid;
            Some(status::app(
                &seen,
                app,
                waits,
                &self.state.ports,
                self.settings.edge,
                pid,
            ))
        });
        let next = Status {
            apps: apps.collect(),
            server: status::server(
                &self.settings,
                self.proxies.published().generation,
                view.connected(),
                self.trouble.clone(),
            ),
        };
        self.status.send_if_modified(|current| {
            let changed = **current != next;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
    }
}
