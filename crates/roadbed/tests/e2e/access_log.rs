//! The access log by the commands that users have, through edge and mesh.

use serde_json::Value;

use crate::support::apps::HOST;
use crate::support::processes::kill;
use crate::support::{AppFolder, Machine, until};

/// Starts an app on a server that logs requests as said.
fn up(machine: &Machine, app: &AppFolder, options: &[&str]) {
    let [plain, tls] = [machine.edge, machine.edge_tls].map(|address| address.to_string());
    let metrics = machine.metrics.to_string();
    let addresses = ["--edge", &plain, "--edge-tls", &tls, "--metrics", &metrics];
    machine.ok(&[&["up", "--detach", app.path()], &addresses[..], options].concat());
}

/// The lines that `logs --access` prints as JSON.
fn lines(machine: &Machine, of: &[&str]) -> Vec<Value> {
    let finished = machine.run(&[&["logs", "--access", "--json"], of].concat());
    let lines = finished.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn requests_are_in_the_log_that_was_asked_for_and_a_new_server_changes_it() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    up(&machine, &app, &["--access-log", "all"]);
    assert!(machine.ok(&["status"]).contains("access log: all; "));
    for _ in 0..3 {
        assert_eq!(machine.get(HOST, "/via/back/").status, 200);
    }
    assert_eq!(machine.get("nobody.test", "/").status, 404);
    until("all lines are written", || lines(&machine, &[]).len() == 7);
    for (of, count) in [
        ("pair", 6),
        ("pair/front", 3),
        ("pair/back", 3),
        ("other", 0),
    ] {
        assert_eq!(lines(&machine, &[of]).len(), count, "{of}");
    }
    let back = &lines(&machine, &["pair/back", "--tail", "1"])[0];
    assert_eq!(
        (&back["from"], &back["caller"]),
        (&"mesh".into(), &"pair/front".into())
    );
    // Which is last is not certain: each worker hands over what it has.
    let text = machine.ok(&["logs", "--access", "--tail", "7"]);
    let mut shown = text.lines();
    let refused = shown.find(|line| line.contains(" 404 GET nobody.test"));
    assert!(
        refused.is_some_and(|line| line.ends_with(" no-route")),
        "{text}"
    );
    assert_eq!(lines(&machine, &["--since", "1h"]).len(), 7);

    // A server that runs says no to another log; the next one changes it, and no app is touched.
    let refused = machine.run(&["up", "--detach", "--access-log", "errors", app.path()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = "a server runs already, with an access log of all";
    assert!(refused.stderr.contains(told), "{refused:?}");
    let proxy = machine.proxy_pid();
    kill(machine.server_pid());
    let _server = machine.spawn(&["server", "--access-log", "errors"]);
    until("the next server answers", || {
        machine.run(&["status"]).code == Some(0)
    });
    until("the proxy is back", || machine.proxy_pid() == proxy);
    until("the proxy follows", || {
        machine.get(HOST, "/").status == 200 && {
            let server = &machine.status()["server"];
            server["proxies"][0]["generation"] == server["generation"]
        }
    });
    let before = lines(&machine, &["pair"]).len();
    assert_eq!(machine.get(HOST, "/fine").status, 200);
    assert_eq!(machine.get("nobody.test", "/after").status, 404);
    until("what failed is written", || {
        lines(&machine, &[])
            .iter()
            .any(|line| line["path"] == "/after")
    });
    // Lines of what went before the change may still have been on their way.
    let after = lines(&machine, &["pair"]);
    assert!(after.len() >= before && after.iter().all(|line| line["path"] != "/fine"));
}

#[test]
fn without_a_log_there_is_none_and_a_wrong_option_is_told() {
    let machine = Machine::new();
    machine.up(&AppFolder::pair());
    assert_eq!(machine.get(HOST, "/").status, 200);
    let finished = machine.run(&["logs", "--access"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("there is no access log"),
        "{finished:?}"
    );
    assert!(finished.stderr.contains("--access-log"), "{finished:?}");
    assert!(!machine.home().join("access-logs").exists());
    for (option, value) in [
        ("--access-log", "some"),
        ("--access-log", "0%"),
        ("--traces", "https://example.com"),
        ("--trace-share", "5"),
    ] {
        let finished = machine.run(&["server", option, value]);
        assert_eq!(finished.code, Some(2), "{option} {value}: {finished:?}");
    }
    assert_eq!(machine.run(&["logs"]).code, Some(2));
}
