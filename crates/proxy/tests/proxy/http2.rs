//! Requests and answers where either side speaks HTTP/2, and both.

use std::time::Duration;

use http::Request;
use model::Protocol;

use crate::support::attested::{SEEN, pinned};
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, connect, echo, get, run};
use crate::support::{Builder, Setup, edge_to, free_address};

const URL: &str = "http://a.test/x?y";

/// A proxy whose edge leads to `backend`, which speaks HTTP/2.
fn edge_to_http2(backend: std::net::SocketAddr) -> (Setup, std::net::SocketAddr) {
    let edge = free_address();
    let limit = Duration::from_secs(5);
    let builder = Builder::generation(1)
        .edge(edge)
        .upstream("web", Protocol::Http2, limit, &[backend])
        .route("a.test", "/", "web");
    (Setup::serving(&builder.0, &[]), edge)
}

#[test]
fn from_http2_to_http1() {
    let backend = Backend::echo("web");
    let (_setup, edge) = edge_to(&backend, &[]);
    run(async {
        let client = connect(edge).await;
        let request = Request::get(URL)
            .header("x-forwarded-for", "6.6.6.6")
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        let answer = ask(&client, request, None).await.unwrap();
        assert_eq!(
            (answer.head.status.as_u16(), answer.text()),
            (200, "web /x?y ")
        );
        let answer = ask(
            &client,
            Request::post(URL).header("content-length", "4"),
            Some(b"body"),
        )
        .await;
        assert_eq!(answer.unwrap().text(), "web /x?y body");
        let answer = ask(&client, Request::post(URL), Some(b"body")).await;
        assert_eq!(answer.unwrap().text(), "web /x?y 4\r\nbody\r\n0\r\n\r\n");
        let answer = get(&client, "http://b.test/").await;
        assert_eq!(answer.head.status.as_u16(), 404);
        assert_eq!(answer.field("roadbed-reason"), Some("no-route"));
    });
    let seen = SEEN;
    let received: Vec<_> = backend.received().iter().map(|text| pinned(text)).collect();
    assert_eq!(
        received,
        [format!(
            "GET /x?y HTTP/1.1\r\nhost: a.test\r\n{seen}cookie: a=1; b=2\r\n\r\n\
             POST /x?y HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\n{seen}\r\nbody\
             POST /x?y HTTP/1.1\r\nhost: a.test\r\n{seen}transfer-encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n"
        )]
    );
}

#[test]
fn from_http1_to_http2() {
    let (_setup, edge) = edge_to_http2(echo());
    let mut client = Client::connect(edge);
    let answer = client.get("a.test", "/x?y");
    assert_eq!(
        (answer.status, answer.text()),
        (200, "GET http://a.test/x?y ")
    );
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody");
    let answer = client.answer();
    assert_eq!(answer.text(), "POST http://a.test/ body");
    assert_eq!(answer.field("x-a"), Some("b"));
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    client.head();
    let chunks = String::from_utf8(client.until(b"\r\n\r\n")).unwrap();
    assert_eq!(
        chunks,
        "18\r\nPOST http://a.test/ body\r\n0\r\nx-sum: 1\r\n\r\n"
    );
    assert_eq!(
        client.get("a.test", "/again").text(),
        "GET http://a.test/again "
    );
}

#[test]
fn from_http2_to_http2() {
    let (_setup, edge) = edge_to_http2(echo());
    run(async {
        let client = connect(edge).await;
        let one = get(&client, URL);
        let two = ask(&client, Request::post(URL), Some(b"body"));
        let (one, two) = tokio::join!(one, two);
        assert_eq!(one.text(), "GET http://a.test/x?y ");
        assert_eq!(two.unwrap().text(), "POST http://a.test/x?y body");
    });
}
