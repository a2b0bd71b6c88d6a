//! The planner against a small world in which its steps are carried out, faults included.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::*;
use proptest::prelude::*;

use super::plan;

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub(crate) fn app(services: &[(&str, &[&str])]) -> App {
    let declare = |(name, uses): &(&str, &[&str])| {
        let declared = Service {
            run: Command::new(vec!["./run".into()]).unwrap(),
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
            timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            volumes: Default::default(),
        };
        (service(name), declared)
    };
    App {
        name: AppName::new("shop").unwrap(),
        services: services.iter().map(declare).collect(),
    }
}

fn failed_exit(cause: ExitCause) -> Exit {
    Exit {
        cause,
        at: 0,
        last_lines: vec!["panic: no config".into()],
    }
}

/// What a release's processes do when they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Works,
    Crashes,
    NeverReady,
    Missing,
}

/// A world with one app, in which steps take effect at once and processes do as told.
pub(crate) struct World {
    now: Timestamp,
    desired: Desired,
    releases: BTreeMap<u64, Arc<Release>>,
    instances: BTreeMap<InstanceId, ObservedInstance>,
    behaviour: BTreeMap<u64, Behaviour>,
    gone: bool,
    failure: Option<Failure>,
    launches: Vec<InstanceId>,
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
        };
        let mut world = Self {
            now: started,
            desired,
            releases: BTreeMap::new(),
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
        let release = Release {
            number,
            app,
            folder: PathBuf::from("/app"),
            created: self.now,
        };
        self.releases.insert(number, Arc::new(release));
        self.desired.target = number;
        self.desired.intent = Intent::Run;
        self.desired.rollout = Rollout {
            release: number,
            started: self.now,
            state: RolloutState::Progressing,
        };
        number
    }

    pub(crate) fn seen(&self) -> ObservedApp {
        ObservedApp {
            desired: self.desired.clone(),
            releases: self.releases.clone(),
            instances: self.instances.clone(),
            unserved: BTreeMap::new(),
            edge_failure: None,
            unacknowledged: None,
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

    fn start(&mut self, id: &InstanceId, attempt: u32) {
        let behaviour = self
            .behaviour
            .get(&id.release)
            .copied()
            .unwrap_or(Behaviour::Works);
        let seen = self.instances.get_mut(id).unwrap();
        seen.record.attempt = attempt;
        seen.record.phase = Phase::Starting { since: self.now };
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

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Launch { instance } => {
                let record = InstanceRecord {
                    id: instance.clone(),
                    attempt: 1,
                    port: 20_000 + instance.ordinal as u16,
                    phase: Phase::Starting { since: self.now },
                    created: self.now,
                    restarts: 0,
                    streak: 0,
                    last_exit: None,
                    drain: Duration::from_secs(30),
                };
                let seen = ObservedInstance {
                    record,
                    process: ProcessState::Unknown,
                    probe: ProbeState::default(),
                    hold: None,
                    asked_to_stop: false,
                };
                assert!(self.instances.insert(instance.clone(), seen).is_none());
                self.launches.push(instance.clone());
                self.start(instance, 1);
            }
            Step::Relaunch { instance } => {
                let attempt = self.instances[instance].record.attempt + 1;
                self.start(instance, attempt);
            }
            Step::RecordExit {
                instance,
                exit,
                streak,
                until,
            } => {
                let record = &mut self.instances.get_mut(instance).unwrap().record;
                record.last_exit = Some(exit.clone());
                record.streak = *streak;
                record.restarts += 1;
                record.phase = Phase::Waiting { until: *until };
            }
            Step::Enter { instance, phase } => {
                self.instances.get_mut(instance).unwrap().record.phase = *phase;
            }
            Step::Terminate { instance } | Step::Kill { instance } => {
                let seen = self.instances.get_mut(instance).unwrap();
                seen.asked_to_stop = true;
                seen.process = ProcessState::Ended(failed_exit(ExitCause::Signal(15)));
            }
            Step::Forget { instance } => {
                self.instances.remove(instance).unwrap();
            }
            Step::Confirm { release } => {
                self.desired.confirmed = Some(*release);
                self.desired.rollout.state = RolloutState::Complete { at: self.now };
            }
            Step::Abandon { failure, .. } => {
                self.failure = Some(failure.clone());
                self.desired.rollout.state = RolloutState::Failed {
                    at: self.now,
                    failure: failure.clone(),
                    reverted_to: self.desired.confirmed,
                };
                match self.desired.confirmed {
                    Some(confirmed) => self.desired.target = confirmed,
                    None => self.desired.intent = Intent::Halted,
                }
            }
            Step::ForgetApp => self.gone = true,
        }
    }

    /// Plans until nothing is left to do, moving time on where the plan waits for it.
    fn settle(&mut self) {
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

    fn ready(&self, name: &str) -> Vec<String> {
        self.instances
            .values()
            .filter(|seen| seen.record.phase.is_ready() && seen.record.id.service.as_str() == name)
            .map(|seen| seen.record.id.to_string())
            .collect()
    }
}

#[test]
fn a_first_deploy_starts_what_is_used_before_its_users() {
    let mut world = World::new(app(&[("web", &["api"]), ("api", &["db"]), ("db", &[])]));
    world.run_until_complete();
    let order: Vec<String> = world
        .launches
        .iter()
        .map(|id| id.service.to_string())
        .collect();
    assert_eq!(order, ["db", "db", "api", "api", "web", "web"]);
    assert_eq!(world.ready("web"), ["shop.web.1.1", "shop.web.1.2"]);
}

#[test]
fn a_cycle_of_uses_starts_at_once() {
    let mut world = World::new(app(&[("a", &["b"]), ("b", &["a"])]));
    let plan = world.step();
    assert_eq!(plan.steps.len(), 4);
}

#[test]
fn a_deploy_replaces_one_by_one_and_never_drops_below_what_is_declared() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    world.deploy(app(&[("web", &[])]));
    let mut most = 0;
    while !matches!(world.desired.rollout.state, RolloutState::Complete { .. }) {
        world.step();
        assert!(world.ready("web").len() >= 2);
        let live = world
            .instances
            .values()
            .filter(|seen| !seen.record.phase.is_going());
        most = most.max(live.count());
    }
    assert_eq!(most, 3);
    assert_eq!(world.ready("web"), ["shop.web.2.1", "shop.web.2.2"]);
    assert_eq!(world.desired.confirmed, Some(2));
}

