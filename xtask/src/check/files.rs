//! Rules for the files of the project.

use anyhow::{Context, Result, bail};

use crate::workspace::{command, root};

/// A file that is longer is about more than one thing.
const MOST_LINES: usize = 500;

/// Every file that breaks a rule: code that is too long or does not say what it is for, and texts
/// that name a folder of the machine they were written on.
pub(crate) fn problems() -> Result<Vec<String>> {
    let mut command = command(
        root(),
        "git",
        "ls-files -z --cached --others --exclude-standard",
    );
    let output = command.output().context("starting git")?;
    if !output.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let own_path = own_path();
    let mut problems = Vec::new();
    for name in output
        .stdout
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let name = String::from_utf8_lossy(name);
        // A file that was removed but not committed, or that is no text, has nothing to check.
        if let Ok(text) = std::fs::read_to_string(root().join(&*name)) {
            problems.extend(problems_of(&name, &text, own_path.as_deref()));
        }
    }
    Ok(problems)
}

/// The folder that the checkout is in, unless it is so short that texts may well mean another.
fn own_path() -> Option<String> {
    let parent = root().parent()?.to_str()?;
    (parent.len() > 1 && parent != "/tmp").then(|| format!("{parent}/"))
}

fn problems_of(name: &str, text: &str, own_path: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    if name.ends_with(".rs") {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            problems.push(format!("{name}: {lines} lines, {MOST_LINES} are allowed"));
        }
        // A fuzz target has to open with an attribute of the whole crate.
        let first = text.lines().find(|line| !line.starts_with("#!["));
        if !first.is_some_and(|line| line.starts_with("//!")) {
            problems.push(format!(
                "{name}: does not open with a \"//!\" line that says its purpose"
            ));
        }
    }
    if let Some(path) = own_path
        && let Some(line) = text.lines().position(|line| line.contains(path))
    {
        problems.push(format!(
            "{name}:{}: names {path}, a folder of this machine",
            line + 1
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_breach() {
        assert!(problems_of("a.rs", "//! Purpose.\n", Some("/home/me/")).is_empty());
        assert!(problems_of("a.rs", "#![no_main]\n//! Purpose.\n", None).is_empty());
        let long = format!("//! Purpose.\n{}", "\n".repeat(MOST_LINES));
        for bad in ["fn main() {}\n", "", "//! In /home/me/code.\n", &long] {
            assert_eq!(
                problems_of("a.rs", bad, Some("/home/me/")).len(),
                1,
                "{bad:?}"
            );
        }
        assert_eq!(
            problems_of("a.md", "see /home/me/x", Some("/home/me/")).len(),
            1
        );
    }
}
