//! How long requests of a route may take and how often they are tried, through the real proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use model::Protocol;
use serde_json::{Value, json};

use crate::routing::Edge;
use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::http2::{ask, backend, connect, next, run};

/// A rule that leads to `to`, with this time under `key`.
fn rule(to: &str, key: &str, millis: u64) -> Value {
    let mut rule = json!({"upstream": to});
    rule[key] = json!({"secs": 0, "nanos": millis * 1_000_000});
    rule
}

/// A backend of HTTP/2 that takes requests and never says more than `part`, not even a head if
/// that is empty.
fn silent(part: &'static str) -> std::net::SocketAddr {
    backend(
        h2::server::Builder::new(),
        move |_request, mut respond| async move {
            if part.is_empty() {
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                return;
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let _ = stream.send_data(Bytes::from_static(part.as_bytes()), false);
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        },
    )
}

impl Edge {
    /// With `old` of HTTP/1.1 and `new` of HTTP/2, neither of which ever ends an answer.
    fn silent(mut self, part: &'static str) -> Self {
        let old = Backend::start(move |connection| {
            while connection.request().is_some() {
                if !part.is_empty() {
                    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
                    connection.send(format!("{head}{part}"));
                }
            }
        });
        let limit = Duration::from_secs(60);
        let builder = self.builder;
        self.builder = builder
            .upstream("old", Protocol::Http, limit, &[old.address])
            .upstream("new", Protocol::Http2, limit, &[silent(part)]);
        self
    }
}

#[test]
fn a_deadline_that_passes_before_the_answer_is_told() {
    let edge = Edge::new()
        .silent("")
        .rule("a.test", rule("app/old", "deadline", 50))
        .rule("d.test", rule("app/new", "deadline", 50));
    let _setup = edge.serve();
    for host in ["a.test", "d.test"] {
        edge.expect_error(&format!("GET {host} /"), 504, "deadline");
        // One that is still sending its content has no more time than others.
        let mut client = Client::connect(edge.address);
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\na"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("roadbed-reason")),
            (504, Some("deadline"))
        );
        run(async {
            let client = connect(edge.address).await;
            let call = Request::post(format!("http://{host}/"));
            let call = call.header("content-type", "application/grpc");
            let call = call.header("grpc-timeout", "1H");
            let answer = ask(&client, call, Some(b"")).await.unwrap();
            assert_eq!(answer.field("grpc-status"), Some("4"));
            assert_eq!(answer.field("roadbed-reason"), Some("deadline"));
        });
    }
}

#[test]
fn what_is_not_over_in_time_never_looks_whole() {
    for key in ["deadline", "idle_timeout"] {
        let edge = Edge::new()
            .silent("part")
            .rule("a.test", rule("app/old", key, 100))
            .rule("d.test", rule("app/new", key, 100));
        let _setup = edge.serve();
        for host in ["a.test", "d.test"] {
            let mut client = Client::connect(edge.address);
            client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!(client.head().starts_with("HTTP/1.1 200"), "{host} {key}");
            assert_eq!(client.rest().1, End::Reset, "{host} {key}");
            run(async {
                let client = connect(edge.address).await;
                let get = Request::get(format!("http://{host}/"));
                let answer = ask(&client, get, None).await;
                assert!(answer.is_err_and(|error| error.is_reset()), "{host} {key}");
                // A caller of gRPC is told in the trailers, unless a length was announced.
                if host == "a.test" {
                    return;
                }
                let call = Request::post(format!("http://{host}/"));
                let call = call.header("content-type", "application/grpc");
                let answer = ask(&client, call, Some(b"")).await.unwrap();
                let trailers = answer.trailers.unwrap();
                assert_eq!(trailers["grpc-status"], "4", "{host} {key}");
                let message = trailers["grpc-message"].to_str().unwrap();
                let reason = key.replace('_', "-");
                assert!(message.starts_with(&reason), "{message}");
            });
        }
    }
}

