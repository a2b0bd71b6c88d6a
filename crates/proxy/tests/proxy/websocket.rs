//! WebSockets between HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441), in all combinations.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::ext::Protocol as Extended;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use model::Protocol;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::support::backend::{Backend, Connection};
use crate::support::client::{Client, End};
use crate::support::eventually;
use crate::support::http2::{self, connect, connect_until_it_ends, echo, get, next, read, run};
use crate::support::stage::{Stage, URL};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn opening(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// Agrees to the handshake in `head`.
fn agree(connection: &mut Connection, head: &str) {
    let lower = head.to_ascii_lowercase();
    for field in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
    ] {
        assert!(lower.contains(&format!("{field}\r\n")), "{head}");
    }
    let key = lower.find("sec-websocket-key: ").unwrap() + "sec-websocket-key: ".len();
    let key = head[key..].lines().next().unwrap();
    assert_eq!(STANDARD.decode(key).unwrap().len(), 16);
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
    connection.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    ));
}

/// Sends every byte back, and after the end of them "bye".
fn mirror_http1() -> Backend {
    Backend::start(|connection| {
        let head = connection.head().unwrap();
        agree(connection, &head);
        let mut bytes = Vec::new();
        loop {
            use std::io::Read;
            let mut piece = [0; 1000];
            match connection.stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    bytes.extend_from_slice(&piece[..count]);
                    connection.send(&piece[..count]);
                }
                Err(_) => return connection.received_note(" reset"),
            }
        }
        connection.send("bye");
    })
}

fn with_websockets() -> h2::server::Builder {
    let mut settings = h2::server::Builder::new();
    settings.enable_connect_protocol();
    settings
}

fn mirror_http2() -> SocketAddr {
    http2::backend(with_websockets(), |request, mut respond| async move {
        assert_eq!(request.method(), "CONNECT");
        let protocol = request.extensions().get::<Extended>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        assert_eq!(request.uri(), "http://a.test/chat");
        let headers = request.headers();
        assert_eq!(headers["sec-websocket-version"], "13");
        assert!(!headers.contains_key("sec-websocket-key"), "{headers:?}");
        let answer = Response::builder().header("sec-websocket-protocol", "chat");
        let mut stream = respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap();
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return };
            let _ = body.flow_control().release_capacity(data.len());
            let _ = stream.send_data(data, false);
        }
        let _ = stream.send_data(Bytes::from_static(b"bye"), true);
    })
}

/// A WebSocket opened in HTTP/1.1.
fn open(edge: SocketAddr) -> Client {
    let mut client = Client::connect(edge);
    client.send(opening("/chat"));
    let head = client.head();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    let lower = head.to_ascii_lowercase();
    for field in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-protocol: chat",
    ] {
        assert_eq!(lower.matches(&format!("{field}\r\n")).count(), 1, "{head}");
    }
    let accept = format!("sec-websocket-accept: {ACCEPT}\r\n").to_lowercase();
    assert_eq!(lower.matches(&accept).count(), 1, "{head}");
    client
}

fn from_http1(endpoint: (SocketAddr, Protocol)) {
    let mut stage = Stage::new(&[endpoint], &["body-idle=50"]);
    let mut client = open(stage.edge);
    for n in 0..100 {
        let text = format!("message {n}");
        client.send(&text);
        assert_eq!(client.exactly(text.len()), text.as_bytes());
    }
    // It may be silent for longer than a body.
    assert!(!client.hears_within(std::time::Duration::from_millis(200)));
    client.send("last");
    client.finish();
    assert_eq!(client.rest(), (b"lastbye".to_vec(), End::Orderly));
    stage.soon_nothing_is_in_flight();
}

#[test]
fn from_http1_to_http1() {
    let backend = mirror_http1();
    from_http1((backend.address, Protocol::Http));
}

#[test]
fn from_http1_to_http2() {
    from_http1((mirror_http2(), Protocol::Http2));
}

#[test]
fn from_http1_to_a_service_of_both() {
    let backend = mirror_http1();
    let endpoints = [
        (backend.address, Protocol::Http),
        (mirror_http2(), Protocol::Http2),
    ];
    let stage = Stage::new(&endpoints, &[]);
    for _ in 0..4 {
        let mut client = open(stage.edge);
        client.send("hello");
        assert_eq!(client.exactly(5), b"hello");
    }
}

