//! What the commands that look at things print: for programs in shapes that stay as they are, for
//! people in lines that fit a terminal.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Map, Value};

use crate::support::processes::kill;
use crate::support::{AppFolder, Machine, until};

/// The columns that output for people fits.
const COLUMNS: usize = 80;

/// What `--json` prints, with whatever differs from run to run by its kind.
fn shape(machine: &Machine, app: &AppFolder, words: &[&str]) -> String {
    let value = serde_json::from_str(&machine.ok(&[words, &["--json"]].concat())).unwrap();
    let folder = fs::canonicalize(app.folder()).unwrap();
    let known = [
        (machine.home().display().to_string(), "HOME"),
        (folder.display().to_string(), "FOLDER"),
        (machine.edge.to_string(), "EDGE"),
        (machine.edge_tls.to_string(), "EDGE_TLS"),
        (machine.metrics.to_string(), "METRICS"),
        (format!(":{}/", machine.edge.port()), ":PORT/"),
    ];
    serde_json::to_string_pretty(&redacted("", value, &known)).unwrap()
}

fn redacted(key: &str, value: Value, known: &[(String, &str)]) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| {
                let value = redacted(&key, value, known);
                (key, value)
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => {
            let values = values.into_iter().map(|value| redacted(key, value, known));
            Value::Array(values.collect())
        }
        Value::Number(_) if ["pid", "state_time", "at", "generation"].contains(&key) => {
            format!("a number: {key}").into()
        }
        Value::String(text) => {
            let text = known
                .iter()
                .fold(text, |text, (found, name)| text.replace(found, name));
            // A port that the server gave away, or a version.
            match text.rsplit_once(':') {
                Some(("127.0.0.1", _)) => "127.0.0.1:PORT".into(),
                _ if key == "version" => "VERSION".into(),
                _ => text.into(),
            }
        }
        other => other,
    }
}

/// Every line fits, but for a word that is longer than one by itself.
#[track_caller]
fn fits(text: &str) {
    for line in text.lines() {
        let words = line.split_whitespace().count();
        let ok = line.chars().count() <= COLUMNS || words == 1 || line.trim().starts_with("at ");
        assert!(ok, "{line:?} is too long in\n{text}");
    }
}

#[test]
fn status_has_a_shape_for_programs() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    until("the proxy is up to date", || {
        let status = machine.status();
        let server = &status["server"];
        server["proxies"][0]["generation"] == server["generation"]
    });
    insta::assert_snapshot!("status", shape(&machine, &app, &["status"]));
    // One app is what stands in the list of all.
    let one: Value = serde_json::from_str(&machine.ok(&["status", "pair", "--json"])).unwrap();
    assert_eq!(machine.status()["apps"][0], one);
    let said = machine.ok(&["status", "pair"]);
    assert!(machine.ok(&["status"]).ends_with(&said), "{said}");
}

#[test]
fn a_failed_release_is_in_the_status_with_all_that_is_known() {
    let machine = Machine::new();
    let app = AppFolder::solo("\"./trivial\"");
    machine.up(&app);
    app.solo_runs("\"./trivial --exit-code 3\"");
    assert_eq!(machine.run(&["deploy", app.path()]).code, Some(1));
    until("the failed release is gone", || {
        machine.instances("solo").len() == 1
    });
    insta::assert_snapshot!("status-failed", shape(&machine, &app, &["status", "solo"]));
    fits(&machine.ok(&["status"]));
    // The one instance that there is ends by itself.
    machine.get("solo.localhost", "/exit?code=7");
    until("it is back", || {
        let instances = machine.instances("solo");
        instances[0]["restarts"] == 1 && instances[0]["state"] == "ready"
    });
    let shape = shape(&machine, &app, &["status", "solo"]);
    let shape: Value = serde_json::from_str(&shape).unwrap();
    let last = &shape["services"][0]["instances"][0]["last_exit"];
    assert_eq!(last["message"], "exited with code 7");
    assert_eq!(last["at"], "a number: at");
    let lines = last["last_lines"].as_array().unwrap();
    assert_eq!(
        lines.last().unwrap(),
        "exiting with code 7, as told by a request"
    );
}