#[test]
fn a_client_that_falls_silent_in_its_content_is_told() {
    let edge = Edge::new()
        .silent("")
        .rule("a.test", rule("app/old", "idle_timeout", 50))
        .rule("d.test", rule("app/new", "idle_timeout", 50));
    let _setup = edge.serve();
    for host in ["a.test", "d.test"] {
        let mut client = Client::connect(edge.address);
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nabc"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("roadbed-reason")),
            (408, Some("idle-timeout"))
        );
        assert_eq!(answer.field("connection"), Some("close"));
        run(async {
            let client = connect(edge.address).await;
            let mut client = client.ready().await.unwrap();
            let put = Request::put(format!("http://{host}/")).body(()).unwrap();
            let (response, mut stream) = client.send_request(put, false).unwrap();
            stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
            let head = response.await.unwrap();
            assert_eq!(head.status().as_u16(), 408);
            assert_eq!(head.headers()["roadbed-reason"], "idle-timeout");
        });
    }
}

#[test]
fn a_call_in_which_one_side_speaks_is_not_idle() {
    const MESSAGES: usize = 12;
    let talking = backend(
        h2::server::Builder::new(),
        |_request, mut respond| async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            for _ in 0..MESSAGES {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let _ = stream.send_data(Bytes::from_static(b"."), false);
            }
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        },
    );
    let mut edge = Edge::new().rule("a.test", rule("app/talking", "idle_timeout", 300));
    let limit = Duration::from_secs(60);
    edge.builder = edge
        .builder
        .upstream("talking", Protocol::Grpc, limit, &[talking]);
    let _setup = edge.serve();
    run(async {
        let client = connect(edge.address).await;
        let mut client = client.ready().await.unwrap();
        let call = Request::post("http://a.test/").header("content-type", "application/grpc");
        let (response, _stream) = client.send_request(call.body(()).unwrap(), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for _ in 0..MESSAGES {
            assert_eq!(&next(&mut body).await.unwrap()[..], b".");
        }
        // When both are silent it ends.
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "4");
    });
}

#[test]
fn a_route_says_how_often_and_after_what_is_tried_again() {
    // Each of three closes its connection, which is new, without a word, or answers with 503.
    let failing = |answer: &'static str| {
        let asked = Arc::new(AtomicUsize::new(0));
        let backends = [(); 3].map(|()| {
            let asked = asked.clone();
            Backend::start(move |connection| {
                if connection.request().is_some() {
                    asked.fetch_add(1, SeqCst);
                    connection.send(answer);
                }
            })
        });
        (asked, backends.map(|backend| backend.address))
    };
    let unwell = "HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (resetting, reset_at) = failing("");
    let (unwell, unwell_at) = failing(unwell);
    let retries = |to: &str, most: u8, reset: bool, status: bool| {
        let retries = json!({"most": most, "on_reset": reset, "on_status": status});
        json!({"upstream": to, "retries": retries})
    };
    let mut edge = Edge::new();
    edge.builder = edge
        .builder
        .http("reset", &reset_at)
        .http("unwell", &unwell_at);
    let cases = [
        (0, true, true, 1, 1),
        (1, true, true, 2, 2),
        (2, true, true, 3, 3),
        (2, false, true, 1, 3),
        (2, true, false, 3, 1),
    ];
    for (number, (most, reset, status, ..)) in cases.into_iter().enumerate() {
        edge = edge
            .rule(
                &format!("r{number}.test"),
                retries("app/reset", most, reset, status),
            )
            .rule(
                &format!("u{number}.test"),
                retries("app/unwell", most, reset, status),
            );
    }
    let _setup = edge.serve();
    for (number, (.., resets, answers)) in cases.into_iter().enumerate() {
        for (kind, counter, expected, status) in
            [("r", &resetting, resets, 502), ("u", &unwell, answers, 503)]
        {
            counter.store(0, SeqCst);
            let asked = edge.asked(&format!("GET {kind}{number}.test /"), "x");
            assert_eq!(asked.map(|(got, ..)| got), [status; 2]);
            // A client of either version.
            assert_eq!(counter.load(SeqCst), expected * 2, "{kind}{number}");
            // What may not be done twice is done once, whatever a route says.
            counter.store(0, SeqCst);
            edge.asked(
                &format!("POST {kind}{number}.test /\nContent-Length: 0"),
                "x",
            );
            assert_eq!(counter.load(SeqCst), 2, "{kind}{number}");
        }
    }
}