#[test]
fn an_instance_is_not_told_to_stop_while_a_proxy_may_route_to_it() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    world.desired.intent = Intent::Down;
    world.step();
    let held = Hold::Unacknowledged {
        waiting: 1,
        proxies: 1,
        generation: 7,
    };
    for seen in world.instances.values_mut() {
        seen.hold = Some(held.clone());
    }
    world.now = world.now.after(Duration::from_secs(3600));
    let plan = world.step();
    assert_eq!(plan.steps, []);
    assert_eq!(
        plan.waits[0].reason,
        "waiting for 1 of 1 proxies to acknowledge generation 7"
    );
    for seen in world.instances.values_mut() {
        seen.hold = None;
    }
    world.settle();
    assert!(world.gone);
}

#[test]
fn requests_in_flight_hold_an_instance_until_its_drain_limit() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    world.desired.intent = Intent::Down;
    world.step();
    for seen in world.instances.values_mut() {
        seen.hold = Some(Hold::Busy { requests: 3 });
    }
    let plan = world.step();
    assert_eq!(plan.steps, []);
    assert_eq!(plan.waits[0].reason, "draining: 3 requests in flight");
    world.now = plan.wake.unwrap();
    let plan = world.step();
    assert!(matches!(
        plan.steps[0],
        Step::Enter {
            phase: Phase::Stopping { .. },
            ..
        }
    ));
}