#[test]
fn plan_tells_what_a_deploy_would_do_and_does_nothing() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    let new = machine.without_a_trace(|| machine.ok(&["plan", app.path(), "--json"]));
    let new: Value = serde_json::from_str(&new).unwrap();
    assert_eq!(
        (&new["app"], &new["release"]),
        (&"pair".into(), &Value::Null)
    );
    assert_eq!(new["obstacle"], Value::Null);

    machine.up(&app);
    let before = machine.status();
    app.declare(
        r#"
app = "pair"

[services.front]
run      = "./trivial"
replicas = 3
uses     = ["middle"]
expose   = { host = "pair.localhost", path = "/front" }

[services.middle]
run = "./trivial"
"#,
    );
    let path = app.path().to_owned();
    insta::assert_snapshot!("plan", shape(&machine, &app, &["plan", &path]));
    let told = machine.ok(&["plan", &path]);
    let told = told.replace(&machine.edge.port().to_string(), "PORT");
    insta::assert_snapshot!("plan-told", told);
    assert_eq!(machine.status(), before);
    machine.is_consistent();
}

#[test]
fn the_longest_names_fit_a_terminal_and_stay_apart() {
    let machine = Machine::new();
    let [app, caller, called] = ["a", "b", "c"].map(|letter| letter.repeat(40));
    let folder = AppFolder::new(&format!(
        r#"
app = "{app}"
[services.{caller}]
run      = "./trivial"
replicas = 2
uses     = ["{called}"]
expose   = {{ host = "{caller}.localhost" }}
[services.{called}]
run = "./trivial"
"#
    ));
    fits(&machine.ok(&["plan", folder.path()]));
    machine.up(&folder);
    fits(&machine.ok(&["plan", folder.path()]));
    fits(&machine.ok(&["doctor"]));
    let status = machine.ok(&["status"]);
    fits(&status);
    let url = format!(
        "    at http://{caller}.localhost:{}/\n",
        machine.edge.port()
    );
    for text in [&url, "b….1.1  ready", "b….1.2  ready", "c….1.1  ready"] {
        assert!(status.contains(text), "{text:?} is not in {status}");
    }
}

/// The checks of `doctor --json` by name: verdicts, and that bad ones come with a remedy.
fn checks(machine: &Machine, code: i32) -> Vec<(String, String)> {
    let finished = machine.run(&["doctor", "--json"]);
    assert_eq!(
        (finished.code, &*finished.stderr),
        (Some(code), ""),
        "{finished:?}"
    );
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let of = |check: &Value| {
        let keys: Vec<&String> = check.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["detail", "fix", "name", "verdict"]);
        assert_eq!(
            check["fix"].is_null(),
            check["verdict"] == "good",
            "{check}"
        );
        ["name", "verdict"].map(|key| check[key].as_str().unwrap().to_owned())
    };
    let checks = report["checks"].as_array().unwrap();
    checks.iter().map(|check| of(check).into()).collect()
}

#[test]
fn doctor_finds_what_is_wrong_and_says_by_its_exit_code() {
    let machine = Machine::new();
    let verdict = |checks: &[(String, String)], name: &str| -> String {
        let found = checks.iter().find(|(check, _)| check == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {checks:?}"))
            .1
            .clone()
    };
    let names = |checks: &[(String, String)]| -> Vec<String> {
        checks.iter().map(|(name, _)| name.clone()).collect()
    };
    let none = machine.without_a_trace(|| checks(&machine, 0));
    let of_all = ["kernel", "open files", "ports"];
    assert_eq!(
        names(&none),
        [&["home", "disk", "server", "edge"], &of_all[..]].concat()
    );
    fits(&machine.ok(&["doctor"]));

    fs::set_permissions(machine.home(), Permissions::from_mode(0o700)).unwrap();
    let _server = machine.start_server();
    until("the proxy is connected", || machine.proxy_pid().is_some());
    let running = checks(&machine, 0);
    let with_server = [&["home", "disk", "server", "proxy", "edge"], &of_all[..]].concat();
    assert_eq!(names(&running), with_server);
    for name in ["home", "server", "edge"] {
        assert_eq!(verdict(&running, name), "good");
    }

    // Others may enter: a warning, and no failure.
    fs::set_permissions(machine.home(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(verdict(&checks(&machine, 0), "home"), "warning");
    let told = machine.ok(&["doctor"]);
    let fix = format!("fix: chmod 700 {}\n", machine.home().display());
    assert!(told.contains(&fix), "{told}");

    // Without a server nobody looks after what runs, though its proxy holds the edge as it should.
    kill(machine.server_pid());
    until("the server has gone", || {
        machine.run(&["status"]).code == Some(1)
    });
    let none = checks(&machine, 0);
    assert_eq!(verdict(&none, "server"), "warning");
    assert_eq!(verdict(&none, "edge"), "good");
}
