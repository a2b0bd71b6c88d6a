//! The planner against a small world: what becomes of apps, case by case.

use std::time::Duration;

use model::*;

use crate::plan;
use crate::world::{Behaviour, World, app, failed_exit, service};

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

/// What a plan gives a rollout up for.
fn abandoned(plan: &Plan) -> Option<&Failure> {
    plan.steps.iter().find_map(|step| match step {
        Step::Abandon { failure, .. } => Some(failure),
        _ => None,
    })
}

#[test]
fn proxies_that_are_away_or_behind_delay_a_rollout_and_do_not_end_it() {
    let world = World::new(app(&[("web", &["api"]), ("api", &[])]));
    let mut seen = world.seen();
    // As after a restart of the server in the middle of a long rollout.
    let now = seen.desired.rollout.started.after(Duration::from_secs(600));
    let reason = "waiting for the proxy to connect".to_owned();
    seen.unserved.insert(service("web"), reason.clone());
    seen.unacknowledged = Some(reason);
    seen.without_proxy_since = Some(now);
    assert_eq!(abandoned(&plan(&seen, now)), None);
    let later = now.after(Duration::from_secs(30));
    let plan = plan(&seen, later);
    let failure = abandoned(&plan).unwrap();
    assert_eq!(failure.message, "no proxy has been connected for 30s");
}

#[test]
fn a_listener_that_cannot_be_opened_ends_a_rollout_when_it_has_been_so_for_a_while() {
    let world = World::new(app(&[("web", &[])]));
    let mut seen = world.seen();
    let now = seen.desired.rollout.started.after(Duration::from_secs(600));
    seen.edge_failure = Some(ListenerFailure {
        error: "address in use".into(),
        since: now,
    });
    let first = plan(&seen, now);
    assert_eq!(abandoned(&first), None);
    assert_eq!(first.wake, Some(now.after(Duration::from_secs(3))));
    let second = plan(&seen, first.wake.unwrap());
    assert_eq!(abandoned(&second).unwrap().message, "address in use");
}

#[test]
fn a_rollout_is_complete_only_when_every_proxy_serves_it() {
    let mut world = World::new(app(&[("web", &[])]));
    while world.ready("web").len() < 2 {
        world.step();
    }
    let mut seen = world.seen();
    seen.unacknowledged = Some("waiting for 1 of 1 proxies".into());
    let held = plan(&seen, world.now);
    assert_eq!(held.steps, []);
    assert_eq!(held.waits[0].reason, "waiting for 1 of 1 proxies");
    seen.unacknowledged = None;
    let release = 1;
    assert_eq!(plan(&seen, world.now).steps, [Step::Confirm { release }]);
}

#[test]
fn a_process_that_is_being_killed_is_not_killed_again_and_again() {
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    let id: InstanceId = "shop.web.1.1".parse().unwrap();
    let failing = world.instances.get_mut(&id).unwrap();
    failing.record.phase = Phase::Failing { since: world.now };
    failing.probe.passing = Some(false);
    let mut seen = world.seen();
    let late = world.now.after(Duration::from_secs(30));
    let kills = |seen: &ObservedApp| {
        let plan = plan(seen, late);
        plan.steps
            .iter()
            .filter(|step| matches!(step, Step::Kill { .. }))
            .count()
    };
    assert_eq!(kills(&seen), 1);
    let failing = seen.instances.get_mut(&id).unwrap();
    failing.asked = Asked::Kill;
    assert_eq!(kills(&seen), 0);
    // When it has ended, it is told who killed it and why.
    let failing = seen.instances.get_mut(&id).unwrap();
    failing.process = ProcessState::Ended(failed_exit(ExitCause::Signal(9)));
    failing.probe.last_failure = Some("GET /healthz answered 503".into());
    let plan = plan(&seen, late);
    let Step::RecordExit { exit, .. } = &plan.steps[0] else {
        panic!("{plan:?}");
    };
    assert_eq!(
        exit.cause.to_string(),
        "killed by Roadbed: failed its probes for 30s; its last probe said: GET /healthz answered 503"
    );
}

#[test]
fn nothing_is_held_against_an_instance_that_has_not_been_found_again_yet() {
    let mut world = World::new(app(&[("web", &[])]));
    world.step();
    let mut seen = world.seen();
    for instance in seen.instances.values_mut() {
        instance.process = ProcessState::Unknown;
        instance.probe = ProbeState::default();
    }
    let late = world.now.after(Duration::from_secs(3600));
    let plan = plan(&seen, late);
    assert_eq!(abandoned(&plan), None);
    assert!(
        !plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Kill { .. }))
    );
}

#[test]
fn what_only_a_failed_release_declares_does_not_stay() {
    // The first release crashes by now, so that it is never complete again.
    let mut world = World::new(app(&[("web", &[])]));
    world.run_until_complete();
    let number = world.deploy(app(&[("web", &[]), ("mail", &[])]));
    while world.ready("mail").is_empty() {
        world.step();
    }
    world.behaviour.insert(number, Behaviour::Missing);
    world.behaviour.insert(1, Behaviour::Crashes);
    world.desired.abandon(
        Failure {
            service: None,
            instance: None,
            message: "as if it had failed".into(),
            exit: None,
        },
        world.now,
    );
    for seen in world.instances.values_mut() {
        if seen.record.id.service.as_str() == "web" {
            seen.process = ProcessState::Ended(failed_exit(ExitCause::Code(1)));
        }
    }
    for _ in 0..50 {
        world.step();
    }
    assert!(
        !world
            .instances
            .keys()
            .any(|id| id.service.as_str() == "mail")
    );
}