#[test]
fn a_crashing_release_is_abandoned_with_its_evidence_and_the_old_one_stays() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    let broken = world.deploy(app(&[("web", &[])]));
    world.behaviour.insert(broken, Behaviour::Crashes);
    world.settle();
    let failure = world.failure.clone().unwrap();
    assert_eq!(failure.message, "exited with code 1, 3 times in a row");
    assert_eq!(failure.exit.unwrap().last_lines, ["panic: no config"]);
    assert_eq!(world.ready("web"), ["shop.web.1.1", "shop.web.1.2"]);
    assert!(world.instances.keys().all(|id| id.release == 1));
    assert!(world.now.since(world.desired.rollout.started) < Duration::from_secs(2));
}

#[test]
fn a_missing_program_fails_at_once_and_a_failed_first_deploy_runs_nothing() {
    let mut world = World::new(app(&[("web", &[])]));
    world.behaviour.insert(1, Behaviour::Missing);
    world.settle();
    assert!(world.instances.is_empty());
    assert_eq!(world.desired.intent, Intent::Halted);
    assert_eq!(
        world.failure.clone().unwrap().message,
        "could not be started: no such file: ./run"
    );
    assert_eq!(world.launches.len(), 2, "no second attempt");
    // What became of it is kept until its user says otherwise.
    world.desired.intent = Intent::Down;
    world.settle();
    assert!(world.gone);
}

#[test]
fn an_app_that_was_halted_can_be_deployed_again() {
    let mut world = World::new(app(&[("web", &[])]));
    world.behaviour.insert(1, Behaviour::Missing);
    world.settle();
    world.deploy(app(&[("web", &[])]));
    world.settle();
    assert_eq!(world.ready("web"), ["shop.web.2.1", "shop.web.2.2"]);
}

#[test]
fn never_ready_fails_at_the_deadline_and_not_later() {
    let mut world = World::new(app(&[("web", &[])]));
    world.behaviour.insert(1, Behaviour::NeverReady);
    let started = world.now;
    world.settle();
    assert_eq!(world.now.since(started), Duration::from_secs(30));
    assert!(
        world
            .failure
            .unwrap()
            .message
            .starts_with("not ready within 30s")
    );
}

#[test]
fn a_dependency_that_is_down_delays_its_users_but_does_not_stop_them() {
    let mut world = World::new(app(&[("web", &["api"]), ("api", &[])]));
    world.run_until_complete();
    // As after a loss of power in mid-rollout: nothing runs, and the dependency will not start.
    world.instances.clear();
    world.launches.clear();
    world.behaviour.insert(1, Behaviour::Works);
    world.desired.rollout.started = world.now;
    world.step();
    for seen in world.instances.values_mut() {
        seen.probe.passing = None;
    }
    let plan = world.step();
    assert!(
        plan.waits
            .iter()
            .any(|wait| wait.reason.contains("starts when api is ready"))
    );
    world.now = world.now.after(Duration::from_secs(10));
    world.step();
    assert!(world.launches.iter().any(|id| id.service.as_str() == "web"));
}

#[test]
fn an_instance_that_fails_its_probes_leaves_the_routes_and_returns() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    let id: InstanceId = "shop.web.1.1".parse().unwrap();
    let seen = world.instances.get_mut(&id).unwrap();
    seen.probe = ProbeState {
        passing: Some(false),
        failures: 3,
        last_failure: None,
    };
    world.step();
    assert_eq!(world.ready("web"), ["shop.web.1.2"]);
    world.instances.get_mut(&id).unwrap().probe = ProbeState {
        passing: Some(true),
        failures: 0,
        last_failure: None,
    };
    world.step();
    assert_eq!(world.ready("web").len(), 2);
}

#[test]
fn a_service_that_is_no_longer_declared_goes_after_its_callers_are_replaced() {
    let mut world = World::new(app(&[("web", &["api"]), ("api", &[])]));
    world.run_until_complete();
    world.deploy(app(&[("web", &[])]));
    while !matches!(world.desired.rollout.state, RolloutState::Complete { .. }) {
        let old_web = world.ready("web").iter().any(|id| id.contains(".1."));
        assert!(!old_web || world.ready("api").len() == 2);
        world.step();
    }
    assert!(world.ready("api").is_empty());
}

