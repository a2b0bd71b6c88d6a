//! Carrying steps out: each changes records first, and what it does outside the store is put off
//! until those are durable. Nothing is decided here.

use std::collections::BTreeSet;

use model::{AppName, InstanceId, InstanceRecord, Step, Timestamp};

use super::{Effect, Reconciler};
use crate::instances::Start;
use crate::ports::{self, free_port};

impl Reconciler {
    /// Puts a step down in the records, to be committed with the others of this pass.
    pub(super) fn apply(
        &mut self,
        app: &AppName,
        step: &Step,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        match step {
            Step::Launch { instance } => self.launch(instance, now, effects),
            Step::Relaunch { instance } => self.relaunch(instance, now, effects),
            Step::RecordExit {
                instance,
                exit,
                streak,
                until,
            } => {
                tracing::warn!(%instance, cause = %exit.cause, streak, "an instance ended");
                self.change(instance, |record| {
                    record.record_exit(exit.clone(), *streak, *until);
                });
            }
            Step::Enter { instance, phase } => {
                tracing::info!(%instance, ?phase, "an instance changed its phase");
                self.change(instance, |record| record.phase = *phase);
            }
            Step::Terminate { instance } => effects.push(Effect::Stop(instance.clone())),
            Step::Kill { instance } => effects.push(Effect::Kill(instance.clone())),
            Step::Forget { instance } => {
                if let Some(record) = self.state.instances.get(instance) {
                    effects.push(Effect::Forget(instance.clone(), record.attempt));
                }
                self.state.remove_instance(instance);
                effects.push(Effect::PruneLogs(instance.clone()));
            }
            Step::Confirm { release } => {
                tracing::info!(%app, release, "a rollout is complete");
                self.change_desired(app, |desired| desired.confirm(*release, now));
            }
            Step::Abandon { release, failure } => {
                tracing::warn!(%app, release, message = failure.message, "a rollout failed");
                self.change_desired(app, |desired| desired.abandon(failure.clone(), now));
            }
            Step::ForgetApp => {
                tracing::info!(%app, "an app is gone");
                self.state.remove_app(app);
            }
        }
    }

    fn launch(&mut self, id: &InstanceId, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(drain) = self
            .state
            .releases
            .get(&id.app)
            .and_then(|releases| releases.get(&id.release))
            .and_then(|release| release.app.services.get(&id.service))
            .map(|service| service.drain)
        else {
            tracing::error!(instance = %id, "a launch of what no kept release declares");
            return;
        };
        let record = InstanceRecord::new(id.clone(), self.port_for_instance(id), drain, now);
        self.state.put_instance(record);
        effects.push(Effect::Start(id.clone()));
    }

    fn relaunch(&mut self, id: &InstanceId, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(mut record) = self.state.instances.get(id).cloned() else {
            return;
        };
        effects.push(Effect::Forget(id.clone(), record.attempt));
        // Another port each time: who knows but the last one was taken by someone else.
        record.begin_attempt(self.port_for_instance(id), now);
        self.state.put_instance(record);
        effects.push(Effect::Start(id.clone()));
    }

    /// A port for the next attempt of an instance. Where none is free the instance gets port 0,
    /// which its keeper reports as the reason for not starting it.
    fn port_for_instance(&self, id: &InstanceId) -> u16 {
        let taken: BTreeSet<u16> = self.state.instances.values().map(|r| r.port).collect();
        free_port(ports::INSTANCES, &taken).unwrap_or_else(|error| {
            tracing::error!(%error, instance = %id, "an instance has no port");
            0
        })
    }

    fn change(&mut self, id: &InstanceId, change: impl FnOnce(&mut InstanceRecord)) {
        if let Some(mut record) = self.state.instances.get(id).cloned() {
            change(&mut record);
            self.state.put_instance(record);
        }
    }

    pub(super) fn change_desired(
        &mut self,
        app: &AppName,
        change: impl FnOnce(&mut model::Desired),
    ) {
        if let Some(held) = self.state.desired.get(app) {
            let mut desired = held.value.clone();
            change(&mut desired);
            self.state.put_desired(app, desired);
        }
    }

    /// Starts the keeper of an instance, which starts or finds its process.
    pub(super) fn start_keeper(&mut self, record: &InstanceRecord, start: Start) {
        let release = self
            .state
            .releases
            .get(&record.id.app)
            .and_then(|releases| releases.get(&record.id.release));
        let Some(release) = release.cloned() else {
            tracing::error!(instance = %record.id, "its release is not in the store");
            return;
        };
        let addresses = self.addresses(&release, &record.id.service);
        let of_app = self.state.credentials.get(&record.id.app);
        let credentials = of_app.and_then(|c| c.get(&record.id.release)).cloned();
        let credentials = credentials.as_deref();
        self.instances
            .keep(record, &release, &addresses, credentials, start);
    }
}
