//! Steady load through the edge and one hop of the mesh while things happen to the programs; the
//! client counts what becomes of each request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Instant;

use bench::{Load, Report, Running};

use crate::support::apps::{HOST, PAIR, SOLO, VIA};
use crate::support::processes::{is_living, kill};
use crate::support::{AppFolder, Finished, LONG, Machine, Server, soak, until};

/// Requests per second. An unoptimised proxy and two cores that run everything have time for it.
const RATE: f64 = 200.0;

/// A load that is under way and has had answers.
fn load(machine: &Machine) -> Running {
    let mut load = Load::new(format!("http://{}{VIA}", machine.edge), RATE);
    load.host = Some(HOST.into());
    let running = load.start().unwrap();
    assert!(
        running.wait(LONG, |counts| counts.succeeded >= 20),
        "{:?}",
        running.counts()
    );
    running
}

/// Waits for so many more answers.
fn more_answers(load: &Running, count: u64) {
    let before = load.counts().succeeded;
    assert!(
        load.wait(LONG, |counts| counts.succeeded >= before + count),
        "{:?}",
        load.counts()
    );
}

fn none_failed(report: &Report) {
    assert_eq!(report.failed, 0, "{report}");
}

/// The processes of the instances of an app, all ready.
fn pids(machine: &Machine, app: &str) -> Vec<u32> {
    let instances = machine.instances(app);
    assert!(
        instances
            .iter()
            .all(|instance| instance["state"] == "ready"),
        "{instances:?}"
    );
    instances
        .iter()
        .map(|instance| instance["pid"].as_u64().unwrap() as u32)
        .collect()
}

/// A service that counts aloud, besides the pair.
const COUNTING: &str = r#"
[services.counting]
run    = ["sh", "-c", "n=0; while :; do n=$$((n + 1)); echo line $$n; sleep 0.005; done"]
health = { command = "true" }
"#;

/// The numbers that the counting service wrote, in the order of its log.
fn counted(machine: &Machine) -> Vec<u32> {
    let logs = machine.ok(&["logs", "pair/counting"]);
    let numbers = logs.lines().filter_map(|line| line.split("| line ").nth(1));
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[test]
fn a_server_that_is_killed_loses_no_request_no_instance_and_no_log_line() {
    let machine = Machine::new();
    let _server = machine.start_server();
    let app = AppFolder::new(&format!("{PAIR}{COUNTING}"));
    machine.up(&app);
    let (before, proxy) = (pids(&machine, "pair"), machine.proxy_pid());
    let load = load(&machine);
    let mut servers = Vec::new();
    for _ in 0..if soak() { 10 } else { 2 } {
        kill(machine.server_pid());
        more_answers(&load, 100);
        assert_eq!(machine.run(&["status"]).code, Some(1));
        let started = Instant::now();
        servers.push(machine.start_server());
        until("the instances are adopted", || {
            let instances = machine.instances("pair");
            instances.iter().all(|instance| instance["pid"].is_u64())
        });
        println!("adopted {:?} after the start", started.elapsed());
        until("the proxy is back", || machine.proxy_pid() == proxy);
        more_answers(&load, 50);
        assert_eq!(pids(&machine, "pair"), before);
    }
    none_failed(&load.stop());
    machine.ok(&["down", "pair"]);
    let numbers = counted(&machine);
    assert!(numbers.len() > 100, "{numbers:?}");
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_rollout_goes_on_with_it() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    let before = pids(&machine, "pair");
    let load = load(&machine);
    app.declare(&PAIR.replace("\"./trivial\"", "\"./trivial --start-delay-ms 400\""));
    let mut servers = Vec::new();
    let deploy = machine
        .command(&["deploy", app.path()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // New and old instances, in each of the stages that a rollout of four goes through.
    for ready in 1..4 {
        until("so many new ones are ready", || {
            let instances = machine.instances("pair");
            let new = instances
                .iter()
                .filter(|i| i["release"] == 2 && i["state"] == "ready");
            new.count() >= ready
        });
        kill(machine.server_pid());
        servers.push(machine.start_server());
    }
    let finished = Finished::from(deploy.wait_with_output().unwrap());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished.stdout.starts_with("pair is up at release 2\n"),
        "{finished:?}"
    );
    let after = pids(&machine, "pair");
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|pid| !is_living(*pid)));
    more_answers(&load, 20);
    none_failed(&load.stop());
}

