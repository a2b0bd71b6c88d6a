//! What documents say of the code has to be there.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::workspace::{command, root};

/// The document that names tests as evidence.
const DOCUMENT: &str = "ARCHITECTURE.md";

/// A name with fewer underscores may be a field or a module; tests' names are sentences.
const FEWEST_UNDERSCORES: usize = 3;

/// Every test that the architecture names and that is not there.
pub(crate) fn problems() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(DOCUMENT))
        .with_context(|| format!("reading {DOCUMENT}"))?;
    let files = command(root(), "git", "ls-files *.rs")
        .output()
        .context("starting git")?;
    let mut functions = BTreeSet::new();
    for file in String::from_utf8_lossy(&files.stdout).lines() {
        // A file that was removed and not committed has nothing in it.
        let code = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        functions.extend(functions_in(&code).map(str::to_owned));
    }
    let missing = named_in(&text).filter(|name| !functions.contains(*name));
    Ok(missing
        .map(|name| format!("{DOCUMENT} names the test {name}, which is not there"))
        .collect())
}

/// Names in backticks that look like those of tests.
fn named_in(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        word.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && word.matches('_').count() >= FEWEST_UNDERSCORES
    };
    text.split('`').skip(1).step_by(2).filter(is_name)
}

fn functions_in(code: &str) -> impl Iterator<Item = &str> {
    code.split("fn ").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_text_and_code() {
        let text = "See `a_test_that_is_named` in `crate::module` and `a_field`.";
        assert_eq!(named_in(text).collect::<Vec<_>>(), ["a_test_that_is_named"]);
        let code = "#[test]\nfn a_test_that_is_named() {}\nasync fn other<T>() {}";
        let functions: Vec<&str> = functions_in(code).collect();
        assert_eq!(functions, ["a_test_that_is_named", "other"]);
    }
}
