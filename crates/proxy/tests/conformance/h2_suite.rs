//! HTTP/2 by raw frames, as others list the cases of RFC 9113 sections 3 to 8 and RFC 7541; and
//! attacks, each with another client beside it.

use std::net::SocketAddr;
use std::process::Command;

use crate::others::{beside, installed, origin, output, place};
use crate::support::edge_to;

/// Limits that an attack can be seen to run into.
const LIMITS: [&str; 4] = [
    "head=1000",
    "body-idle=1000",
    "keep-alive=2000",
    "linger=500",
];

/// Runs a script whose lines end in "... ok" or say what has FAILED; there must be so many.
fn run(what: &str, script: &str, edge: SocketAddr, arguments: &[String], count: usize) {
    let Some(python) = installed(what, "python3/bin/python") else {
        return;
    };
    let mut suite = Command::new(python);
    suite.args(["-B".into(), beside(script), place(edge).into()]);
    let (output, text) = output(suite.args(arguments));
    let failed: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(output.status.success());
    let passed = text.lines().filter(|line| line.ends_with("... ok")).count();
    assert_eq!(passed, count, "so many have passed");
}

#[test]
fn frames_mean_what_rfc_9113_sections_3_to_8_say() {
    let backend = origin();
    let (_setup, edge) = edge_to(&backend, &[]);
    run("cases of HTTP/2 by frames", "h2/suite.py", edge, &[], 165);
}

#[test]
fn attacks_by_frames_are_ended_in_bounded_memory_and_others_are_served() {
    let backend = origin();
    let (mut setup, edge) = edge_to(&backend, &LIMITS);
    let process = setup.proxy.0.id().to_string();
    run(
        "attacks by frames of HTTP/2",
        "h2/abuse.py",
        edge,
        &[process],
        21,
    );
    assert!(
        setup.proxy.0.try_wait().unwrap().is_none(),
        "the proxy has ended"
    );
}
