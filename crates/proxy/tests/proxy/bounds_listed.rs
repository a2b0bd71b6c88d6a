//! Each bound has a test that drives the proxy to it, or a reason why there is none: what
//! `tests/bounds.txt` says of that is complete, and the tests that it names are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The bounds that `limits.rs` has: constants, and fields of `Limits`.
fn bounds() -> BTreeSet<&'static str> {
    let source = include_str!("../../src/limits.rs");
    let names = source.lines().filter_map(|line| {
        let declared = line.strip_prefix("pub const ");
        let declared = declared.or_else(|| line.strip_prefix("    pub "))?;
        Some(declared.split_once(':')?.0)
    });
    names.collect()
}

#[test]
fn each_bound_is_listed_with_a_test_that_is_there_or_the_reason_why_there_is_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut listed = BTreeSet::new();
    for line in include_str!("../bounds.txt").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, shown) = line.split_once(' ').expect(line);
        assert!(listed.insert(name), "{name} is there twice");
        let shown = shown.trim();
        if let Some(reason) = shown.strip_prefix("none:") {
            assert!(!reason.trim().is_empty(), "{line}");
            continue;
        }
        for test in shown.split_whitespace() {
            let (file, test) = test.split_once("::").expect(line);
            let source = fs::read_to_string(root.join(file)).expect(line);
            let is_there =
                source.contains(&format!("fn {test}(")) || source.contains(&format!("def {test}("));
            assert!(is_there, "{file} has no {test}: {line}");
        }
    }
    assert_eq!(listed, bounds());
}
