//! Published software as it is, through edge and mesh.

use std::process::Command;

use serde_json::Value;

use crate::support::apps::repository;
use crate::support::{Machine, http, until};

/// What the example needs of the machine besides what its build installs.
const PROGRAMS: [&str; 6] = [
    "redis-server",
    "redis-cli",
    "python3",
    "node",
    "npm",
    "flock",
];

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[test]
fn the_example_polyglot_runs_unmodified_software() {
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|p| !is_installed(p)).collect();
    if !missing.is_empty() {
        println!("LEFT OUT: examples/polyglot, since {missing:?} are not installed");
        return;
    }
    let machine = Machine::new();
    let folder = repository().join("examples/polyglot");
    let edge = machine.edge.to_string();
    machine.ok(&["up", "--detach", "--edge", &edge, folder.to_str().unwrap()]);
    python(&machine);
    node(&machine);
    redis_through_the_mesh(&machine);
}

/// A Python app under gunicorn says what arrived there.
fn python(machine: &Machine) {
    let answer = machine.get("httpbin.localhost", "/get?greeting=hello");
    let seen: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(seen["args"]["greeting"], "hello", "{answer:?}");
    assert_eq!(seen["headers"]["Host"], "httpbin.localhost");
    assert_eq!(machine.get("httpbin.localhost", "/status/418").status, 418);
    let body = "x".repeat(100_000);
    let answer = http::post(
        machine.edge,
        "httpbin.localhost",
        "/post",
        "text/plain",
        &body,
    );
    let seen: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(seen["data"], body);
    let chunked = machine.get("httpbin.localhost", "/stream/5");
    assert_eq!(chunked.body.matches("\"url\"").count(), 5, "{chunked:?}");
}

/// A Node file server.
fn node(machine: &Machine) {
    let answer = machine.get("site.localhost", "/");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(machine.get("site.localhost", "/absent").status, 404);
}

/// A Node app keeps a value in Redis, which is behind a TCP `uses`, and Redis keeps it when it is
/// killed.
fn redis_through_the_mesh(machine: &Machine) {
    let host = "redis.localhost";
    let connections = machine.get(host, "/connections");
    assert_eq!(connections.status, 200, "{connections:?}");
    let id = connections.body.split("\"conId\":\"").nth(1).unwrap();
    let id = id.split('"').next().unwrap();
    let path = format!("/apiv2/key/{id}/greeting");
    let form = "keyType=string&stringValue=hello";
    let stored = http::post(
        machine.edge,
        host,
        &path,
        "application/x-www-form-urlencoded",
        form,
    );
    assert_eq!(stored.status, 200, "{stored:?}");
    assert!(machine.get(host, &path).body.contains("hello"));

    let instances = machine.instances("polyglot");
    let redis = instances
        .iter()
        .find(|i| i["instance"] == "polyglot.redis.1.1")
        .unwrap();
    let pid = redis["pid"].to_string();
    assert!(
        Command::new("kill")
            .args(["-9", &pid])
            .status()
            .unwrap()
            .success()
    );
    until("Redis is back with what it kept", || {
        machine.get(host, &path).body.contains("hello")
            && machine.instances("polyglot").iter().any(|instance| {
                instance["instance"] == "polyglot.redis.1.1" && instance["restarts"] == 1
            })
    });
}
