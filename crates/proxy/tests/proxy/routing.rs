//! Rules of the edge through the real proxy, for clients of HTTP/1.1 and HTTP/2 alike, and for
//! services of either.

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use model::Protocol;
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{Whole, ask, connect, echo, run};
use crate::support::{Builder, Setup, free_address};

impl Builder {
    /// With a rule for `host` that is written as in a snapshot.
    pub(crate) fn rule(mut self, host: &str, mut rule: Value) -> Self {
        rule["host"] = host.into();
        if rule.get("path").is_none() {
            rule["path"] = "/".into();
        }
        let key = format!("{:03}", self.0.routes.len());
        rule["order"] = self.0.routes.len().into();
        self.0
            .routes
            .insert(key, serde_json::from_value(rule).unwrap());
        self
    }
}

/// An edge in front of `web` and `next`, which speak HTTP/1.1, and `modern`, which speaks HTTP/2.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) web: Backend,
    pub(crate) builder: Builder,
}

impl Edge {
    pub(crate) fn new() -> Self {
        let (web, next) = (Backend::echo("web"), Backend::echo("next"));
        let address = free_address();
        let limit = Duration::from_secs(5);
        let builder = Builder::generation(1)
            .edge(address)
            .http("web", &[web.address])
            .http("next", &[next.address])
            .upstream("modern", Protocol::Http2, limit, &[echo()]);
        Self {
            address,
            web,
            builder,
        }
    }

    pub(crate) fn rule(mut self, host: &str, rule: Value) -> Self {
        self.builder = self.builder.rule(host, rule);
        self
    }

    pub(crate) fn serve(&self) -> Setup {
        Setup::serving(&self.builder.0, &[])
    }

    /// What a client of either version is answered: status, a field, and content.
    pub(crate) fn asked(&self, request: &str, field: &str) -> [(u16, String, String); 2] {
        let (line, fields) = request.split_once('\n').unwrap_or((request, ""));
        let [method, host, target] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let mut client = Client::connect(self.address);
        let lines: String = fields
            .lines()
            .map(|line| format!("{}\r\n", line.trim()))
            .collect();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"
        ));
        let old = client.answer();
        let field_of = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let old = (
            old.status,
            field_of(old.field(field)),
            old.text().to_owned(),
        );
        let mut new = None;
        run(async {
            let client = connect(self.address).await;
            let mut request = Request::builder()
                .method(method)
                .uri(format!("http://{host}{target}"));
            for line in fields.lines() {
                let (name, value) = line.trim().split_once(": ").unwrap();
                request = request.header(name.to_ascii_lowercase(), value);
            }
            let answer: Whole = ask(&client, request, None).await.unwrap();
            let status = answer.head.status.as_u16();
            new = Some((
                status,
                field_of(answer.field(field)),
                answer.text().to_owned(),
            ));
        });
        [old, new.unwrap()]
    }

    /// Checks which service answers, and for which path.
    #[track_caller]
    pub(crate) fn expect(&self, request: &str, service: &str) {
        for (_, _, text) in self.asked(request, "x") {
            assert_eq!(text.trim_end(), service, "{request}");
        }
    }

    #[track_caller]
    fn expect_redirect(&self, request: &str, status: u16, location: &str) {
        for (got, field, text) in self.asked(request, "location") {
            assert_eq!((got, &*field, &*text), (status, location, ""), "{request}");
        }
    }

    #[track_caller]
    pub(crate) fn expect_error(&self, request: &str, status: u16, reason: &str) {
        for (got, field, _) in self.asked(request, "roadbed-reason") {
            assert_eq!((got, &*field), (status, reason), "{request}");
        }
    }
}

#[test]
fn hosts_are_found_from_the_exact_one_to_any() {
    let edge = Edge::new()
        .rule("*", json!({"upstream": "app/next", "path": "/any"}))
        .rule("*.a.test", json!({"upstream": "app/next"}))
        .rule("x.a.test", json!({"upstream": "app/web", "path": "/x"}));
    let _setup = edge.serve();
    edge.expect("GET x.a.test /x", "web /x");
    edge.expect("GET x.a.test /y", "next /y");
    edge.expect("GET z.y.a.test /x", "next /x");
    edge.expect("GET b.test /any/thing", "next /any/thing");
    edge.expect_error("GET a.test /x", 404, "no-route");
}

