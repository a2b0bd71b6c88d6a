//! Fields that make browsers careful, for clients of HTTP/1.1 and HTTP/2, in the clear and in TLS.

use std::io::{Read, Write};

use http::Request;
use model::{Protocol, Snapshot};
use serde_json::json;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::free_address;
use crate::support::http2::{ask, connect, run};
use crate::support::stage::Stage;
use crate::support::tls::{self, Authority, agree, secure, trusting};
use crate::support::told::told;

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
fn errors_and_redirects_of_the_edge_have_them_too() {
    let stage = Stage::prepared(&[(free_address(), Protocol::Http)], &[], |snapshot| {
        careful(snapshot);
        for (path, careful) in [("/old", true), ("/older", false)] {
            let rule = json!({"host": "a.test", "path": path, "security_headers": careful,
                "redirect": {"status": 301, "path": {"whole": "/new"}}});
            let rule = serde_json::from_value(rule).unwrap();
            snapshot.routes.insert(path.into(), rule);
        }
    });
    const ALL: [&str; 5] = [
        "nosniff",
        "strict-origin-when-cross-origin",
        "frame-ancestors 'self'",
        "SAMEORIGIN",
        "",
    ];
    for (path, status, expected) in [
        ("/", 502, [""; 5]),
        ("/x", 502, ALL),
        ("/old", 301, ALL),
        ("/older", 301, [""; 5]),
        (
            "/widget",
            502,
            [ALL[0], ALL[1], "frame-ancestors *", "", ""],
        ),
    ] {
        for answer in told(stage.edge, &format!("GET a.test {path}")) {
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(NAMES.map(|name| answer.field(name)), expected, "{path}");
        }
    }
}

#[test]
fn errors_of_the_edge_have_browsers_stay_in_tls_there() {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let stage = Stage::prepared(&[(free_address(), Protocol::Http)], &[], |snapshot| {
        secure(snapshot, &[("a.test", &signed)]);
        careful(snapshot);
    });
    let config = |protocol| std::sync::Arc::new(trusting(&authority, &[protocol]));
    let mut client = agree(stage.edge, &config("http/1.1"), "a.test");
    let request = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 502 "), "{heard}");
    assert!(
        heard.contains("strict-transport-security: max-age=31536000\r\n"),
        "{heard}"
    );
    run(async {
        let client = tls::connect(stage.edge, &config("h2"), "a.test").await;
        let request = Request::get("https://a.test/x");
        let answer = ask(&client, request, None).await.unwrap();
        assert_eq!(answer.head.status, 502);
        let field = answer.field("strict-transport-security");
        assert_eq!(field, Some("max-age=31536000"));
    });
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
