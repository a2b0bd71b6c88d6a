//! Who may depend on whom, and under which licences.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{cargo, root};

/// The crates of each level, lowest first. A crate may depend on those of lower levels; those that
/// share a level are strangers to each other.
const LEVELS: [&[&str]; 4] = [
    &["roadbed-model", "roadbed-measure"],
    &[
        "roadbed-artifacts",
        "roadbed-spec",
        "roadbed-store",
        "roadbed-plan",
        "roadbed-runner",
        "roadbed-proxy",
        "roadbed-identity",
    ],
    &["roadbed-control"],
    &["roadbed"],
];

/// Crates beside the levels: they may depend on anything, and tests may depend on the first two.
const BESIDE: [&str; 3] = ["roadbed-bench", "roadbed-sim", "xtask"];

/// What may be in the program: licences that ask for no more than a notice.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Every dependency between crates of the workspace that the order does not allow.
pub(crate) fn order_problems() -> Result<Vec<String>> {
    let in_use = tree(
        root(),
        "--depth 1 --prefix depth --edges normal,build --format {p}",
    )?;
    let in_tests = tree(root(), "--depth 1 --prefix depth --edges dev --format {p}")?;
    let mut problems = order_of(&in_use, &[]);
    problems.extend(order_of(&in_tests, &BESIDE[..2]));
    Ok(problems)
}

/// Reads lines as `0roadbed-control v0.1.0 (/path)`, followed by its dependencies with depth 1.
fn order_of(tree: &str, also_allowed: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut dependent = "";
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, package) = line.split_at(1);
        let package = package.split(' ').next().unwrap_or_default();
        if depth == "0" {
            dependent = package;
            if level(package).is_none() && !BESIDE.contains(&package) {
                problems.push(format!(
                    "{package} has no level in xtask/src/check/crates.rs"
                ));
            }
            continue;
        }
        let ours = level(package).is_some() || BESIDE.contains(&package);
        let lower = level(package) < level(dependent) && level(package).is_some();
        let free = BESIDE.contains(&dependent) || also_allowed.contains(&package);
        if ours && !lower && !free {
            problems.push(format!(
                "{dependent} depends on {package}, which is not below it"
            ));
        }
    }
    problems
}

fn level(package: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&package))
}

/// Every dependency of a workspace whose licence is not among those allowed.
pub(crate) fn licence_problems(folder: &Path) -> Result<Vec<String>> {
    let tree = tree(
        folder,
        "--prefix none --edges normal,build --no-dedupe --format {p};{l}",
    )?;
    let mut problems: Vec<String> = tree
        .lines()
        .filter_map(|line| line.split_once(';'))
        .filter(|(_, licence)| !is_allowed(licence))
        .map(|(package, licence)| format!("{package} has the licence {licence:?}"))
        .collect();
    problems.sort();
    problems.dedup();
    Ok(problems)
}

/// Whether one of the alternatives asks for nothing but allowed licences. Of expressions with both
/// words the brackets are dropped, which only makes the answer stricter: each part of the weaker
/// word must then hold by itself.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let known = |licence: &str| LICENCES.contains(&licence.trim());
    if expression.contains(" AND ") {
        return expression
            .split(" AND ")
            .all(|part| part.split(" OR ").any(known));
    }
    expression.split(" OR ").any(known)
}

fn tree(folder: &Path, words: &str) -> Result<String> {
    let mut command = cargo(folder, "tree --workspace --quiet");
    let output = command
        .args(words.split(' '))
        .output()
        .context("starting cargo tree")?;
    if !output.status.success() {
        bail!(
            "cargo tree failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("cargo tree printed what is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_or_a_higher_crate_is_refused() {
        let good = "0roadbed-control v0.1.0 (/x)\n1roadbed-spec v0.1.0 (/x)\n1serde v1.0.0\n\n\
                    0roadbed-bench v0.1.0 (/x)\n1roadbed v0.1.0 (/x)\n";
        assert!(order_of(good, &[]).is_empty());
        let bad = "0roadbed-spec v0.1.0 (/x)\n1roadbed-store v0.1.0 (/x)\n1roadbed-control v0.1.0\n\
                   0roadbed-model v0.1.0\n1roadbed-bench v0.1.0\n0stranger v0.1.0\n";
        assert_eq!(order_of(bad, &[]).len(), 4);
        assert_eq!(order_of(bad, &["roadbed-bench"]).len(), 3);
    }

    #[test]
    fn licences_are_read_as_expressions() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MPL-2.0"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
