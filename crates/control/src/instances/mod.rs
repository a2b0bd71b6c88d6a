//! The instances of this node as processes: one keeper for each, which starts or finds it, probes
//! it, passes commands on and tells what it sees.

mod environment;
mod keeper;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use model::{
    Asked, Credentials, InstanceId, InstanceRecord, Phase, ProbeState, ProcessState, Release,
    Service,
};
use runner::logs::prune;
use runner::probe::Tls;
use runner::{Processes, UnitName};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::home::Home;
use keeper::Keeper;

pub(crate) use environment::{Addresses, base_environment};

/// How many ended instances of a service keep their logs: those that wrote last.
const MOST_ENDED_LOGS: usize = 20;

/// What a keeper sees of its instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) process: ProcessState,
    pub(crate) probe: ProbeState,
    pub(crate) asked: Asked,
    pub(crate) pid: Option<u32>,
}

/// How a keeper comes to its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// By starting it.
    Launch,
    /// By finding the one that an earlier server started.
    Adopt {
        /// Whether that server may have been killed before it came to that; then by starting it.
        or_launch: bool,
    },
}

/// All keepers.
pub(crate) struct Instances {
    processes: Arc<Processes>,
    home: Home,
    base: BTreeMap<String, String>,
    wake: Arc<Notify>,
    kept: BTreeMap<InstanceId, Kept>,
    /// What is being removed of starts that have ended, by the instance: another start of the same
    /// name has to wait for it.
    forgetting: BTreeMap<InstanceId, JoinHandle<()>>,
    /// Whose turn it is to remove old logs.
    pruning: Arc<tokio::sync::Mutex<()>>,
}

struct Kept {
    facts: Arc<Mutex<Facts>>,
    orders: watch::Sender<Asked>,
    tls: watch::Sender<Option<Tls>>,
    attempt: u32,
}

impl Instances {
    /// No instances yet. `wake` is notified whenever something is seen to change.
    pub(crate) fn new(processes: Arc<Processes>, home: Home, wake: Arc<Notify>) -> Self {
        Self {
            processes,
            home,
            base: base_environment(),
            wake,
            kept: BTreeMap::new(),
            forgetting: BTreeMap::new(),
            pruning: Arc::default(),
        }
    }

    /// Starts or finds the process of `record`, which runs `release`.
    pub(crate) fn keep(
        &mut self,
        record: &InstanceRecord,
        release: &Release,
        addresses: &Addresses,
        credentials: Option<&Credentials>,
        start: Start,
    ) {
        let Some(service) = release.app.services.get(&record.id.service) else {
            tracing::error!(instance = %record.id, "its release does not declare its service");
            return;
        };
        let environment =
            environment::of_instance(&self.base, &self.home, record, service, addresses);
        let launch = environment::launch(&self.home, record, release, service, environment);
        let Some(launch) = launch else {
            tracing::error!(instance = %record.id, "its service is files and has no program");
            return;
        };
        let mut facts = Facts::default();
        if matches!(start, Start::Adopt { .. }) {
            // What the last server knew holds until a probe says otherwise: not to know yet must
            // not take an instance out of the routes.
            facts.probe.passing = match record.phase {
                Phase::Ready { .. } => Some(true),
                Phase::Failing { .. } => Some(false),
                _ => None,
            };
        }
        let facts = Arc::new(Mutex::new(facts));
        let (orders, ordered) = watch::channel(Asked::Nothing);
        let verified = verification(service, &record.id, credentials);
        let (tls, tls_seen) = watch::channel(verified);
        let volume = |name| self.home.volume(&record.id.app, &record.id.service, name);
        let keeper = Keeper {
            processes: Arc::clone(&self.processes),
            facts: Arc::clone(&facts),
            wake: Arc::clone(&self.wake),
            orders: ordered,
            tls: tls_seen,
            volumes: service.volumes.iter().map(volume).collect(),
        };
        let after = self.forgetting.remove(&record.id);
        let (service, port) = (service.clone(), record.port);
        tokio::spawn(async move {
            if let Some(forgotten) = after {
                // Were it to panic, the start itself would say what is in its way.
                let _ = forgotten.await;
            }
            keeper.run(launch, &service, port, start).await;
        });
        self.kept.insert(
            record.id.clone(),
            Kept {
                facts,
                orders,
                tls,
                attempt: record.attempt,
            },
        );
    }

    /// Has the instances of `release` that speak TLS verified by what its files say now.
    pub(crate) fn verify_by(&self, release: &Release, credentials: &Credentials) {
        let of_release = self
            .kept
            .iter()
            .filter(|(id, _)| id.app == release.app.name && id.release == release.number);
        for (id, kept) in of_release {
            if let Some(service) = release.app.services.get(&id.service) {
                kept.tls
                    .send_replace(verification(service, id, Some(credentials)));
            }
        }
    }

