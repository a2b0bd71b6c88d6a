//! What a service declares of balancing, from its file to the requests.

use std::collections::BTreeSet;
use std::net::TcpStream;

use crate::support::apps::{AppFolder, SOLO};
use crate::support::http::converse;
use crate::support::{Machine, until};

const DECLARED: &str = r#"
app = "solo"
[services.web]
run         = "./trivial"
replicas    = 4
expose      = { host = "solo.localhost" }
health      = { path = "/healthz" }
balance     = { cookie = "session" }
overload    = { latency = "5s" }
connections = { most = 50, lifetime = "1m" }
"#;

/// The instance that answers a request with this field.
fn asked(machine: &Machine, field: &str) -> String {
    let stream = TcpStream::connect(machine.edge).unwrap();
    let request = format!(
        "GET /env?name=ROADBED_INSTANCE HTTP/1.1\r\nHost: {SOLO}\r\nConnection: close\r\n{field}\r\n\r\n"
    );
    let answer = converse(stream, request.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[test]
fn requests_of_a_session_stay_together_and_others_go_anywhere() {
    let machine = Machine::new();
    machine.up(&AppFolder::new(DECLARED));
    let sessions: Vec<String> = (0..20)
        .map(|session| asked(&machine, &format!("Cookie: a=1; session=s{session}")))
        .collect();
    assert!(sessions.iter().collect::<BTreeSet<_>>().len() > 1);
    for (session, instance) in sessions.iter().enumerate() {
        let again = asked(&machine, &format!("Cookie: session=s{session}"));
        assert_eq!(again, *instance);
    }
    let mut others = BTreeSet::new();
    until("others are answered by all", || {
        others.insert(asked(&machine, "X-Other: 1"));
        others.len() == 4
    });
}
