//! Verdicts of probes that speak HTTP/2: a GET, and the health service of gRPC.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use model::{Probe, Protocol};
use runner::probe::{Target, check};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

const LIMIT: Duration = Duration::from_secs(10);

/// How a server answers a call.
#[derive(Clone, Copy, Default)]
struct Answers {
    status: u16,
    kind: Option<&'static str>,
    /// Sent in the head if there is no body.
    grpc_status: Option<&'static str>,
    body: Option<&'static [u8]>,
}

/// What a server was asked.
type Asked = Arc<Mutex<Vec<(Request<()>, Vec<u8>)>>>;

/// A health service that answers with this message.
fn health(message: &'static [u8]) -> Answers {
    Answers {
        status: 200,
        kind: Some("application/grpc"),
        grpc_status: Some("0"),
        body: Some(message),
    }
}

/// A call that ends without a message.
fn ends(grpc_status: &'static str) -> Answers {
    Answers {
        body: None,
        grpc_status: Some(grpc_status),
        ..health(b"")
    }
}

async fn serve(answers: Answers) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                // A probe that has its verdict ends the connection as it likes.
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let (head, mut body) = request.into_parts();
                    let seen = Arc::clone(&seen);
                    tokio::spawn(async move {
                        let mut bytes = Vec::new();
                        while let Some(Ok(data)) = body.data().await {
                            bytes.extend_from_slice(&data);
                        }
                        seen.lock()
                            .unwrap()
                            .push((Request::from_parts(head, ()), bytes));
                        respond_with(answers, respond);
                    });
                }
            });
        }
    });
    (address, asked)
}

fn respond_with(answers: Answers, mut respond: SendResponse<Bytes>) {
    let mut head = Response::builder().status(answers.status);
    if let Some(kind) = answers.kind {
        head = head.header("content-type", kind);
    }
    let Some(body) = answers.body else {
        if let Some(status) = answers.grpc_status {
            let message = "not%20here";
            head = head
                .header("grpc-status", status)
                .header("grpc-message", message);
        }
        respond.send_response(head.body(()).unwrap(), true).unwrap();
        return;
    };
    let mut stream = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    let _ = stream.send_data(Bytes::from_static(body), false);
    let mut trailers = HeaderMap::new();
    if let Some(status) = answers.grpc_status {
        trailers.insert("grpc-status", status.parse().unwrap());
    }
    let _ = stream.send_trailers(trailers);
}

fn target(address: SocketAddr, protocol: Protocol) -> Target {
    Target {
        address,
        protocol,
        tls: None,
        host: "web.localhost".to_owned(),
        folder: "/".into(),
        environment: Default::default(),
    }
}