#[test]
fn twenty_deploys_in_a_row_fail_no_request() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    let mut before = pids(&machine, "pair");
    let load = load(&machine);
    for release in 2..=if soak() { 101 } else { 21 } {
        let said = machine.ok(&["deploy", app.path()]);
        assert!(
            said.starts_with(&format!("pair is up at release {release}\n")),
            "{said}"
        );
        let after = pids(&machine, "pair");
        assert!(
            after.iter().all(|pid| !before.contains(pid)),
            "every instance is replaced"
        );
        assert!(
            before.iter().all(|pid| !is_living(*pid)),
            "and none is left"
        );
        before = after;
    }
    more_answers(&load, 20);
    none_failed(&load.stop());
}

#[test]
fn an_instance_that_is_killed_fails_only_what_was_in_flight_on_it_and_comes_back() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    let load = load(&machine);
    for round in 1..=if soak() { 20 } else { 3 } {
        let victim = machine
            .instances("pair")
            .into_iter()
            .find(|i| i["instance"] == "pair.back.1.1");
        let in_flight = load.counts().in_flight();
        kill(victim.unwrap()["pid"].as_u64().unwrap() as u32);
        until("it is back", || {
            let instances = machine.instances("pair");
            let back = instances
                .iter()
                .find(|i| i["instance"] == "pair.back.1.1")
                .unwrap();
            back["state"] == "ready" && back["restarts"] == round
        });
        println!("round {round}: at most {in_flight} in flight");
        more_answers(&load, 50);
    }
    let report = load.stop();
    // Each request is on one of two instances and takes well under a millisecond, so hardly one is
    // in flight at the instant of a kill; connections can never be refused to a client.
    let rounds = if soak() { 20 } else { 3 };
    assert!(report.failed <= rounds, "{report}");
    assert!(
        report
            .failures
            .iter()
            .all(|f| f.kind.to_string() == "status 502"),
        "{report}"
    );
}

#[test]
fn a_proxy_that_is_killed_serves_again_from_its_snapshot_with_and_without_a_server() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    for server_lives in [true, false] {
        let proxy = machine.proxy_pid().unwrap();
        if !server_lives {
            kill(machine.server_pid());
        }
        let started = Instant::now();
        kill(proxy);
        until("it serves again", || machine.get(HOST, VIA).status == 200);
        println!(
            "served again after {:?}, server: {server_lives}",
            started.elapsed()
        );
        assert!(!is_living(proxy));
        if server_lives {
            until("the new proxy is connected", || {
                machine.proxy_pid().is_some_and(|pid| pid != proxy)
            });
        }
    }
    // The next server finds it all as it was.
    let _server = machine.start_server();
    until("the proxy is back", || machine.proxy_pid().is_some());
    assert_eq!(pids(&machine, "pair").len(), 4);
}

