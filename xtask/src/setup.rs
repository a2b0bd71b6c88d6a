//! What the tests need besides Rust: programs from Debian, packages under `target/`, and the
//! programs that they start, built once.

use std::path::Path;

use crate::report::{Report, say};
use crate::workspace::{cargo, command, root};

/// Programs that tests start or examples are made of, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("python3", "python3-venv"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// Sets everything up. What cannot be had is left out, what does not build has failed.
pub(crate) fn run(report: &mut Report) {
    debian_packages(report);
    let polyglot = root().join("examples/polyglot");
    if missing().is_empty() {
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

fn debian_packages(report: &mut Report) {
    let packages = missing();
    if packages.is_empty() {
        return;
    }
    let packages = packages.join(" ");
    if is_root() && is_installed("apt-get") {
        let update = &mut command(root(), "apt-get", "update --quiet");
        if report.check("lists of Debian packages", update) {
            let words = format!("install --yes --quiet --no-install-recommends {packages}");
            let mut install = command(root(), "apt-get", &words);
            // No question may stop the run.
            install.env("DEBIAN_FRONTEND", "noninteractive");
            report.check(&format!("install {packages}"), &mut install);
        }
    } else {
        say("some programs are missing, and only root can install them");
    }
    for package in missing() {
        report.leave_out(format!(
            "what needs {package}; on Debian: apt-get install {package}"
        ));
    }
}

/// The packages whose programs are not there.
fn missing() -> Vec<&'static str> {
    PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect()
}

/// Whether a program is in a folder of `PATH`.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}

fn is_root() -> bool {
    let user = command(root(), "id", "-u").output();
    user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
