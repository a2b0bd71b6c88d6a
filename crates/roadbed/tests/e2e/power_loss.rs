//! Everything of a home dies at the same instant, as when a machine loses its power; the next
//! server finds out what was and brings it back by itself.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;

use serde_json::Value;

use crate::support::apps::{HOST, SOLO, VIA};
use crate::support::{AppFolder, Machine, until};

/// A web service whose instances take their time to start, and go on when told to end.
const SLOW: &str = r#""./trivial --start-delay-ms 400 --ignore-signals"
drain = "60s""#;

/// Whether the rollout of a release has come so far.
type Moment = fn(&Machine, u64) -> bool;

/// The units of instances that have a folder.
fn units(machine: &Machine) -> BTreeSet<String> {
    let entries = fs::read_dir(machine.home().join("units")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "home-id" && !name.starts_with("proxy."))
        .collect()
}

/// Whether some instance is in a state.
fn any(machine: &Machine, app: &str, state: &str) -> bool {
    machine
        .instances(app)
        .iter()
        .any(|instance| instance["state"] == state)
}

fn app_status(machine: &Machine, app: &str) -> Value {
    serde_json::from_str(&machine.ok(&["status", app, "--json"])).unwrap()
}

/// Waits until an app is up at a release, and nothing else of it is there.
fn is_up_at(machine: &Machine, app: &str, release: u64) {
    until("all is ready", || {
        let status = app_status(machine, app);
        let services = status["services"].as_array().unwrap();
        status["release"] == release
            && services.iter().all(|service| {
                let instances = service["instances"].as_array().unwrap();
                service["ready"] == service["replicas"]
                    && instances.len() as u64 == service["replicas"]
                    && instances.iter().all(|i| i["release"] == release)
            })
    });
    machine.is_consistent();
}

#[test]
fn an_app_comes_back_as_it_was_with_its_logs() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    assert_eq!(machine.get(HOST, VIA).status, 200);
    let before = app_status(&machine, "pair");
    let lines = |logs: &str| -> Vec<String> { logs.lines().map(str::to_owned).collect() };
    let logs = lines(&machine.ok(&["logs", "pair", "--timestamps"]));
    assert_eq!(logs.len(), 4, "{logs:?}");

    machine.lose_power();
    assert_eq!(machine.get(HOST, VIA).status, 0);
    assert_eq!(
        lines(&machine.ok(&["logs", "pair", "--timestamps"])),
        logs,
        "with nothing running"
    );
    // The last line of one was being written.
    let folder = machine.home().join("logs/pair/back/pair.back.1.1");
    let torn = folder.join("0000000001.log");
    let mut torn = File::options().append(true).open(torn).unwrap();
    torn.write_all(b"2026-11-24T23:59:59.1").unwrap();

    let _server = machine.start_server();
    is_up_at(&machine, "pair", 1);
    until("it is served", || machine.get(HOST, VIA).status == 200);
    let after = app_status(&machine, "pair");
    assert_eq!(after["rollout"], before["rollout"]);
    for (service, was) in [(0, "back"), (1, "front")] {
        let (service, was_service) = (&after["services"][service], was);
        assert_eq!(service["service"], was_service);
        for instance in service["instances"].as_array().unwrap() {
            assert_eq!(instance["restarts"], 1, "{instance}");
            let exit = &instance["last_exit"]["message"];
            assert!(
                exit.as_str().unwrap().contains("gone without a record"),
                "{exit}"
            );
        }
    }
    // What was being written is told apart, and has the time of what is before it.
    let damaged = " back.1.1 | roadbed: damaged record: 2026-11-24T23:59:59.1";
    let now = lines(&machine.ok(&["logs", "pair", "--timestamps"]));
    let (torn, now): (Vec<_>, Vec<_>) = now.into_iter().partition(|line| line.contains(damaged));
    assert_eq!(torn.len(), 1, "{now:#?}");
    assert_eq!(now[..logs.len()], logs, "what was there is there");
    let new = &now[logs.len()..];
    assert_eq!(new.len(), 4, "{new:#?}");
    assert!(
        new.iter().all(|line| line.contains(" | started on port ")),
        "{new:#?}"
    );
}