#[test]
fn paths_are_found_from_the_exact_one_to_the_longest_prefix() {
    let edge = Edge::new()
        .rule("a.test", json!({"upstream": "app/web"}))
        .rule(
            "a.test",
            json!({"upstream": "app/next", "path": {"template": "/users/{id}/orders"}}),
        )
        .rule(
            "a.test",
            json!({"upstream": "app/web", "path": {"exact": "/users/me/orders"}}),
        )
        .rule(
            "a.test",
            json!({"upstream": "app/next", "path": {"template": "/files/{f...}"}}),
        );
    let _setup = edge.serve();
    edge.expect("GET a.test /users/1/orders?x=y", "next /users/1/orders?x=y");
    edge.expect("GET a.test /users/me/orders", "web /users/me/orders");
    edge.expect("GET a.test /users/1/orders/2", "web /users/1/orders/2");
    edge.expect("GET a.test /files/a/b", "next /files/a/b");
}

#[test]
fn methods_headers_parameters_and_cookies_are_conditions() {
    let edge = Edge::new()
        .rule("a.test", json!({"upstream": "app/web"}))
        .rule(
            "a.test",
            json!({"upstream": "app/next", "methods": ["PUT"]}),
        )
        .rule(
            "a.test",
            json!({"upstream": "app/next", "headers": {"x-beta": {"prefix": "o"}}}),
        )
        .rule(
            "a.test",
            json!({"upstream": "app/next", "query": {"v": {"exact": "2"}}}),
        )
        .rule(
            "a.test",
            json!({"upstream": "app/next", "cookies": {"beta": "present"}}),
        );
    let _setup = edge.serve();
    edge.expect("GET a.test /", "web /");
    edge.expect("PUT a.test /", "next /");
    edge.expect("GET a.test /\nX-Beta: on", "next /");
    edge.expect("GET a.test /\nX-Beta: no", "web /");
    edge.expect("GET a.test /?w=1&v=2", "next /?w=1&v=2");
    edge.expect("GET a.test /?v=1", "web /?v=1");
    edge.expect("GET a.test /\nCookie: a=b; beta=", "next /");
    edge.expect("GET a.test /\nCookie: alphabeta=1", "web /");
    // What is for one connection only is not passed on, and is no condition either.
    let mut client = Client::connect(edge.address);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: x-beta\r\nX-Beta: on\r\n\r\n");
    assert_eq!(client.answer().text(), "web / ");
}

#[test]
fn services_share_requests_by_weight() {
    let shares = json!([
        {"service": "app/web", "weight": 3},
        {"service": "app/next", "weight": 1},
        {"service": "app/none", "weight": 0},
    ]);
    let edge = Edge::new().rule("a.test", json!({"split": shares}));
    let _setup = edge.serve();
    let mut client = Client::connect(edge.address);
    let is_web = |text: &str| text.starts_with("web");
    let count = (0..1000)
        .filter(|_| is_web(client.get("a.test", "/").text()))
        .count();
    // Five standard deviations on either side.
    assert!((680..820).contains(&count), "{count} of 1000");
}

