//! What services are told of where a request came from and what it is called, over both versions
//! of HTTP on either side: from clients who are trusted to say it, and from all others.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use model::Protocol;
use serde_json::json;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, connect, echo, run};
use crate::support::{Builder, Setup, free_address};

/// An edge whose peers are trusted, or not; `old` speaks HTTP/1.1 and `new` HTTP/2. Both send back
/// the fields that they get: the one as its content, the other as its fields.
struct Edge {
    address: SocketAddr,
    mesh: SocketAddr,
    _setup: Setup,
}

impl Edge {
    fn new(trusted: &str) -> Self {
        let (address, mesh) = (free_address(), free_address());
        let old = Backend::start(|connection| {
            while let Some((head, _)) = connection.request() {
                connection.send(format!(
                    "HTTP/1.1 200 OK\r\nX-Request-Id: own\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                ));
            }
        });
        let limit = Duration::from_secs(5);
        let mut builder = Builder::generation(1)
            .edge(address)
            .http("old", &[old.address])
            .upstream("new", Protocol::Http2, limit, &[echo()])
            .mesh(mesh, "old")
            .route("old.test", "/", "old")
            .route("new.test", "/", "new");
        let listener = builder.0.listeners.get_mut("edge").unwrap();
        listener.trusted = trusted.parse().unwrap();
        let mut route = json!({"host": "old.test", "path": "/secure", "in_clear": true});
        route["redirect"] = json!({"status": 302, "https": true, "port": 443});
        let route = serde_json::from_value(route).unwrap();
        builder.0.routes.insert("secure".into(), route);
        let _setup = Setup::serving(&builder.0, &[]);
        Self {
            address,
            mesh,
            _setup,
        }
    }

    /// What a service says that it was told in `names`, and what the answer is called, for each
    /// pair of versions. Fields that are not there are empty.
    fn told(&self, sent: &[(&str, &str)], names: &[&str]) -> Vec<(Vec<String>, String)> {
        let mut all = Vec::new();
        for host in ["old.test", "new.test"] {
            let lines = sent
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            let mut client = Client::connect(self.address);
            let lines: String = lines.collect();
            client.send(format!("GET /x HTTP/1.1\r\nHost: {host}:81\r\n{lines}\r\n"));
            let answer = client.answer();
            let text = answer.text().to_owned();
            let field = |name: &str| answer.field(name).unwrap_or_default().to_owned();
            all.push((told(host, &text, &field, names), field("x-request-id")));
            run(async {
                let client = connect(self.address).await;
                let request = Request::get(format!("http://{host}:81/x"));
                let request = sent.iter().fold(request, |request, (name, value)| {
                    request.header(*name, *value)
                });
                let answer = ask(&client, request, None).await.unwrap();
                let field = |name: &str| answer.field(name).unwrap_or_default().to_owned();
                all.push((
                    told(host, answer.text(), &field, names),
                    field("x-request-id"),
                ));
            });
        }
        all
    }
}

/// What the service of `host` was told, from its answer.
fn told(host: &str, text: &str, field: &dyn Fn(&str) -> String, names: &[&str]) -> Vec<String> {
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let in_text = |name: &str| {
        let values = lines
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let values: Vec<_> = values.map(|(_, value)| *value).collect();
        values.join(" + ")
    };
    let value = |name: &&str| match host {
        "old.test" => in_text(name),
        _ => field(name),
    };
    names.iter().map(value).collect()
}

const FIELDS: [&str; 7] = [
    "x-forwarded-for",
    "forwarded",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "x_request_id",
];

const CLAIMS: [(&str, &str); 8] = [
    ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2"),
    ("forwarded", "for=7.7.7.7"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "shop.test"),
    ("x-forwarded-port", "8443"),
    ("x-real-ip", "6.6.6.6"),
    ("x-request-id", "abc-1"),
    ("x_request_id", "abc-2"),
];

#[test]
fn what_a_client_claims_is_replaced_by_what_is_seen() {
    let edge = Edge::new("192.0.2.0/24");
    let mut ids = BTreeSet::new();
    let told = edge.told(&CLAIMS, &FIELDS);
    for ((values, id), host) in told
        .iter()
        .zip(["old.test", "old.test", "new.test", "new.test"])
    {
        let host = format!("{host}:81");
        let seen = [
            "127.0.0.1",
            "for=127.0.0.1;proto=http",
            "http",
            &host,
            "81",
            "",
            "",
        ];
        assert_eq!(values[..], seen);
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id:?}"
        );
        assert!(ids.insert(id.clone()), "two requests are called {id}");
    }
}

