//! HTTP/2 by raw frames, as others list the cases of RFC 9113 sections 3 to 8 and RFC 7541.

use std::process::Command;

use crate::others::{beside, installed, origin, output, place};
use crate::support::edge_to;

/// As many cases as there are; fewer would mean that some were forgotten.
const CASES: usize = 165;

#[test]
fn frames_mean_what_rfc_9113_sections_3_to_8_say() {
    let Some(python) = installed("cases of HTTP/2 by frames", "python3/bin/python") else {
        return;
    };
    let backend = origin();
    let (_setup, edge) = edge_to(&backend, &[]);
    let mut suite = Command::new(python);
    suite.args(["-B".into(), beside("h2/suite.py"), place(edge).into()]);
    let (output, text) = output(&mut suite);
    let failed: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(output.status.success());
    let passed = text.lines().filter(|line| line.ends_with("... ok")).count();
    assert!(passed >= CASES, "only {passed} cases were run");
}