#[test]
fn redirects_lead_to_another_path_host_or_scheme() {
    let edge = Edge::new()
        .rule(
            "a.test",
            json!({"path": "/old", "redirect": {"status": 301, "path": {"prefix": "/new"}}}),
        )
        .rule(
            "a.test",
            json!({"path": "/gone", "redirect": {"status": 302, "path": {"whole": "/"}}}),
        )
        .rule(
            "b.test",
            json!({"redirect": {"status": 307, "host": "a.test"}}),
        )
        .rule(
            "a.test",
            json!({"path": {"template": "/o/{id}/{rest...}"},
                   "redirect": {"status": 308, "path": {"template": "/{rest...}"}}}),
        )
        .rule(
            "a.test",
            json!({"in_clear": true, "redirect": {"status": 308, "https": true, "port": 8443}}),
        );
    let _setup = edge.serve();
    edge.expect_redirect("GET a.test /old/b?c=d", 301, "/new/b?c=d");
    edge.expect_redirect("GET a.test /gone/b?c=d", 302, "/?c=d");
    edge.expect_redirect("GET a.test /o/1//evil.test/?c", 308, "/evil.test/?c");
    edge.expect_redirect("GET b.test:8080 /x", 307, "http://a.test:8080/x");
    edge.expect_redirect("GET A.test:8080 /x?y", 308, "https://A.test:8443/x?y");
    // Another request follows on the same connection.
    let mut client = Client::connect(edge.address);
    assert_eq!(client.get("a.test", "/old").field("location"), Some("/new"));
    assert_eq!(
        client.get("a.test", "/old").field("roadbed-reason"),
        Some("redirect")
    );
    // With a body none does: what is left of it would be taken for one.
    client.send("POST /old HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.answer().field("connection"), Some("close"));
}

#[test]
fn a_service_sees_the_rewritten_path() {
    let strip = |to: &str| json!({"path": "/api", "upstream": to, "rewrite": {"prefix": "/"}});
    let edge = Edge::new()
        .rule("a.test", strip("app/web"))
        .rule(
            "b.test",
            json!({"path": "/api", "upstream": "app/web", "rewrite": {"prefix": "/v2"}}),
        )
        .rule(
            "c.test",
            json!({"upstream": "app/web", "rewrite": {"whole": "/x"}}),
        )
        .rule("d.test", strip("app/modern"));
    let found = |to: &str| {
        json!({
            "upstream": to, "path": {"template": "/u/{id}/{rest...}"},
            "rewrite": {"template": "/users/{rest...}"},
        })
    };
    let swapped = |to: &str| {
        json!({
            "upstream": to, "path": {"template": "/s/{a}/{b}"}, "rewrite": {"template": "/{b}/{a}"},
        })
    };
    let edge = edge
        .rule("e.test", found("app/web"))
        .rule("e.test", swapped("app/web"))
        .rule("f.test", found("app/modern"))
        .rule("f.test", swapped("app/modern"));
    let _setup = edge.serve();
    edge.expect("GET e.test /u/1/a/b?c=d", "web /users/a/b?c=d");
    edge.expect("GET e.test /s/1/%2E2?c", "web /%2E2/1?c");
    edge.expect("GET f.test /u/1/a/b?c=d", "GET http://f.test/users/a/b?c=d");
    edge.expect("GET f.test /s/1/2?c", "GET http://f.test/2/1?c");
    edge.expect("GET a.test /api/b?c=d", "web /b?c=d");
    edge.expect("GET a.test /api", "web /");
    edge.expect("GET a.test /api//b.test/", "web /b.test/");
    edge.expect("GET b.test /api/b", "web /v2/b");
    edge.expect("GET c.test /a/b?c", "web /x?c");
    edge.expect("GET d.test /api/b?c", "GET http://d.test/b?c");
}

#[test]
fn fields_of_requests_and_answers_are_changed() {
    let requests = json!({
        "set": {"x-one": "new"},
        "add": {"x-two": "more"},
        "remove": ["x-three"],
    });
    let answers = json!({"set": {"x-served-by": "edge"}, "remove": ["content-type", "x-three"]});
    let rule = |to: &str| json!({"upstream": to, "request_headers": requests, "response_headers": answers});
    let edge = Edge::new()
        .rule("a.test", rule("app/web"))
        .rule("d.test", rule("app/modern"));
    let _setup = edge.serve();
    let sent = "X-One: old\nx_one: other\nX-Two: 1\nX-Three: gone\nX-ONE: older\nX-Four: stays";
    for host in ["a.test", "d.test"] {
        for (status, served, _) in edge.asked(&format!("GET {host} /\n{sent}"), "x-served-by") {
            assert_eq!((status, &*served), (200, "edge"));
        }
    }
    let received = edge.web.received().concat();
    let heads: Vec<&str> = received.split_terminator("\r\n\r\n").collect();
    assert_eq!(heads.len(), 2, "one of each version: {received}");
    for head in heads {
        let lower = head.to_ascii_lowercase();
        let mut fields: Vec<&str> = lower.lines().filter(|line| line.starts_with('x')).collect();
        let is_of_edge =
            |line: &str| line.starts_with("x-forwarded") || line.starts_with("x-request");
        fields.retain(|line| !is_of_edge(line));
        fields.sort_unstable();
        let expected = [
            "x-four: stays",
            "x-one: new",
            "x-two: 1",
            "x-two: more",
            "x_one: other",
        ];
        assert_eq!(fields, expected);
    }
    // What the service of HTTP/2 sends back is what it was sent.
    for (name, expected) in [("x-one", "new"), ("x-three", ""), ("x-four", "stays")] {
        for (_, value, _) in edge.asked(&format!("GET d.test /\n{sent}"), name) {
            assert_eq!(value, expected, "{name}");
        }
    }
}

#[test]
fn a_route_has_a_timeout_of_its_own() {
    let silent = Backend::start(|connection| connection.drain());
    let rule = |to: &str| json!({"upstream": to, "timeout": {"secs": 0, "nanos": 50_000_000}});
    let mut edge = Edge::new().rule("a.test", rule("app/silent"));
    edge.builder = edge.builder.http("silent", &[silent.address]);
    let _setup = edge.serve();
    edge.expect_error("GET a.test /", 504, "timeout");
}

#[test]
fn a_request_with_too_much_content_is_refused() {
    let limited = |to: &str| json!({"upstream": to, "body_limit": 4});
    let edge = Edge::new()
        .rule("a.test", limited("app/web"))
        .rule("d.test", limited("app/modern"));
    let _setup = edge.serve();
    for host in ["a.test", "d.test"] {
        for (body, framing, status) in [
            ("abcd", "Content-Length: 4", 200),
            ("", "Content-Length: 5", 413),
            ("4\r\nabcd\r\n0\r\n\r\n", "Transfer-Encoding: chunked", 200),
            ("2\r\nab\r\n3\r\ncde\r\n", "Transfer-Encoding: chunked", 413),
        ] {
            let mut client = Client::connect(edge.address);
            client.send(format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n{body}"
            ));
            let answer = client.answer();
            assert_eq!(answer.status, status, "{host} {framing}");
            let reason = (status == 413).then_some("body-too-large");
            assert_eq!(answer.field("roadbed-reason"), reason);
        }
        run(async {
            let client = connect(edge.address).await;
            let post = || Request::post(format!("http://{host}/"));
            for (body, with_length, status) in [
                (&b"abcd"[..], true, 200),
                (b"abcd", false, 200),
                (b"abcde", true, 413),
                (b"abcde", false, 413),
            ] {
                let request = match with_length {
                    true => post().header("content-length", body.len()),
                    false => post(),
                };
                let answer = ask(&client, request, Some(body)).await.unwrap();
                assert_eq!(answer.head.status.as_u16(), status, "{host} {with_length}");
            }
            // Callers of gRPC are told in their own way.
            for with_length in [true, false] {
                let call = post().header("content-type", "application/grpc");
                let call = match with_length {
                    true => call.header("content-length", 5),
                    false => call,
                };
                let answer = ask(&client, call, Some(b"abcde")).await.unwrap();
                assert_eq!(
                    answer.field("grpc-status"),
                    Some("8"),
                    "{host} {with_length}"
                );
                assert_eq!(answer.field("roadbed-reason"), Some("body-too-large"));
            }
        });
    }
}

#[test]
fn what_follows_an_upgrade_is_no_content_and_has_no_deadline() {
    let talking = Backend::start(|connection| {
        connection.head();
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        connection.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: upgrade\r\n{accept}\r\n\r\n"
        ));
        while let Some(bytes) = connection.exactly(4) {
            connection.send(bytes);
        }
    });
    let mut edge = Edge::new().rule(
        "a.test",
        json!({
            "upstream": "app/talking", "body_limit": 1,
            "deadline": {"secs": 0, "nanos": 200_000_000},
            "idle_timeout": {"secs": 0, "nanos": 50_000_000},
            "mirror": {"service": "app/web", "percent": 100, "body_limit": 0},
        }),
    );
    edge.builder = edge.builder.http("talking", &[talking.address]);
    let _setup = edge.serve();
    let mut client = Client::connect(edge.address);
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101"));
    // For longer than either time.
    for _ in 0..4 {
        assert!(!client.hears_within(Duration::from_millis(100)));
        client.send("ping");
        assert_eq!(client.exactly(4), b"ping");
    }
    // It was not copied.
    assert!(edge.web.received().is_empty());
}
