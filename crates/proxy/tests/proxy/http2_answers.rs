//! Heads of answers where either side speaks HTTP/2, and both: informational ones before them, and
//! those that nothing may follow.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::ResponseFuture;
use http::{Request, Response, StatusCode};
use model::Protocol;

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::frames;
use crate::support::http2::{self, ask, connect, get, read, run};
use crate::support::stage::{Stage, URL};

/// Gives hints, asks for the body, and answers with it.
fn informing_http2() -> SocketAddr {
    let settings = h2::server::Builder::new();
    http2::backend(settings, |request, mut respond| async move {
        let hints = Response::builder().status(103).header("link", "</a>");
        respond.send_informational(hints.body(()).unwrap()).unwrap();
        let go_on = Response::builder().status(100).body(()).unwrap();
        respond.send_informational(go_on).unwrap();
        let (body, _) = read(request.into_body()).await.unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        http2::answer(&mut stream, String::from_utf8(body).unwrap(), None);
    })
}

fn informing_http1() -> Backend {
    Backend::start(|connection| {
        while let Some(head) = connection.head() {
            assert!(
                head.to_ascii_lowercase()
                    .contains("expect: 100-continue\r\n")
            );
            connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            let body = connection.exactly(4).unwrap();
            connection.answer(std::str::from_utf8(&body).unwrap());
        }
    })
}

async fn interim(response: &mut ResponseFuture) -> Response<()> {
    let interim = std::future::poll_fn(|cx| response.poll_informational(cx));
    interim.await.expect("an informational answer").unwrap()
}

async fn continued(edge: SocketAddr) {
    let client = connect(edge).await;
    for _ in 0..3 {
        let mut client = client.clone().ready().await.unwrap();
        let request = Request::post(URL)
            .header("expect", "100-continue")
            .header("content-length", "4");
        let request = request.body(()).unwrap();
        let (mut response, mut stream) = client.send_request(request, false).unwrap();
        let hints = interim(&mut response).await;
        assert_eq!(
            (hints.status().as_u16(), hints.headers()["link"].as_bytes()),
            (103, &b"</a>"[..])
        );
        let go_on = interim(&mut response).await;
        assert_eq!(go_on.status(), StatusCode::CONTINUE);
        stream.send_data(Bytes::from_static(b"body"), true).unwrap();
        let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(body, b"body");
    }
}

#[test]
fn informational_answers_cross_from_http2_to_http2() {
    let stage = Stage::new(&[(informing_http2(), Protocol::Http2)], &[]);
    run(continued(stage.edge));
}

#[test]
fn informational_answers_cross_from_http1_to_http2() {
    let backend = informing_http1();
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(continued(stage.edge));
}