fn extended(url: &str) -> Request<()> {
    Request::builder()
        .method("CONNECT")
        .uri(url)
        .extension(Extended::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap()
}

/// A WebSocket opened in HTTP/2.
async fn open_stream(client: &h2::client::SendRequest<Bytes>) -> (SendStream<Bytes>, RecvStream) {
    // Whether it may is known when the other side has said so.
    get(client, "http://b.test/").await;
    assert!(client.is_extended_connect_protocol_enabled());
    let mut client = client.clone().ready().await.unwrap();
    let request = extended("http://a.test/chat");
    let (response, stream) = client.send_request(request, false).unwrap();
    let (head, body) = response.await.unwrap().into_parts();
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(head.headers["sec-websocket-protocol"], "chat");
    for absent in [
        "upgrade",
        "connection",
        "sec-websocket-accept",
        "content-length",
    ] {
        assert!(!head.headers.contains_key(absent), "{head:?}");
    }
    (stream, body)
}

fn from_http2(endpoint: (SocketAddr, Protocol)) {
    let mut stage = Stage::new(&[endpoint], &["body-idle=50"]);
    run(async {
        let client = connect(stage.edge).await;
        let (mut stream, mut body) = open_stream(&client).await;
        for n in 0..100 {
            let text = Bytes::from(format!("message {n:03}"));
            stream.send_data(text.clone(), false).unwrap();
            let mut back = Vec::new();
            while back.len() < text.len() {
                back.extend_from_slice(&next(&mut body).await.unwrap());
            }
            assert_eq!(back, text);
        }
        let silent = tokio::time::timeout(std::time::Duration::from_millis(200), body.data());
        assert!(silent.await.is_err());
        stream.send_data(Bytes::from_static(b"last"), true).unwrap();
        let (rest, trailers) = read(body).await.unwrap();
        assert_eq!((&*rest, trailers), (&b"lastbye"[..], None));
    });
    stage.soon_nothing_is_in_flight();
}

#[test]
fn from_http2_to_http1() {
    let backend = mirror_http1();
    from_http2((backend.address, Protocol::Http));
}

#[test]
fn from_http2_to_http2() {
    from_http2((mirror_http2(), Protocol::Http2));
}

fn declining_http2() -> SocketAddr {
    http2::backend(with_websockets(), |request, mut respond| async move {
        let status = if request.method() == "CONNECT" {
            403
        } else {
            200
        };
        let answer = Response::builder().status(status).body(()).unwrap();
        let mut stream = respond.send_response(answer, false).unwrap();
        http2::answer(&mut stream, "plain".into(), None);
    })
}

#[test]
fn a_declined_websocket_is_an_ordinary_answer_to_http1() {
    let stage = Stage::new(&[(declining_http2(), Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    for _ in 0..3 {
        client.send(opening("/chat"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (403, "plain"));
        assert_eq!(client.get("a.test", "/x").text(), "plain");
    }
}

#[test]
fn a_declined_websocket_is_an_ordinary_answer_to_http2() {
    let backend = Backend::start(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nplain");
        }
    });
    let endpoints = [
        (backend.address, Protocol::Http),
        (declining_http2(), Protocol::Http2),
    ];
    for endpoint in endpoints {
        let mut stage = Stage::new(&[endpoint], &[]);
        run(async {
            let client = connect(stage.edge).await;
            get(&client, "http://b.test/").await;
            for _ in 0..3 {
                let mut client = client.clone().ready().await.unwrap();
                let request = extended("http://a.test/chat");
                let (response, _stream) = client.send_request(request, false).unwrap();
                let (head, body) = response.await.unwrap().into_parts();
                assert_eq!(head.status, 403);
                assert_eq!(read(body).await.unwrap().0, b"plain");
            }
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn a_backend_that_ignores_the_handshake_has_not_opened_a_websocket_over_http2() {
    // A server without WebSockets answers the GET that it sees.
    let backend = Backend::echo("web");
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        get(&client, "http://b.test/").await;
        let mut client = client.clone().ready().await.unwrap();
        let request = extended("http://a.test/chat");
        let (response, _stream) = client.send_request(request, false).unwrap();
        let head = response.await.unwrap().into_parts().0;
        // 2xx would open it.
        assert!(!head.status.is_success(), "{head:?}");
    });
}

#[test]
fn another_accept_than_was_asked_for_is_no_websocket() {
    for accept in ["Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", ""] {
        let backend = Backend::start(move |connection| {
            connection.head();
            connection.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n{accept}\r\n"
            ));
            connection.drain();
        });
        let mut stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
        run(async {
            let client = connect(stage.edge).await;
            get(&client, "http://b.test/").await;
            let mut client = client.clone().ready().await.unwrap();
            let request = extended("http://a.test/chat");
            let (response, _stream) = client.send_request(request, false).unwrap();
            let head = response.await.unwrap().into_parts().0;
            assert_eq!(head.status, 502);
            assert_eq!(head.headers["roadbed-reason"], "bad-response");
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn a_backend_without_extended_connect_is_told_of() {
    let mut stage = Stage::new(&[(echo(), Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    client.send(opening("/chat"));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("roadbed-reason")),
        (502, Some("no-websocket"))
    );
    assert_eq!(client.get("a.test", "/x").status, 200);
    run(async {
        let client = connect(stage.edge).await;
        get(&client, URL).await;
        let mut client = client.clone().ready().await.unwrap();
        let request = extended("http://a.test/chat");
        let (response, _stream) = client.send_request(request, false).unwrap();
        let head = response.await.unwrap().into_parts().0;
        assert_eq!(head.status, 502);
        assert_eq!(head.headers["roadbed-reason"], "no-websocket");
    });
    stage.nothing_is_in_flight();
}

#[test]
fn a_handshake_without_a_key_is_not_answered_with_half_of_one() {
    let backend = mirror_http1();
    let old = (backend.address, Protocol::Http);
    for endpoints in [
        &[(mirror_http2(), Protocol::Http2)][..],
        &[old, (echo(), Protocol::Http2)],
    ] {
        let stage = Stage::new(endpoints, &[]);
        let mut client = Client::connect(stage.edge);
        client.send(opening("/chat").replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
}

#[test]
fn a_reset_of_the_client_is_a_reset_of_a_backend_of_http1() {
    let backend = mirror_http1();
    for vanishing in [false, true] {
        let mut stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
        run(async {
            let (client, connection) = connect_until_it_ends(stage.edge).await;
            let (mut stream, mut body) = open_stream(&client).await;
            stream.send_data(Bytes::from_static(b"x"), false).unwrap();
            next(&mut body).await.unwrap();
            match vanishing {
                true => connection.abort(),
                false => {
                    stream.send_reset(Reason::CANCEL);
                    get(&client, "http://b.test/").await;
                }
            }
        });
        let expected = usize::from(vanishing) + 1;
        eventually("it is reset", || {
            backend.received().concat().matches(" reset").count() == expected
        });
        stage.soon_nothing_is_in_flight();
    }
}

#[test]
fn a_reset_of_the_client_is_a_reset_of_a_backend_of_http2() {
    let (noting, notes) = std::sync::mpsc::channel();
    let backend = http2::backend(with_websockets(), move |request, mut respond| {
        let noting = noting.clone();
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            noting.send(reset.unwrap()).unwrap();
            drop(request);
        }
    });
    let stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    client.send(opening("/chat"));
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.reset();
    assert_eq!(
        notes.recv_timeout(crate::support::PATIENCE).unwrap(),
        Reason::CANCEL
    );
}

#[test]
fn a_reset_of_the_backend_is_a_reset_of_the_client() {
    let old = Backend::start(|connection| {
        let head = connection.head().unwrap();
        agree(connection, &head);
        connection.exactly(1);
        connection.reset_on_close();
    });
    let new = http2::backend(with_websockets(), |request, mut respond| async move {
        let answer = Response::builder().header("sec-websocket-protocol", "chat");
        let mut stream = respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap();
        next(&mut request.into_body()).await.unwrap();
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    for endpoint in [(old.address, Protocol::Http), (new, Protocol::Http2)] {
        let stage = Stage::new(&[endpoint], &[]);
        let mut client = open(stage.edge);
        client.send("x");
        assert_eq!(client.rest(), (vec![], End::Reset));
        run(async {
            let client = connect(stage.edge).await;
            let (mut stream, body) = open_stream(&client).await;
            stream.send_data(Bytes::from_static(b"x"), false).unwrap();
            let error = read(body).await.unwrap_err();
            assert!(error.is_reset() && error.is_remote(), "{error:?}");
        });
    }
}
