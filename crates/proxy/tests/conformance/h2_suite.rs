//! HTTP/2 by raw frames, as others list the cases of RFC 9113 sections 3 to 8 and RFC 7541; and
//! attacks, each with another client beside it.

use crate::others::{installed, origin, run};
use crate::support::edge_to;

/// Limits that an attack can be seen to run into.
const LIMITS: [&str; 4] = [
    "head=1000",
    "body-idle=1000",
    "keep-alive=2000",
    "linger=500",
];

#[test]
fn frames_mean_what_rfc_9113_sections_3_to_8_say() {
    let Some(python) = installed("cases of HTTP/2 by frames", "python3/bin/python") else {
        return;
    };
    let backend = origin();
    let (_setup, edge) = edge_to(&backend, &[]);
    run(&python, "h2/suite.py", edge, &[], 167);
}

#[test]
fn attacks_by_frames_are_ended_in_bounded_memory_and_others_are_served() {
    let Some(python) = installed("attacks by frames of HTTP/2", "python3/bin/python") else {
        return;
    };
    let backend = origin();
    let (mut setup, edge) = edge_to(&backend, &LIMITS);
    let process = setup.proxy.0.id().to_string();
    run(&python, "h2/abuse.py", edge, &[process], 21);
    assert!(
        setup.proxy.0.try_wait().unwrap().is_none(),
        "the proxy has ended"
    );
}
