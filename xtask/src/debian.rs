//! Programs that come in Debian packages.

use crate::report::{Report, say};
use crate::workspace::{command, root};

/// Installs the packages of programs that are not there. What cannot be had is left out.
pub(crate) fn install(report: &mut Report, programs: &[(&str, &str)]) {
    let packages = missing(programs);
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
    for package in missing(programs) {
        report.leave_out(format!(
            "what needs {package}; on Debian: apt-get install {package}"
        ));
    }
}

/// The packages whose programs are not there.
pub(crate) fn missing<'a>(programs: &[(&str, &'a str)]) -> Vec<&'a str> {
    programs
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect()
}

/// Whether a program is in a folder of `PATH`, or where root's are.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    let user = command(root(), "id", "-u").output();
    user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