#[test]
fn going_down_stops_callers_first() {
    let mut world = World::new(app(&[("web", &["api"]), ("api", &[])]));
    world.run_until_complete();
    world.desired.intent = Intent::Down;
    while !world.gone {
        let web = world
            .instances
            .keys()
            .any(|id| id.service.as_str() == "web");
        assert!(!web || world.ready("api").len() == 2);
        world.step();
    }
}

#[test]
fn a_restart_after_a_stable_time_begins_a_new_count() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    let id: InstanceId = "shop.web.1.1".parse().unwrap();
    world.instances.get_mut(&id).unwrap().record.streak = 4;
    world.now = world.now.after(Duration::from_secs(31));
    world.instances.get_mut(&id).unwrap().process =
        ProcessState::Ended(failed_exit(ExitCause::Signal(9)));
    world.step();
    assert_eq!(world.instances[&id].record.streak, 1);
    world.settle();
    assert_eq!(world.ready("web").len(), 2);
}

fn any_behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        4 => Just(Behaviour::Works),
        1 => Just(Behaviour::Crashes),
        1 => Just(Behaviour::NeverReady),
        1 => Just(Behaviour::Missing),
    ]
}

fn any_app() -> impl Strategy<Value = App> {
    let graph = proptest::collection::vec((0..5usize, 0..5usize), 0..8);
    (1..5usize, graph, proptest::collection::vec(1..4u16, 5)).prop_map(|(count, uses, replicas)| {
        let names = ["a", "b", "c", "d", "e"];
        let mut app = app(&names[..count]
            .iter()
            .map(|n| (*n, &[][..]))
            .collect::<Vec<_>>());
        for (from, to) in uses {
            if from < count && to < count {
                let caller = app.services.get_mut(&service(names[from])).unwrap();
                caller.uses.insert(service(names[to]));
            }
        }
        for (declared, replicas) in app.services.values_mut().zip(replicas) {
            declared.replicas = replicas;
        }
        app
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is deployed and however it behaves, the world ends in one release, ready in full
    /// (or halted, if none ever worked), and a confirmed release never loses ready capacity
    /// below what both releases declare.
    #[test]
    fn every_history_of_deploys_ends_in_exactly_one_release(
        history in proptest::collection::vec((any_app(), any_behaviour()), 1..5)
    ) {
        let mut world = World::new(history[0].0.clone());
        world.behaviour.insert(1, history[0].1);
        world.settle();
        for (app, behaviour) in &history[1..] {
            let halted = world.desired.intent == Intent::Halted;
            let before = world.releases[&world.desired.target].app.clone();
            let number = world.deploy(app.clone());
            world.behaviour.insert(number, *behaviour);
            for _ in 0..10_000 {
                let plan = world.step();
                for (name, old) in before.services.iter().filter(|_| !halted) {
                    if let Some(new) = app.services.get(name) {
                        let least = usize::from(old.replicas.min(new.replicas));
                        prop_assert!(world.ready(name.as_str()).len() >= least);
                    }
                }
                match (plan.steps.is_empty(), plan.wake) {
                    (true, Some(wake)) => world.now = wake,
                    (true, None) => break,
                    _ => {}
                }
            }
        }
        if world.desired.intent == Intent::Halted {
            prop_assert!(world.instances.is_empty());
            return Ok(());
        }
        let target = &world.releases[&world.desired.target];
        prop_assert_eq!(world.desired.confirmed, Some(target.number));
        for (name, declared) in &target.app.services {
            prop_assert_eq!(world.ready(name.as_str()).len(), usize::from(declared.replicas));
        }
        prop_assert!(world.instances.keys().all(|id| id.release == target.number));
    }
}
