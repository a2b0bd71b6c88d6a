//! Services that speak something else than HTTP/1.1, as far as the server is concerned.

use serde_json::Value;

use crate::support::{AppFolder, Machine};

#[test]
fn callers_are_told_where_services_of_every_protocol_are() {
    let machine = Machine::new();
    machine.up(&AppFolder::new(
        r#"
app = "spoken"
[services.web]
run    = "./trivial"
uses   = ["catalog", "stock"]
expose = { host = "spoken.localhost" }
[services.catalog]
run      = "./trivial"
protocol = "grpc"
[services.stock]
run      = "./trivial"
protocol = "http2"
"#,
    ));
    let value = |name: &str| {
        let answer = machine.get("spoken.localhost", &format!("/env?name={name}"));
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        answer.body
    };
    for used in ["CATALOG", "STOCK"] {
        let address = value(&format!("{used}_ADDR"));
        assert!(address.starts_with("127.0.0.1:1"), "{address}");
        assert_eq!(value(&format!("{used}_URL")), format!("http://{address}"));
    }
    let status: Value = serde_json::from_str(&machine.ok(&["status", "spoken", "--json"])).unwrap();
    let services = status["services"].as_array().unwrap();
    let protocols = services.iter().map(|service| service["protocol"].as_str());
    let expected = [Some("grpc"), Some("http2"), Some("http")];
    assert_eq!(protocols.collect::<Vec<_>>(), expected);
}

#[test]
fn a_program_that_does_not_speak_what_is_declared_is_told_so() {
    let machine = Machine::new();
    for (health, expected) in [
        (
            "grpc = \"\"",
            "its last probe said: POST /grpc.health.v1.Health/Check was not answered in HTTP/2: what came is no frame",
        ),
        (
            "path = \"/healthz\"",
            "its last probe said: GET /healthz was not answered in HTTP/2: what came is no frame",
        ),
    ] {
        let app = AppFolder::new(&format!(
            r#"
app = "spoken"
[services.catalog]
run      = "./trivial"
protocol = "grpc"
health   = {{ {health}, timeout = "1s", deadline = "1s" }}
"#
        ));
        machine
            .try_up(&app)
            .failed(&[" of spoken failed: catalog.", expected]);
        machine.run(&["down", "--all"]);
    }
}