#[test]
fn a_request_that_is_under_way_is_finished_before_its_instance_is_stopped() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    let mut stream = TcpStream::connect(machine.edge).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\
         Content-Length: 10\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"first").unwrap();
    // The echo of the first half shows that the request has arrived.
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
    }
    let mut deploy = machine
        .command(&["deploy", app.path()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("all others are replaced, and one waits for it", || {
        let instances = machine.instances("pair");
        let old: Vec<_> = instances.iter().filter(|i| i["release"] == 1).collect();
        instances.len() == 5 && old.len() == 1 && old[0]["state"] == "draining"
    });
    assert!(deploy.try_wait().unwrap().is_none());
    stream.write_all(b" half").unwrap();
    stream.read_to_end(&mut answer).unwrap();
    assert!(
        answer.ends_with(b"first half"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert!(deploy.wait().unwrap().success());
}

#[test]
fn a_place_at_the_edge_that_moves_to_another_service_is_served_all_the_while() {
    let machine = Machine::new();
    let exposed = "expose   = { host = \"pair.localhost\" }\n";
    let app = AppFolder::new(PAIR);
    machine.up(&app);
    let mut load = Load::new(format!("http://{}/", machine.edge), RATE);
    load.host = Some(HOST.into());
    let load = load.start().unwrap();
    more_answers(&load, 20);
    // A new service takes the old one's place, which is declared no more; then back again.
    let moved = PAIR
        .replace("[services.front]", "[services.entry]")
        .replace("\"./trivial\"", "\"./trivial --start-delay-ms 200\"");
    assert!(moved.contains(exposed));
    for declaration in [&moved[..], PAIR, &moved[..]] {
        app.declare(declaration);
        machine.ok(&["deploy", app.path()]);
        more_answers(&load, 20);
    }
    let services = machine.instances("pair");
    assert!(
        services.iter().any(|i| i["instance"] == "pair.entry.4.1"),
        "{services:?}"
    );
    assert_eq!(services.len(), 4);
    none_failed(&load.stop());
}

#[test]
fn a_server_that_is_started_again_leaves_the_edge_where_it_was() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    kill(machine.server_pid());
    let _server = Server(
        machine
            .command(&["server"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("it answers", || machine.run(&["status"]).code == Some(0));
    assert_eq!(machine.status()["server"]["edge"], machine.edge.to_string());
    assert_eq!(machine.get(HOST, VIA).status, 200);
}

#[test]
fn a_proxy_that_cannot_start_any_more_keeps_no_app_from_going_down() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    let state = machine.home().join("proxy");
    std::fs::rename(&state, machine.home().join("proxy-away")).unwrap();
    std::fs::write(&state, "no folder").unwrap();
    kill(machine.proxy_pid().unwrap());
    machine.ok(&["down", "--all"]);
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
}

/// A deadline counts only time in which somebody looked.
#[test]
fn a_server_that_was_away_for_longer_than_a_deadline_goes_on_with_its_rollout() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    machine.up(&app);
    let load = solo_load(&machine);
    // It is ready after half of its deadline, and the server is away for all of it.
    app.solo_runs_within("\"./trivial --start-delay-ms 500\"", "1s");
    let deploy = machine.spawn(&["deploy", app.path()]);
    until_starting(&machine, 2);
    kill(machine.server_pid());
    more_answers(&load, (RATE * 1.5) as u64);
    let _server = machine.start_server();
    let finished = deploy.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    none_failed(&load.stop());
}

/// Waits until an instance of a release of [`AppFolder::solo`] has a process.
fn until_starting(machine: &Machine, release: u64) {
    until("the new one is starting", || {
        let instances = machine.instances("solo");
        instances
            .iter()
            .any(|i| i["release"] == release && i["pid"].is_u64())
    });
}

/// A load on the one service of [`AppFolder::solo`].
fn solo_load(machine: &Machine) -> Running {
    let mut load = Load::new(format!("http://{}/", machine.edge), RATE);
    load.host = Some(SOLO.into());
    load.start().unwrap()
}

#[test]
fn who_follows_a_server_that_does_not_come_back_is_told_in_the_end() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    machine.up(&app);
    app.solo_runs("\"./trivial --unhealthy\"");
    let deploy = machine.spawn(&["deploy", app.path()]);
    until_starting(&machine, 2);
    kill(machine.server_pid());
    let finished = deploy.finish();
    finished.failed(&["no server runs in", "hint: "]);
    assert_eq!(
        finished.stderr.matches("the server is away").count(),
        1,
        "{finished:?}"
    );
    assert_eq!(machine.get(SOLO, "/").status, 200);
}