#[test]
fn informational_answers_cross_from_http2_to_http1() {
    let stage = Stage::new(&[(informing_http2(), Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..3 {
        client.send(
            "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        );
        assert_eq!(
            client.head(),
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
        );
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body");
        assert_eq!(client.answer().text(), "body");
    }
    // Who speaks an older version is told of the last answer only.
    let mut client = Client::connect(stage.edge);
    client.send(
        "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    );
    let (answer, end) = client.rest();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nbody"),
        "{answer}"
    );
    assert_eq!(end, End::Orderly);
}

/// Answers as the path says, `ends` with its head or after it.
fn without_content_http2(ends: bool) -> SocketAddr {
    let settings = h2::server::Builder::new();
    http2::backend(settings, move |request, mut respond| async move {
        let mut answer = Response::builder();
        if let Ok(status) = request.uri().path()[1..].parse::<u16>() {
            answer = answer.status(status);
        }
        if request.uri().query() == Some("length") {
            answer = answer.header("content-length", "100");
        }
        let mut stream = respond
            .send_response(answer.body(()).unwrap(), ends)
            .unwrap();
        if !ends {
            stream.send_data(Bytes::new(), true).unwrap();
        }
    })
}

fn without_content_http1() -> Backend {
    Backend::start(|connection| {
        while let Some(head) = connection.head() {
            let target = head.split(' ').nth(1).unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let status = path[1..].parse().unwrap_or(200);
            let length = match (query, status) {
                ("length", _) => "Content-Length: 100\r\n",
                (_, 200) => "Content-Length: 0\r\n",
                _ => "",
            };
            connection.send(format!("HTTP/1.1 {status} X\r\n{length}\r\n"));
        }
    })
}

/// Requests that are answered without content.
const EMPTY: [(&str, &str, u16, Option<&str>); 5] = [
    ("HEAD", "/x", 200, None),
    ("HEAD", "/x?length", 200, Some("100")),
    ("GET", "/204", 204, None),
    ("GET", "/304", 304, None),
    ("GET", "/304?length", 304, Some("100")),
];

fn nothing_follows(endpoint: (SocketAddr, Protocol)) {
    let stage = Stage::new(&[endpoint], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for (method, target, status, length) in EMPTY {
            let url = format!("http://a.test{target}");
            let request = Request::builder().method(method).uri(url);
            let answer = ask(&client, request, None).await.unwrap();
            let what = format!("{method} {target} over HTTP/2");
            assert_eq!(
                (answer.head.status.as_u16(), answer.text()),
                (status, ""),
                "{what}"
            );
            if length.is_some() {
                assert_eq!(answer.field("content-length"), length, "{what}");
            }
        }
    });
    let mut client = Client::connect(stage.edge);
    for (method, target, status, length) in EMPTY {
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"
        ));
        let head = client.head();
        let what = format!("{method} {target}: {head}");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}");
        if let Some(length) = length {
            let field = format!("content-length: {length}\r\n");
            assert!(head.to_lowercase().contains(&field), "{what}");
        }
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{what}");
    }
    // Nothing is left on the connection that would be taken for an answer.
    client.send("GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n");
    let (rest, _) = client.rest();
    assert!(
        rest.starts_with(b"HTTP/1.1 404 "),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn nothing_follows_answers_of_http2_without_content() {
    nothing_follows((without_content_http2(true), Protocol::Http2));
}

#[test]
fn nothing_follows_answers_of_http2_whose_stream_ends_later() {
    nothing_follows((without_content_http2(false), Protocol::Http2));
}

#[test]
fn nothing_follows_answers_of_http1_without_content() {
    let backend = without_content_http1();
    nothing_follows((backend.address, Protocol::Http));
}

#[test]
fn content_where_none_may_be_does_not_reach_a_client_of_http1() {
    let settings = h2::server::Builder::new();
    let backend = http2::backend(settings, |_, mut respond| async move {
        let answer = Response::builder().status(204).body(()).unwrap();
        let mut stream = respond.send_response(answer, false).unwrap();
        http2::answer(&mut stream, "HTTP/1.1 200 OK\r\n\r\n".into(), None);
    });
    let stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 204 "));
    client.offer("GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n");
    let (rest, _) = client.rest();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 404 "),
        "{}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn errors_of_the_proxy_are_whole_answers_over_http2() {
    let mut stage = Stage::new(&[], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let answer = get(&client, URL).await;
        assert_eq!(answer.head.status, 503);
        assert_eq!(answer.field("roadbed-reason"), Some("no-healthy-endpoint"));
        assert_eq!(
            answer.field("content-length"),
            Some(&*answer.body.len().to_string())
        );
        let head = ask(&client, Request::head(URL), None).await.unwrap();
        assert_eq!((head.head.status.as_u16(), head.text()), (503, ""));
        let json = Request::get(URL).header("accept", "application/json");
        let json = ask(&client, json, None).await.unwrap();
        assert!(json.text().contains("\"no-healthy-endpoint\""), "{json:?}");
        // The rest of a body that nobody reads is not waited for.
        let answer = ask(&client, Request::post(URL), Some(&[b'x'; 60_000]))
            .await
            .unwrap();
        assert_eq!(answer.head.status, 503);
    });
    stage.nothing_is_in_flight();
}

#[test]
fn an_answer_of_http2_that_breaks_a_rule_is_not_passed_on_and_others_are_served() {
    // Each has `:status: 200`, but for the one that has none.
    let broken: [&[u8]; 5] = [
        b"\x88\x00\x01A\x01b",
        b"\x88\x00\x0aconnection\x05close",
        b"\x88\x88",
        b"\x88\x00\x01a\x02 b",
        b"\x00\x01a\x01b",
    ];
    let backend = Backend::start(move |connection| {
        frames::greet(connection);
        let mut broken = broken.iter();
        while let Some(frame) = frames::read(connection) {
            match broken.next() {
                Some(block) => frames::answer_block(connection, frame.stream, block),
                None => frames::answer(connection, frame.stream, "whole"),
            }
        }
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    for block in broken {
        let answer = client.get("a.test", "/");
        let seen = (answer.status, answer.field("roadbed-reason"));
        assert_eq!(seen, (502, Some("bad-response")), "{block:?}");
    }
    assert_eq!(client.get("a.test", "/").text(), "whole");
    stage.nothing_is_in_flight();
}
