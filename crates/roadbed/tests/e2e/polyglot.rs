//! Published software as it is, through edge and mesh, with the clients that are published for it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::apps::repository;
use crate::support::{Finished, Machine, http, left_out, soak, until};

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
        return left_out(&format!(
            "examples/polyglot, since {missing:?} are not installed"
        ));
    }
    let machine = Machine::new();
    let folder = example();
    let [edge, edge_tls] = [machine.edge, machine.edge_tls].map(|address| address.to_string());
    let words = ["up", "--detach", "--edge", &edge, "--edge-tls", &edge_tls];
    machine.ok(&[&words[..], &[folder.to_str().unwrap()]].concat());
    python(&machine);
    node(&machine);
    redis_through_the_mesh(&machine);
    every_protocol_through_the_edge(&machine);
    every_protocol_through_the_mesh(&machine);
    let next = without_redis_in_tls();
    deploys_under_load(&machine, &next);
    every_protocol_in_tls(&machine, &next);
}

fn example() -> PathBuf {
    repository().join("examples/polyglot")
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

/// The file `polyglot.py` beside this one, in the example's own environment.
fn clients(words: &[&str]) -> Command {
    let mut command = Command::new(example().join("target/venv/bin/python"));
    command
        .arg(repository().join("crates/roadbed/tests/e2e/polyglot.py"))
        .args(words);
    command
}

/// Has a client do all that its protocol can: `host` is whom it asks for at `address`.
fn drive(protocol: &str, address: &str, host: &str) {
    is_well(&mut clients(&[protocol, address, host]));
}

fn is_well(client: &mut Command) {
    let driven = Finished::from(client.output().unwrap());
    assert_eq!(driven.code, Some(0), "{client:?}: {}", driven.stderr);
}

/// What is asked for at the edge, and how.
const AT_THE_EDGE: [(&str, &str); 6] = [
    ("grpc", "greeter.localhost"),
    ("http2", "httpbin2.localhost"),
    // Also where instances speak HTTP/1.1.
    ("http2", "httpbin.localhost"),
    ("websocket", "echo.localhost"),
    ("websocket-of-http2", "echo.localhost"),
    // An app in HTTP/2 that has the others answer, each in its protocol.
    ("front", "front.localhost"),
];

fn every_protocol_through_the_edge(machine: &Machine) {
    for (protocol, host) in AT_THE_EDGE {
        drive(protocol, &machine.edge.to_string(), host);
    }
}

fn every_protocol_in_tls(machine: &Machine, app: &TempDir) {
    let edge = machine.edge_tls.to_string();
    for (protocol, host) in AT_THE_EDGE {
        let mut client = clients(&[protocol, &edge, host]);
        is_well(client.env("AUTHORITY", app.path().join("edge.pem")));
    }
}

/// Where the instances of `front` find a service that they use.
fn found_by_front(machine: &Machine, service: &str) -> String {
    let status = machine.ok(&["status", "polyglot", "--json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let services = status["services"].as_array().unwrap();
    let front = services.iter().find(|s| s["service"] == "front").unwrap();
    front["uses"][service].as_str().unwrap().to_owned()
}

fn every_protocol_through_the_mesh(machine: &Machine) {
    for (protocol, service) in [
        ("grpc", "greeter"),
        ("http2", "httpbin-http2"),
        ("websocket", "echo"),
        ("websocket-of-http2", "echo"),
    ] {
        drive(protocol, &found_by_front(machine, service), service);
    }
}

/// Clients that call without end.
struct Load {
    process: Child,
    until: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Load {
    fn start(machine: &Machine) -> Self {
        let edge = machine.edge.to_string();
        let greeter = found_by_front(machine, "greeter");
        let httpbin = found_by_front(machine, "httpbin-http2");
        let echo = found_by_front(machine, "echo");
        let mut process = clients(&["load", &edge, &greeter, &httpbin, &echo])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = process.stdin.take().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            until,
            says,
        }
    }

    /// Waits until an instance of this release has answered.
    fn sees_release(&mut self, release: u32) {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        assert_eq!(line, format!("release {release} has answered\n"));
    }

    /// What it has counted.
    fn end(mut self) -> Value {
        drop(self.until);
        let mut rest = String::new();
        self.says.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success());
        serde_json::from_str(&rest).unwrap()
    }
}

/// New releases take over while all kinds of calls go on, of which none fails.
fn deploys_under_load(machine: &Machine, next: &TempDir) {
    let deploys = if soak() { 10 } else { 1 };
    let mut load = Load::start(machine);
    load.sees_release(1);
    for release in 2..=1 + deploys {
        machine.ok(&["deploy", next.path().to_str().unwrap()]);
        load.sees_release(release);
    }
    let counted = load.end();
    assert_eq!(counted["failed"], serde_json::json!([]), "{counted}");
    let kinds = counted["calls"].as_object().unwrap();
    assert_eq!(kinds.len(), 7, "{counted}");
    for (kind, count) in kinds {
        // Several for each of the instances that were replaced.
        let enough = 20 * u64::from(deploys);
        assert!(count.as_u64().unwrap() >= enough, "{kind}: {counted}");
    }
}

/// The example without the one service that cannot be replaced while it runs, because it must be
/// alone with its data, and without what is not asked for; all hosts are served in TLS too.
fn without_redis_in_tls() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["target", "greeter.py", "echo.py", "front.py"] {
        symlink(example().join(file), folder.path().join(file)).unwrap();
    }
    let hosts = AT_THE_EDGE.map(|(_, host)| host.to_owned());
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(hosts).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.path().join("edge.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("edge.key"), key.serialize_pem()).unwrap();

    let whole = fs::read_to_string(example().join("roadbed.toml")).unwrap();
    // What is only linked leads out of the folder, and is no part of the release.
    let lines = whole.lines().filter(|line| !line.starts_with("include"));
    let whole = lines.collect::<Vec<_>>().join("\n");
    let (app, services) = whole.split_once("\n[services.").unwrap();
    let kept: String = services
        .split("\n[services.")
        .filter(|service| !service.starts_with("redis") && !service.starts_with("site"))
        .map(|service| format!("\n[services.{service}"))
        .collect();
    // It is built already.
    let lines = kept.lines().filter(|line| !line.starts_with("build"));
    let tls = ".localhost\", certificate = \"edge.pem\", key = \"edge.key\"";
    let services = lines.collect::<Vec<_>>().join("\n");
    let services = services.replace(".localhost\"", tls);
    fs::write(
        folder.path().join("roadbed.toml"),
        format!("{app}\n{services}\n"),
    )
    .unwrap();
    folder
}
