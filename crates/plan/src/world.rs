//! A small world in which the planner's steps are carried out, faults included, for its tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::*;

use crate::plan;

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub(crate) fn app(services: &[(&str, &[&str])]) -> App {
    let declare = |(name, uses): &(&str, &[&str])| {
        let declared = Service {
            work: Work::Run(Command::new(vec!["./run".into()]).unwrap()),
            build: None,
            replicas: 2,
            uses: uses.iter().map(|used| service(used)).collect(),
            expose: None,
            env: BTreeMap::new(),
            health: Health {
                probe: Probe::Tcp,
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(2),
                failures: 3,
                deadline: Duration::from_secs(30),
            },
            protocol: Protocol::Http,
            tls: None,
            timeout: Duration::from_secs(30),
            resilience: model::Resilience::default(),
            drain: Duration::from_secs(30),
            volumes: Default::default(),
        };
        (service(name), declared)
    };
    App {
        name: AppName::new("shop").unwrap(),
        services: services.iter().map(declare).collect(),
        routes: Vec::new(),
        error_pages: Default::default(),
        include: Default::default(),
    }
}

pub(crate) fn failed_exit(cause: ExitCause) -> Exit {
    Exit {
        cause,
        at: 0,
        last_lines: vec!["panic: no config".into()],
    }
}

/// What the files of a release are taken to say.
fn credentials(app: &App, number: u64) -> Credentials {
    let certificates = app.certificates().into_keys().map(|host| {
        let certificate = Certificate {
            host: host.clone(),
            also: ["*.example.com", "other.test"]
                .map(|name| HostPattern::new(name).unwrap())
                .into(),
            chain: format!("chain of release {number}"),
            key: Secret::new(format!("key of release {number}")),
        };
        (host.clone(), certificate)
    });
    let with_tls = app.services.iter().filter(|(_, s)| s.tls.is_some());
    let authorities = with_tls.map(|(name, _)| {
        let roots = format!("roots of release {number}");
        (name.clone(), Authority { roots })
    });
    Credentials {
        certificates: certificates.collect(),
        authorities: authorities.collect(),
    }
}

/// What a release's processes do when they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Works,
    Crashes,
    NeverReady,
    Missing,
}

/// A world with one app, in which steps take effect at once and processes do as told.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) desired: Desired,
    pub(crate) releases: BTreeMap<u64, Arc<Release>>,
    pub(crate) credentials: BTreeMap<u64, Arc<Credentials>>,
    pub(crate) instances: BTreeMap<InstanceId, ObservedInstance>,
    pub(crate) behaviour: BTreeMap<u64, Behaviour>,
    pub(crate) gone: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) launches: Vec<InstanceId>,
}

impl World {
    pub(crate) fn new(app: App) -> Self {
        let started = Timestamp(1_000_000);
        let rollout = Rollout {
            release: 0,
            started,
            state: RolloutState::Progressing,
        };
        let desired = Desired {
            intent: Intent::Run,
            target: 0,
            confirmed: None,
            rollout,
            ended: BTreeMap::new(),
        };
        let mut world = Self {
            now: started,
            desired,
            releases: BTreeMap::new(),
            credentials: BTreeMap::new(),
            instances: BTreeMap::new(),
            behaviour: BTreeMap::new(),
            gone: false,
            failure: None,
            launches: Vec::new(),
        };
        world.deploy(app);
        world
    }

    pub(crate) fn deploy(&mut self, app: App) -> u64 {
        let number = self.desired.target + 1;
        self.credentials
            .insert(number, Arc::new(credentials(&app, number)));
        let release = Release {
            number,
            app,
            folder: PathBuf::from("/app"),
            created: self.now,
            error_pages: Default::default(),
            files: None,
            by: None,
            restores: None,
            secrets: Default::default(),
            changes: Default::default(),
            root: PathBuf::from("/app"),
        };
        self.releases.insert(number, Arc::new(release));
        self.desired = Desired::rolling_out(Some(&self.desired), number, self.now);
        number
    }

