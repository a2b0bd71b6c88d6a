//! What the conformance tests of the proxy need: programs from Debian, Python packages, and a
//! Python 2.7 for Autobahn's test suite, which no later one runs. Beside them, scipy for the test of
//! statistics.

use std::path::{Path, PathBuf};

use crate::debian;
use crate::report::Report;
use crate::workspace::{command, root};

/// Clients and servers that others wrote, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("curl", "curl"),
    ("nghttp", "nghttp2-client"),
    ("nghttpd", "nghttp2-server"),
    ("openssl", "openssl"),
    ("python3", "python3-venv"),
];

/// Where the packages are installed and the tests look for them.
const FOLDER: &str = "target/conformance";

/// The lists of the packages.
const LISTS: &str = "crates/proxy/tests/conformance";

/// The same for the test of statistics against scipy.
const STATISTICS: &str = "target/statistics/python3";
const STATISTICS_LIST: &str = "crates/measure/tests/scipy/requirements.txt";

/// The last version that makes environments for Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.15.1";

/// Sets all of it up.
pub(crate) fn run(report: &mut Report) {
    debian::install(report, &PROGRAMS);
    let make = |report: &mut Report, environment: &str| {
        let words = format!("-m venv --clear {environment}");
        report.check(
            "a virtual environment",
            &mut command(root(), "python3", &words),
        )
    };
    let (folder, list) = (
        format!("{FOLDER}/python3"),
        format!("{LISTS}/requirements.txt"),
    );
    environment(report, &folder, &list, make);
    environment(report, STATISTICS, STATISTICS_LIST, make);
    let Some(python) = python2() else {
        report.leave_out("Autobahn's test suite, since there is no Python 2.7".to_owned());
        return;
    };
    environment(
        report,
        &format!("{FOLDER}/python2"),
        &format!("{LISTS}/autobahn/requirements.txt"),
        |report, environment| make_for_python2(report, &python, environment),
    );
}

/// Installs the packages of a list into an environment of their own, unless they are there.
fn environment(
    report: &mut Report,
    environment: &str,
    list: &str,
    make: impl FnOnce(&mut Report, &str) -> bool,
) {
    let installed = root().join(environment).join("installed");
    let wanted = std::fs::read(root().join(list)).unwrap_or_default();
    if std::fs::read(&installed).is_ok_and(|there| there == wanted) {
        return;
    }
    if !make(report, environment) {
        return;
    }
    let pip = root()
        .join(environment)
        .join("bin/pip")
        .display()
        .to_string();
    let words = format!("install --quiet --disable-pip-version-check --requirement {list}");
    let install = &mut command(root(), &pip, &words);
    if report.check(&format!("packages of {list}"), install) {
        // Without it they are installed anew the next time, which does no harm.
        let _ = std::fs::write(installed, wanted);
    }
}

/// A Python 2.7: Debian has none any more, but pyenv may.
fn python2() -> Option<PathBuf> {
    let of_pyenv = command(root(), "pyenv", "whence --path python2.7").output();
    let of_pyenv = of_pyenv.map(|output| output.stdout).unwrap_or_default();
    let of_pyenv = String::from_utf8(of_pyenv).unwrap_or_default();
    let candidates = of_pyenv.lines().map(PathBuf::from);
    let mut candidates = candidates.chain(["python2.7".into(), "pypy".into()]);
    candidates.find(|python| {
        let version = command(root(), &python.display().to_string(), "--version").output();
        // It says so among its errors.
        version.is_ok_and(|version| {
            version.status.success() && version.stderr.starts_with(b"Python 2.7")
        })
    })
}

fn make_for_python2(report: &mut Report, python: &Path, environment: &str) -> bool {
    let python = python.display().to_string();
    let tools = format!("{FOLDER}/virtualenv");
    let words = format!(
        "-m pip install --quiet --disable-pip-version-check --upgrade --target {tools} {VIRTUALENV}"
    );
    let mut make = command(
        root(),
        &python,
        &format!("-m virtualenv --quiet --clear {environment}"),
    );
    make.env("PYTHONPATH", root().join(&tools));
    report.check(
        "virtualenv for Python 2.7",
        &mut command(root(), &python, &words),
    ) && report.check("a virtual environment for Python 2.7", &mut make)
}
