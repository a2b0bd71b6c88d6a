//! From a folder to a served page, and back.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::apps::{HOST, VIA, build_example, repository};
use crate::support::{AppFolder, Machine, until};

#[test]
fn an_app_is_up_served_and_down_again_without_a_trace() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    let said = machine.up(&app);
    let url = format!("http://{HOST}:{}/", machine.edge.port());
    assert_eq!(said, format!("pair is up at release 1\n  front  {url}\n"));
    let answer = machine.get(HOST, VIA);
    assert_eq!(answer.status, 200, "{answer:?}");
    let pid: u64 = answer.body.trim().parse().unwrap();
    let back = machine
        .instances("pair")
        .into_iter()
        .find(|i| i["pid"] == pid)
        .unwrap();
    assert!(
        back["instance"]
            .as_str()
            .unwrap()
            .starts_with("pair.back.1.")
    );

    assert_eq!(machine.ok(&["down", "--all"]), "everything is down\n");
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
    assert!(
        std::fs::read_dir(machine.home().join("run"))
            .unwrap()
            .next()
            .is_none()
    );
    assert_eq!(machine.get(HOST, "/").status, 0);
    // What instances wrote outlives them.
    assert!(
        machine
            .ok(&["logs", "pair/front"])
            .contains("started on port")
    );
}

#[test]
fn ctrl_c_stops_what_up_has_started_and_its_logs_are_complete() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    let edge = machine.edge.to_string();
    let mut up = machine
        .command(&["up", "--edge", &edge, app.path()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    lines
        .find(|line| line == "pair is up at release 1")
        .unwrap();
    until("it is served", || machine.get(HOST, VIA).status == 200);
    kill_process(Pid::from_child(&up), Signal::INT).unwrap();
    // The logs are told beside the progress, on standard error.
    let ended = up.wait_with_output().unwrap();
    assert!(ended.status.success());
    let told = String::from_utf8(ended.stderr).unwrap();
    let seen: Vec<&str> = told.lines().collect();
    let count = |text: &str| seen.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (count("| started on port"), count("| stopped by signal 15")),
        (4, 4),
        "{seen:#?}"
    );
    until("all processes have ended", || {
        machine.processes().is_empty()
    });
}

#[test]
fn up_leaves_a_server_that_ran_before_it_alone() {
    let machine = Machine::new();
    let _server = machine.start_server();
    let app = AppFolder::pair();
    let mut up = machine
        .command(&["up", app.path()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    lines
        .by_ref()
        .find(|line| line.contains("is up at release 1"))
        .unwrap();
    kill_process(Pid::from_child(&up), Signal::TERM).unwrap();
    lines.for_each(drop);
    assert!(up.wait().unwrap().success());
    assert_eq!(machine.status()["apps"].as_array().unwrap().len(), 0);
}

#[test]
fn the_example_shop_serves_its_page_and_keeps_its_data() {
    build_example("shop");
    let machine = Machine::new();
    let shop = repository().join("examples/shop");
    let edge = machine.edge.to_string();
    machine.ok(&["up", "--detach", "--edge", &edge, shop.to_str().unwrap()]);
    let page = machine.get("shop.localhost", "/");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("compass"), "{}", page.body);
    machine.ok(&["down", "shop"]);
    machine.ok(&["up", "--detach", shop.to_str().unwrap()]);
    let again = machine.get("shop.localhost", "/");
    assert_eq!(again.status, 200);
    assert_ne!(page.body, again.body, "the counter goes on where it was");
}

#[test]
fn services_that_call_each_other_all_start() {
    let machine = Machine::new();
    let app = AppFolder::new(
        r#"
app = "ring"
[services.a]
run    = "./trivial"
uses   = ["b"]
expose = { host = "ring.localhost" }
[services.b]
run  = "./trivial"
uses = ["c"]
[services.c]
run  = "./trivial"
uses = ["a"]
"#,
    );
    machine.up(&app);
    let answer = machine.get(
        "ring.localhost",
        "/via/b/via/c/via/a/env?name=ROADBED_SERVICE",
    );
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "a"),
        "{answer:?}"
    );
}

#[test]
fn instances_are_given_their_addresses_and_nothing_of_the_users_environment() {
    let machine = Machine::new();
    let app = AppFolder::new(
        r#"
app = "given"
[services.web]
run     = "./trivial"
uses    = ["web", "data-store"]
expose  = { host = "given.localhost" }
volumes = ["data"]
env     = { GREETING = "hello $$ there" }
[services.data-store]
run      = "./trivial"
protocol = "tcp"
"#,
    );
    let edge = machine.edge.to_string();
    let up = machine
        .command(&["up", "--detach", "--edge", &edge, app.path()])
        .env("A_SECRET_OF_THE_USER", "x")
        .output()
        .unwrap();
    assert!(up.status.success(), "{up:?}");
    let value = |name: &str| {
        let answer = machine.get("given.localhost", &format!("/env?name={name}"));
        (answer.status == 200).then_some(answer.body)
    };
    assert_eq!(value("A_SECRET_OF_THE_USER"), None);
    assert_eq!(value("GREETING").unwrap(), "hello $$ there");
    assert_eq!(value("ROADBED_INSTANCE").unwrap(), "given.web.1.1");
    assert_eq!(value("ROADBED_RELEASE").unwrap(), "1");
    assert!(value("WEB_URL").unwrap().starts_with("http://127.0.0.1:1"));
    assert!(
        value("DATA_STORE_URL")
            .unwrap()
            .starts_with("tcp://127.0.0.1:1")
    );
    assert!(value("DATA_STORE_ADDR").unwrap().starts_with("127.0.0.1:1"));
    let folder = value("DATA_DIR").unwrap();
    assert!(std::path::Path::new(&folder).is_dir(), "{folder}");
    assert!(
        folder.starts_with(machine.home().to_str().unwrap()),
        "{folder}"
    );
}