    pub(crate) fn seen(&self) -> ObservedApp {
        ObservedApp {
            desired: self.desired.clone(),
            releases: self.releases.clone(),
            credentials: self.credentials.clone(),
            instances: self.instances.clone(),
            unserved: BTreeMap::new(),
            listener_failures: BTreeMap::new(),
            edge_failure: None,
            unacknowledged: None,
            without_proxy_since: None,
        }
    }

    /// Plans once and carries the steps out.
    pub(crate) fn step(&mut self) -> Plan {
        let plan = plan(&self.seen(), self.now);
        for step in &plan.steps {
            self.apply(step);
        }
        plan
    }

    pub(crate) fn start(&mut self, id: &InstanceId) {
        let behaviour = self
            .behaviour
            .get(&id.release)
            .copied()
            .unwrap_or(Behaviour::Works);
        let seen = self.instances.get_mut(id).unwrap();
        seen.process = match behaviour {
            Behaviour::Works | Behaviour::NeverReady => ProcessState::Running,
            Behaviour::Crashes => ProcessState::Ended(failed_exit(ExitCause::Code(1))),
            Behaviour::Missing => {
                let error = "no such file: ./run".to_owned();
                ProcessState::Ended(failed_exit(ExitCause::NotStarted {
                    error,
                    permanent: true,
                }))
            }
        };
        seen.probe.passing = (behaviour == Behaviour::Works).then_some(true);
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Launch { instance } => {
                let port = 20_000 + instance.ordinal as u16;
                let drain = Duration::from_secs(30);
                let record = InstanceRecord::new(instance.clone(), port, drain, self.now);
                let seen = ObservedInstance {
                    record,
                    process: ProcessState::Unknown,
                    probe: ProbeState::default(),
                    hold: None,
                    asked: Asked::Nothing,
                };
                assert!(self.instances.insert(instance.clone(), seen).is_none());
                self.launches.push(instance.clone());
                self.start(instance);
            }
            Step::Relaunch { instance } => {
                let record = &mut self.instances.get_mut(instance).unwrap().record;
                record.begin_attempt(record.port, self.now);
                self.start(instance);
            }
            Step::RecordExit {
                instance,
                exit,
                streak,
                until,
            } => {
                let record = &mut self.instances.get_mut(instance).unwrap().record;
                record.record_exit(exit.clone(), *streak, *until);
            }
            Step::Enter { instance, phase } => {
                self.instances.get_mut(instance).unwrap().record.phase = *phase;
            }
            Step::Terminate { instance } | Step::Kill { instance } => {
                let seen = self.instances.get_mut(instance).unwrap();
                seen.asked = Asked::Stop;
                seen.process = ProcessState::Ended(failed_exit(ExitCause::Signal(15)));
            }
            Step::Forget { instance } => {
                self.instances.remove(instance).unwrap();
            }
            Step::Confirm { release } => self.desired.confirm(*release, self.now),
            Step::Abandon { failure, .. } => {
                self.failure = Some(failure.clone());
                self.desired.abandon(failure.clone(), self.now);
            }
            Step::ForgetApp => self.gone = true,
        }
    }

    /// Plans until nothing is left to do, moving time on where the plan waits for it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let plan = self.step();
            if self.gone {
                return;
            }
            if plan.steps.is_empty() {
                match plan.wake {
                    Some(wake) => {
                        assert!(wake > self.now, "a wake in the past would spin");
                        self.now = wake;
                    }
                    None => return,
                }
            }
        }
        panic!("the plan never settles: {:?}", self.step());
    }

    pub(crate) fn run_until_complete(&mut self) {
        self.settle();
        assert!(matches!(
            self.desired.rollout.state,
            RolloutState::Complete { .. }
        ));
    }

    pub(crate) fn ready(&self, name: &str) -> Vec<String> {
        self.instances
            .values()
            .filter(|seen| seen.record.phase.is_ready() && seen.record.id.service.as_str() == name)
            .map(|seen| seen.record.id.to_string())
            .collect()
    }
}