#[test]
fn a_rollout_goes_on_from_wherever_it_was() {
    let machine = Machine::new();
    let app = AppFolder::solo(SLOW);
    machine.up(&app);
    let moments: [(&str, Moment); 3] = [
        ("its unit is there", |machine, release| {
            let prefix = format!("solo.web.{release}.");
            units(machine).iter().any(|unit| unit.starts_with(&prefix))
        }),
        ("it has started", |machine, release| {
            let instances = machine.instances("solo");
            instances
                .iter()
                .any(|i| i["release"] == release && i["pid"].is_u64())
        }),
        ("the old one is stopping", |machine, _| {
            any(machine, "solo", "stopping")
        }),
    ];
    for (release, (moment, has_come)) in (2..).zip(moments) {
        let deploy = machine.spawn(&["deploy", app.path()]);
        until(moment, || has_come(&machine, release));
        machine.lose_power();
        assert_ne!(deploy.finish().code, Some(0), "{moment}");
        let server = machine.start_server();
        is_up_at(&machine, "solo", release);
        until("it is served", || machine.get(SOLO, "/").status == 200);
        until("the rollout is complete", || {
            app_status(&machine, "solo")["rollout"]["state"] == "complete"
        });
        assert_eq!(app_status(&machine, "solo")["rollout"]["release"], release);
        // The next round's power loss takes it along.
        std::mem::forget(server);
    }
}

#[test]
fn a_rollout_that_fails_after_it_goes_back_to_what_was_before_it() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    machine.up(&app);
    app.solo_runs("\"./trivial --unhealthy\"");
    let deploy = machine.spawn(&["deploy", app.path()]);
    until("it has started", || any(&machine, "solo", "starting"));
    machine.lose_power();
    drop(deploy);
    let _server = machine.start_server();
    until("the rollout has failed", || {
        app_status(&machine, "solo")["rollout"]["state"] == "failed"
    });
    is_up_at(&machine, "solo", 1);
    until("it is served", || machine.get(SOLO, "/").status == 200);
    let status = machine.ok(&["status", "solo"]);
    assert!(status.starts_with("solo: release 1 is up; release 2 failed: "));
}

#[test]
fn an_app_that_was_going_down_goes_down() {
    let machine = Machine::new();
    let app = AppFolder::solo(SLOW);
    machine.up(&app);
    let down = machine.spawn(&["down", "solo"]);
    until("it is stopping", || any(&machine, "solo", "stopping"));
    machine.lose_power();
    drop(down);
    let _server = machine.start_server();
    until("it is gone", || {
        machine.status()["apps"].as_array().unwrap().is_empty()
    });
    machine.is_consistent();
    assert!(units(&machine).is_empty());
    machine
        .run(&["down", "solo"])
        .failed(&["no app \"solo\" runs"]);
    machine.ok(&["up", "--detach", app.path()]);
    assert_eq!(app_status(&machine, "solo")["release"], 2);
}

#[test]
fn an_up_after_it_finds_the_app_back() {
    let machine = Machine::new();
    let (app, pair) = (AppFolder::solo("\"./trivial\""), AppFolder::pair());
    machine.up(&app);
    for round in 0..2 {
        machine.lose_power();
        let up = machine.try_up(if round == 0 { &app } else { &pair });
        if round == 0 {
            up.failed(&[
                "error: solo is up already, at release 1",
                "hint: `roadbed deploy`",
            ]);
        } else {
            assert_eq!(up.code, Some(0), "{up:?}");
            assert_eq!(machine.get(HOST, VIA).status, 200);
        }
        until("it is served", || machine.get(SOLO, "/").status == 200);
        machine.is_consistent();
    }
    assert_eq!(machine.ok(&["down", "--all"]), "everything is down\n");
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
}