    /// Drops keepers of what the records do not speak of, or speak of another attempt: they are left
    /// from a pass of which only a part could be written down.
    pub(crate) fn drop_all_but(&mut self, records: &BTreeMap<InstanceId, InstanceRecord>) {
        let is_current = |id: &InstanceId, kept: &Kept| {
            records
                .get(id)
                .is_some_and(|record| record.attempt == kept.attempt)
        };
        let stale: Vec<(InstanceId, u32)> = self
            .kept
            .iter()
            .filter(|(id, kept)| !is_current(id, kept))
            .map(|(id, kept)| (id.clone(), kept.attempt))
            .collect();
        for (id, attempt) in stale {
            self.forget(&id, attempt);
        }
    }

    /// Whether there is a keeper for this instance.
    pub(crate) fn keeps(&self, id: &InstanceId) -> bool {
        self.kept.contains_key(id)
    }

    /// Asks an instance's process to end, and has it killed at its limit.
    pub(crate) fn stop(&self, id: &InstanceId) {
        self.order(id, Asked::Stop);
    }

    /// Has an instance's process killed at once.
    pub(crate) fn kill(&self, id: &InstanceId) {
        self.order(id, Asked::Kill);
    }

    fn order(&self, id: &InstanceId, order: Asked) {
        if let Some(kept) = self.kept.get(id) {
            lock(&kept.facts).asked = order;
            kept.orders.send_replace(order);
        }
    }

    /// Forgets an instance whose process has ended, and removes what is kept of it on disk except
    /// its logs and volumes.
    pub(crate) fn forget(&mut self, id: &InstanceId, attempt: u32) {
        self.kept.remove(id);
        let (processes, unit) = (Arc::clone(&self.processes), UnitName::from(id));
        self.forgetting.retain(|_, task| !task.is_finished());
        let earlier = self.forgetting.remove(id);
        let task = tokio::spawn(async move {
            if let Some(earlier) = earlier {
                // What it could not do it has said itself.
                let _ = earlier.await;
            }
            if let Err(error) = processes.forget(&unit, attempt).await {
                tracing::warn!(%unit, %error, "its folder is left behind until the next start");
            }
        });
        self.forgetting.insert(id.clone(), task);
    }

    /// Removes the oldest logs of ended instances of the same service.
    /// Those of `live` are not among them.
    pub(crate) fn prune_logs(&self, id: &InstanceId, live: BTreeSet<String>) {
        let folder = self.home.service_logs(&id.app, &id.service);
        tokio::spawn(prune_in_turn(Arc::clone(&self.pruning), folder, live));
    }

    /// What is seen of an instance; nothing yet if it is not kept.
    pub(crate) fn facts(&self, id: &InstanceId) -> Facts {
        self.kept
            .get(id)
            .map(|kept| lock(&kept.facts).clone())
            .unwrap_or_default()
    }
}

/// Removes the oldest logs in `folder`, the logs of a service. One at a time: to whoever looks while
/// another removes, what is half removed is what was written last.
async fn prune_in_turn(turn: Arc<tokio::sync::Mutex<()>>, folder: PathBuf, live: BTreeSet<String>) {
    let _turn = turn.lock().await;
    let work = {
        let folder = folder.clone();
        move || prune(&folder, MOST_ENDED_LOGS, |name| live.contains(name))
    };
    let error = match tokio::task::spawn_blocking(work).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(folder = %folder.display(), error, "old logs cannot be removed");
}

/// How an instance is verified, if it speaks TLS.
fn verification(
    service: &Service,
    id: &InstanceId,
    credentials: Option<&Credentials>,
) -> Option<Tls> {
    let tls = service.tls.as_ref()?;
    let authority = credentials.and_then(|c| c.authorities.get(&id.service));
    Some(match authority {
        Some(authority) => Tls::new(tls.name.as_str(), &authority.roots, service.protocol),
        None => Tls::unknown("what its authority is has not been kept"),
    })
}

/// A keeper that panicked leaves facts that were whole when it did.
fn lock(facts: &Mutex<Facts>) -> std::sync::MutexGuard<'_, Facts> {
    facts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_instances_that_end_at_once_the_last_logs_are_kept() {
        let service = tempfile::tempdir().unwrap();
        for number in 1..=400 {
            let folder = service.path().join(format!("shop.web.{number}.1"));
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("0000000001.log"), "x").unwrap();
        }
        let turn = Arc::default();
        let prunings: Vec<_> = (0..4)
            .map(|_| {
                let folder = service.path().to_owned();
                tokio::spawn(prune_in_turn(Arc::clone(&turn), folder, BTreeSet::new()))
            })
            .collect();
        for pruning in prunings {
            pruning.await.unwrap();
        }
        let left = std::fs::read_dir(service.path()).unwrap();
        assert_eq!(left.count(), MOST_ENDED_LOGS);
    }
}