#[test]
fn what_trusted_hops_say_is_kept_from_the_client_on() {
    let edge = Edge::new("127.0.0.0/8,10.0.0.0/8");
    for (values, id) in edge.told(&CLAIMS, &FIELDS) {
        let seen = [
            "192.0.2.1, 10.0.0.2, 127.0.0.1",
            "for=192.0.2.1;proto=https, for=10.0.0.2, for=127.0.0.1",
            "https",
            "shop.test",
            "8443",
            "",
            "",
        ];
        assert_eq!((&values[..], &*id), (&seen.map(str::to_owned)[..], "abc-1"));
    }
    let forwarded = [(
        "forwarded",
        r#"for=6.6.6.6, for="[2001:db8::1]:9";proto=https;host=b.test"#,
    )];
    for (values, id) in edge.told(&forwarded, &FIELDS[..5]) {
        let seen = [
            "2001:db8::1, 127.0.0.1",
            "for=\"[2001:db8::1]\";proto=https, for=127.0.0.1",
            "https",
            "b.test",
            "443",
        ];
        assert_eq!(values[..], seen);
        assert_eq!(id.len(), 32);
    }
}

#[test]
fn the_service_is_told_the_name_that_the_client_is_told() {
    let edge = Edge::new("none");
    for (values, id) in edge.told(&[], &["x-request-id"]) {
        assert_eq!(values, [id]);
    }
    // Between services the name passes as it is, and is not put into answers.
    let mut client = Client::connect(edge.mesh);
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n");
    let answer = client.answer();
    let text = answer.text().to_ascii_lowercase();
    assert!(
        text.contains("x-request-id: one\r\nx-forwarded-for: 1.1.1.1\r\n"),
        "{text}"
    );
    assert_eq!(answer.field("x-request-id"), Some("own"));
}

#[test]
fn errors_and_redirects_are_called_by_a_name_too() {
    let edge = Edge::new("127.0.0.1");
    let named = ("x-request-id", "abc-1");
    let secure = ("x-forwarded-proto", "https");
    for (target, fields, status) in [
        ("nobody.test /", &[named][..], 404),
        ("old.test /secure", &[named], 302),
        // The client speaks TLS to the hop in front: it is not sent in a circle.
        ("old.test /secure", &[named, secure], 200),
    ] {
        let (host, path) = target.split_once(' ').unwrap();
        let lines: String = fields
            .iter()
            .map(|(n, v)| format!("{n}: {v}\r\n"))
            .collect();
        let mut client = Client::connect(edge.address);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("x-request-id")),
            (status, Some("abc-1"))
        );
        run(async {
            let client = connect(edge.address).await;
            let request = Request::get(format!("http://{host}{path}"));
            let request = fields
                .iter()
                .fold(request, |request, (n, v)| request.header(*n, *v));
            let answer = ask(&client, request, None).await.unwrap();
            let got = (answer.head.status.as_u16(), answer.field("x-request-id"));
            assert_eq!(got, (status, Some("abc-1")), "{target}");
        });
    }
}

#[test]
fn a_request_in_a_circle_is_answered_and_not_passed_on() {
    let edge = Edge::new("127.0.0.1");
    let way = vec!["127.0.0.1"; 40].join(", ");
    let mut client = Client::connect(edge.address);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: old.test\r\nX-Forwarded-For: {way}\r\n\r\n"
    ));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("roadbed-reason")),
        (508, Some("loop"))
    );
    assert_eq!(client.get("old.test", "/").status, 200);
    run(async {
        let client = connect(edge.address).await;
        let request = Request::get("http://new.test/").header("x-forwarded-for", &way);
        let answer = ask(&client, request, None).await.unwrap();
        assert_eq!(answer.field("roadbed-reason"), Some("loop"));
    });
}