async fn verdict(service: &str, address: SocketAddr) -> Result<(), String> {
    let probe = Probe::Grpc {
        service: service.to_owned(),
    };
    let verdict = check(&probe, &target(address, Protocol::Grpc), LIMIT).await;
    verdict.map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn a_serving_health_service_is_well() {
    for (service, message) in [
        ("", &b"\0\0\0\0\0"[..]),
        ("shop.Catalog", b"\0\0\0\0\x0e\x0a\x0cshop.Catalog"),
    ] {
        let (address, asked) = serve(health(b"\0\0\0\0\x02\x08\x01")).await;
        assert_eq!(verdict(service, address).await, Ok(()));
        let asked = asked.lock().unwrap();
        let (request, body) = &asked[0];
        let uri = "http://web.localhost/grpc.health.v1.Health/Check";
        assert_eq!(
            (request.method().as_str(), body.as_slice()),
            ("POST", message)
        );
        assert_eq!(request.uri().to_string(), uri);
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
    }
}

#[tokio::test]
async fn a_failure_reads_as_a_sentence() {
    static LARGE: [u8; 100_000] = [0; 100_000];
    let cases = [
        (
            health(b"\0\0\0\0\x02\x08\x02"),
            "\"shop.Catalog\" is NOT_SERVING, says its health service",
        ),
        (
            ends("12"),
            "it has no health service, grpc.health.v1.Health: add it, or write tcp = true",
        ),
        (
            ends("5"),
            "its health service knows no service \"shop.Catalog\"; \"\" asks about the whole server",
        ),
        (
            ends("14"),
            "its health service answered with status 14 of gRPC: not%20here",
        ),
        (
            Answers {
                status: 404,
                ..Answers::default()
            },
            "it does not speak gRPC: its health service answered with status 404 of HTTP",
        ),
        (
            Answers {
                status: 200,
                ..Answers::default()
            },
            "it does not speak gRPC: its health service answered without the content type of gRPC",
        ),
        (
            Answers {
                grpc_status: None,
                ..health(b"\0\0\0\0\x02\x08\x01")
            },
            "it does not speak gRPC: its health service answered without a status of gRPC",
        ),
        (
            health(b"hello"),
            "it does not speak gRPC: its health service answered with bytes that are not its \
             message",
        ),
        (
            health(&LARGE),
            "POST /grpc.health.v1.Health/Check was not answered in HTTP/2: its body has more than \
             4096 bytes",
        ),
    ];
    for (answers, expected) in cases {
        let (address, _) = serve(answers).await;
        assert_eq!(
            verdict("shop.Catalog", address).await,
            Err(expected.to_owned())
        );
    }
    let (address, _) = serve(health(b"\0\0\0\0\0")).await;
    let expected = "the server is UNKNOWN, says its health service";
    assert_eq!(verdict("", address).await, Err(expected.to_owned()));
}

#[tokio::test]
async fn a_status_is_a_verdict_whatever_follows_it() {
    let get = Probe::Http {
        path: "/healthz?full=1".to_owned(),
    };
    for protocol in [Protocol::Http2, Protocol::Grpc] {
        let (address, asked) = serve(Answers {
            status: 204,
            ..Answers::default()
        })
        .await;
        check(&get, &target(address, protocol), LIMIT)
            .await
            .unwrap();
        let uri = asked.lock().unwrap()[0].0.uri().to_string();
        assert_eq!(uri, "http://web.localhost/healthz?full=1");
    }
    let (address, _) = serve(Answers {
        status: 503,
        body: Some(&[b'x'; 100_000]),
        ..Answers::default()
    })
    .await;
    let failure = check(&get, &target(address, Protocol::Http2), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(failure.to_string(), "GET /healthz?full=1 answered 503");
}

/// Begins each connection with `bytes`, and then closes it or says nothing more.
async fn says(bytes: &'static [u8], closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(bytes).await;
            if closes {
                // What the probe has sent is read, or the kernel would reset the connection.
                let mut sent = [0; 4096];
                let _ = stream.readable().await;
                let _ = stream.try_read(&mut sent);
            } else {
                held.push(stream);
            }
        }
    });
    address
}

#[tokio::test]
async fn what_does_not_speak_http2_is_told_in_time() {
    let get = Probe::Http {
        path: "/".to_owned(),
    };
    let no_frame = "what came is no frame; does it speak HTTP/1.1?";
    for (bytes, closes, problem) in [
        (
            &b""[..],
            true,
            "the connection was closed without an answer",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            false,
            no_frame,
        ),
        (b"SSH-2.0-OpenSSH\r\n", true, no_frame),
    ] {
        let address = says(bytes, closes).await;
        let target = target(address, Protocol::Http2);
        let failure = check(&get, &target, LIMIT).await.unwrap_err().to_string();
        assert_eq!(
            failure,
            format!("GET / was not answered in HTTP/2: {problem}")
        );
    }
    let begun = Instant::now();
    let address = says(b"", false).await;
    let limit = Duration::from_millis(200);
    let failure = check(&get, &target(address, Protocol::Http2), limit).await;
    assert_eq!(failure.unwrap_err().to_string(), "no answer within 200ms");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_closed_port_is_refused_at_once() {
    // Bound, so that nobody else listens there.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let expected = format!("connection refused at {address}");
    assert_eq!(verdict("", address).await, Err(expected));
}
