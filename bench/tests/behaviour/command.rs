//! The command `roadbed-bench`.

use std::process::{Command, Output};

use super::support::{Action, Request, Server, answer, ok};
use serde_json::Value;

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roadbed-bench"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_load_is_reported_as_a_table_and_as_json() {
    let server = Server::start(|request: Request| match request.number {
        5 => Action::Send(answer(503, "", "")),
        _ => Action::Send(ok()),
    });
    let url = server.url();
    let options = ["--rate", "200", "--seconds", "0.2", "--connections", "2"];
    let arguments = [&["load", &url, "--json"][..], &options].concat();
    let output = command(&arguments);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "one failed");
    assert_eq!(report["failed_by_kind"]["status 503"], 1);
    assert_eq!(report["sent"], server.requests());
    assert!(report["latency_us"]["p99"].as_u64().unwrap() > 0);

    let output = command(&[&["load", &url][..], &options].concat());
    assert_eq!(output.status.code(), Some(0), "none failed");
    let table = String::from_utf8(output.stdout).unwrap();
    for name in [
        "sent ",
        "succeeded ",
        "failed ",
        "p50 ",
        "p99.9 ",
        "max ",
        "gap ",
    ] {
        assert!(table.lines().any(|line| line.starts_with(name)), "{table}");
    }
}

#[test]
fn bad_usage_is_explained() {
    for (arguments, explained) in [
        (&[][..], "a command is missing"),
        (&["run"], "no command \"run\""),
        (&["load"], "a URL is missing"),
        (&["load", "https://a"], "not to \"https://a\""),
        (
            &["load", "http://127.0.0.1:1", "--rate", "0"],
            "--rate is more than 0",
        ),
        (
            &["load", "http://127.0.0.1:1", "--rate", "NaN"],
            "--rate is more than 0",
        ),
        (
            &["load", "http://127.0.0.1:1", "--connections", "0"],
            "--connections is from 1",
        ),
        (
            &["load", "http://127.0.0.1:1", "--rate"],
            "--rate needs a value",
        ),
        (
            &["load", "http://127.0.0.1:1", "--fast"],
            "\"--fast\" is not understood",
        ),
        (&["startup", "--runs", "0"], "--runs is from 1 to 1000"),
        (&["startup", "--rate", "5"], "\"--rate\" is not understood"),
        (&["survival", "--only", "x"], "--only is server, deploys"),
        (&["fleet", "--services", "x"], "--services cannot be \"x\""),
        (&["bodies", "2048"], "\"2048\" is not understood"),
    ] {
        let output = command(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr.contains(explained), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_program_that_is_not_there_is_an_error_and_no_bad_usage() {
    let output = command(&["startup", "--json", "--roadbed", "/nowhere/roadbed"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("there is no /nowhere/roadbed; `cargo build"),
        "{stderr}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["error"].as_str().unwrap().contains("/nowhere/"));
}
