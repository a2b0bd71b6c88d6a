//! Fields that make browsers careful, for clients of HTTP/1.1 and HTTP/2, in the clear and in TLS.

use std::io::{Read, Write};

use http::Request;
use model::{Protocol, Snapshot};
use serde_json::json;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, connect, run};
use crate::support::stage::Stage;
use crate::support::tls::{self, Authority, agree, secure, trusting};

const NAMES: [&str; 5] = [
    "x-content-type-options",
    "referrer-policy",
    "content-security-policy",
    "x-frame-options",
    "strict-transport-security",
];

/// A service that says one of the fields itself.
fn service() -> Backend {
    Backend::start(|connection| {
        while connection.request().is_some() {
            connection.send(
                "HTTP/1.1 200 OK\r\nReferrer-Policy: no-referrer\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    })
}

/// Has `/x` be careful, and `/widget` but for what its route says.
fn careful(snapshot: &mut Snapshot) {
    for (path, changes) in [
        ("/x", json!({})),
        (
            "/widget",
            json!({"set": {"content-security-policy": "frame-ancestors *"}, "remove": ["x-frame-options"]}),
        ),
    ] {
        let rule = json!({"host": "a.test", "path": path, "upstream": "app/web",
            "security_headers": true, "response_headers": changes});
        let rule = serde_json::from_value(rule).unwrap();
        snapshot.routes.insert(path.into(), rule);
    }
}

#[test]
fn fields_are_added_that_the_service_does_not_say_and_the_route_does_not_change() {
    let backend = service();
    let stage = Stage::prepared(&[(backend.address, Protocol::Http)], &[], careful);
    for (path, expected) in [
        ("/", ["", "no-referrer", "", "", ""]),
        (
            "/x",
            [
                "nosniff",
                "no-referrer",
                "frame-ancestors 'self'",
                "SAMEORIGIN",
                "",
            ],
        ),
        (
            "/widget",
            ["nosniff", "no-referrer", "frame-ancestors *", "", ""],
        ),
    ] {
        let old = Client::connect(stage.edge).get("a.test", path);
        let fields = NAMES.map(|name| old.field(name).unwrap_or_default());
        assert_eq!(fields, expected, "{path}");
        assert_eq!(
            old.head
                .to_ascii_lowercase()
                .matches("referrer-policy")
                .count(),
            1
        );
        run(async {
            let client = connect(stage.edge).await;
            let request = Request::get(format!("http://a.test{path}"));
            let new = ask(&client, request, None).await.unwrap();
            let fields = NAMES.map(|name| new.field(name).unwrap_or_default());
            assert_eq!(fields, expected, "{path}");
        });
    }
}

#[test]
fn only_in_tls_a_browser_is_told_to_stay_there() {
    let backend = service();
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let stage = Stage::prepared(&[(backend.address, Protocol::Http)], &[], |snapshot| {
        secure(snapshot, &[("a.test", &signed)]);
        careful(snapshot);
    });
    let config = |protocol| std::sync::Arc::new(trusting(&authority, &[protocol]));
    let mut client = agree(stage.edge, &config("http/1.1"), "a.test");
    write!(
        client,
        "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert!(
        heard.contains("strict-transport-security: max-age=31536000\r\n"),
        "{heard}"
    );
    run(async {
        let client = tls::connect(stage.edge, &config("h2"), "a.test").await;
        let answer = ask(&client, Request::get("https://a.test/x"), None)
            .await
            .unwrap();
        assert_eq!(
            answer.field("strict-transport-security"),
            Some("max-age=31536000")
        );
    });
}
