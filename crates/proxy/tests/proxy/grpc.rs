//! What gRPC adds to HTTP/2: deadlines, and failures that are told as its callers understand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use model::Protocol;

use crate::support::http2::{self, Whole, connect, next, read, run};
use crate::support::stage::{Stage, URL};
use crate::support::{eventually, free_address};

const KIND: &str = "application/grpc";

fn call(url: &str) -> http::request::Builder {
    let request = Request::post(url);
    request
        .header("content-type", KIND)
        .header("te", "trailers")
}

/// Begins a call with one message.
async fn begin(
    client: &SendRequest<Bytes>,
    request: http::request::Builder,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.unwrap();
    let (response, mut stream) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let message = Bytes::from_static(b"\0\0\0\0\x05hello");
    stream.send_data(message, false).unwrap();
    (response, stream)
}

/// The answer to a call, read to its end.
async fn whole(response: ResponseFuture) -> Whole {
    let (head, stream) = response.await.unwrap().into_parts();
    let (body, trailers) = read(stream).await.unwrap();
    Whole {
        head,
        body,
        trailers,
    }
}

/// Checks a failure that is told by head and trailers in one.
fn told(answer: &Whole, status: &str, reason: &str) {
    assert_eq!(answer.head.status, 200);
    assert_eq!((answer.text(), &answer.trailers), ("", &None));
    assert_eq!(answer.field("content-type"), Some(KIND));
    assert_eq!(answer.field("grpc-status"), Some(status), "{answer:?}");
    assert_eq!(answer.field("roadbed-reason"), Some(reason), "{answer:?}");
    let message = answer.field("grpc-message").unwrap();
    assert!(message.starts_with(reason), "{message}");
}

fn finished() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// Sends each message back, with the deadline that it was told in its head.
fn service() -> SocketAddr {
    http2::backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let mut answer = Response::builder().header("content-type", KIND);
            if let Some(timeout) = request.headers().get("grpc-timeout") {
                answer = answer.header("seen-timeout", timeout);
            }
            if let Some(te) = request.headers().get("te") {
                answer = answer.header("seen-te", te);
            }
            let mut stream = respond
                .send_response(answer.body(()).unwrap(), false)
                .unwrap();
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                let _ = stream.send_data(data, false);
            }
            let _ = stream.send_trailers(finished());
        },
    )
}

/// Never answers, or with `answering` never ends; counts what is aborted.
fn stuck(aborted: &Arc<AtomicUsize>, answering: bool) -> SocketAddr {
    let aborted = aborted.clone();
    http2::backend(h2::server::Builder::new(), move |request, mut respond| {
        let aborted = aborted.clone();
        async move {
            let reset = if answering {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream
                    .send_data(Bytes::from_static(b"part"), false)
                    .unwrap();
                std::future::poll_fn(|cx| stream.poll_reset(cx)).await
            } else {
                std::future::poll_fn(|cx| respond.poll_reset(cx)).await
            };
            drop(request);
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            aborted.fetch_add(1, SeqCst);
        }
    })
}

#[test]
fn calls_cross_with_their_status_and_a_deadline_that_has_become_shorter() {
    let stage = Stage::new(&[(service(), Protocol::Grpc)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let (response, mut stream) = begin(&client, call(URL).header("grpc-timeout", "1H")).await;
        stream.send_data(Bytes::new(), true).unwrap();
        let answer = whole(response).await;
        assert_eq!(answer.body, b"\0\0\0\0\x05hello");
        assert_eq!(answer.trailers, Some(finished()));
        assert_eq!(answer.field("seen-te"), Some("trailers"));
        let seen = answer.field("seen-timeout").unwrap();
        let (count, unit) = seen.split_at(seen.len() - 1);
        let count: u64 = count.parse().unwrap();
        assert!(
            unit == "m" && (3_500_000..3_600_000).contains(&count),
            "{seen}"
        );
    });
}

#[test]
fn a_deadline_that_passes_before_the_answer_is_told_and_aborts_the_backend() {
    let aborted = Arc::default();
    let mut stage = Stage::new(&[(stuck(&aborted, false), Protocol::Grpc)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for ends in [true, false] {
            let (response, mut stream) =
                begin(&client, call(URL).header("grpc-timeout", "50m")).await;
            if ends {
                stream.send_data(Bytes::new(), true).unwrap();
            }
            told(&whole(response).await, "4", "timeout");
        }
    });
    stage.nothing_is_in_flight();
    eventually("both are aborted", || aborted.load(SeqCst) == 2);
}

#[test]
fn a_deadline_that_passes_in_mid_answer_ends_it_with_its_status() {
    let aborted = Arc::default();
    let mut stage = Stage::new(&[(stuck(&aborted, true), Protocol::Grpc)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for ends in [true, false] {
            let (response, mut stream) =
                begin(&client, call(URL).header("grpc-timeout", "100m")).await;
            if ends {
                stream.send_data(Bytes::new(), true).unwrap();
            }
            let answer = whole(response).await;
            assert_eq!(answer.body, b"part");
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "4");
        }
    });
    stage.nothing_is_in_flight();
    eventually("both are aborted", || aborted.load(SeqCst) == 2);
}

#[test]
fn a_deadline_longer_than_the_timeout_of_the_service_counts() {
    let slow = http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(respond.send_response(Response::new(()), true));
    });
    let endpoints = [(slow, Protocol::Grpc)];
    let stage = Stage::with_timeout(&endpoints, &[], Duration::from_millis(50));
    run(async {
        let client = connect(stage.edge).await;
        let (response, mut stream) = begin(&client, call(URL).header("grpc-timeout", "1M")).await;
        stream.send_data(Bytes::new(), true).unwrap();
        let answer = whole(response).await;
        assert_eq!(
            (answer.head.status.as_u16(), answer.field("grpc-status")),
            (200, None)
        );
        let (response, mut stream) = begin(&client, call(URL)).await;
        stream.send_data(Bytes::new(), true).unwrap();
        told(&whole(response).await, "4", "timeout");
    });
}

#[test]
fn failures_of_ours_are_told_with_a_status_of_grpc() {
    let dead = [(free_address(), Protocol::Grpc)];
    let refusing = http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        respond.send_reset(Reason::REFUSED_STREAM);
    });
    for (endpoints, url, status, reason) in [
        (&[][..], URL, "14", "no-healthy-endpoint"),
        (&[], "http://b.test/x", "12", "no-route"),
        (&dead, URL, "14", "connect-failed"),
        (&[(refusing, Protocol::Grpc)], URL, "14", "backend-closed"),
    ] {
        let mut stage = Stage::new(endpoints, &[]);
        run(async {
            let client = connect(stage.edge).await;
            let (response, _stream) = begin(&client, call(url)).await;
            told(&whole(response).await, status, reason);
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn a_backend_that_dies_in_mid_answer_is_told_in_the_trailers() {
    // A second message says that the first part of the answer has arrived.
    let dying = http2::backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream
                .send_data(Bytes::from_static(b"part"), false)
                .unwrap();
            let mut body = request.into_body();
            while next(&mut body).await.unwrap() != "go" {}
            stream.send_reset(Reason::INTERNAL_ERROR);
        },
    );
    let old = crate::support::backend::Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
        connection.until(b"2\r\ngo\r\n");
    });
    for endpoint in [(dying, Protocol::Grpc), (old.address, Protocol::Http)] {
        let mut stage = Stage::new(&[endpoint], &[]);
        run(async {
            let client = connect(stage.edge).await;
            let (response, mut stream) = begin(&client, call(URL)).await;
            let mut answer = response.await.unwrap().into_body();
            assert_eq!(next(&mut answer).await.unwrap(), "part");
            stream.send_data(Bytes::from_static(b"go"), false).unwrap();
            let (body, trailers) = read(answer).await.unwrap();
            assert_eq!(body, b"");
            let trailers = trailers.unwrap();
            assert_eq!(trailers["grpc-status"], "14");
            assert!(
                trailers["grpc-message"]
                    .to_str()
                    .unwrap()
                    .starts_with("backend-closed")
            );
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn a_call_may_be_silent_for_longer_than_any_other_body() {
    let stage = Stage::new(&[(service(), Protocol::Grpc)], &["body-idle=50"]);
    run(async {
        let client = connect(stage.edge).await;
        let (response, mut stream) = begin(&client, call(URL)).await;
        let mut answer = response.await.unwrap().into_body();
        next(&mut answer).await.unwrap();
        for _ in 0..3 {
            let silent = tokio::time::timeout(Duration::from_millis(200), answer.data()).await;
            assert!(silent.is_err(), "{silent:?}");
            stream
                .send_data(Bytes::from_static(b"more"), false)
                .unwrap();
            assert_eq!(next(&mut answer).await.unwrap(), "more");
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let (_, trailers) = read(answer).await.unwrap();
        assert_eq!(trailers, Some(finished()));
        // What is no call is cut off.
        let mut client = client.clone().ready().await.unwrap();
        let request = Request::post(URL).body(()).unwrap();
        let (response, _stream) = client.send_request(request, false).unwrap();
        let ended = async { read(response.await?.into_body()).await };
        assert!(ended.await.is_err());
    });
}

#[test]
fn a_caller_that_measures_a_long_answer_with_pings_is_no_trouble() {
    const MESSAGES: usize = 3000;
    let long = http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        for _ in 0..MESSAGES {
            assert!(http2::has_room(&mut stream, 100).await);
            stream
                .send_data(Bytes::from_static(&[b'x'; 100]), false)
                .unwrap();
            tokio::task::yield_now().await;
        }
        stream.send_trailers(finished()).unwrap();
    });
    let stage = Stage::new(&[(long, Protocol::Grpc)], &[]);
    run(async {
        let stream = tokio::net::TcpStream::connect(stage.edge).await.unwrap();
        let (client, mut connection) = h2::client::Builder::new()
            .data_frame_budget(usize::MAX)
            .handshake(stream)
            .await
            .unwrap();
        let mut pings = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        let (response, _stream) = begin(&client, call(URL)).await;
        let mut answer = response.await.unwrap().into_body();
        let (mut received, mut measured) = (0, 0);
        while received < MESSAGES * 100 {
            received += next(&mut answer).await.unwrap().len();
            if received - measured >= 200 {
                pings.ping(h2::Ping::opaque()).await.unwrap();
                measured = received;
            }
        }
        let (_, trailers) = read(answer).await.unwrap();
        assert_eq!(trailers, Some(finished()));
    });
}

#[test]
fn messages_that_one_caller_does_not_read_do_not_stop_another() {
    let many = http2::backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            if request.uri().path() == "/few" {
                return drop(stream.send_trailers(finished()));
            }
            while http2::has_room(&mut stream, 10).await {
                let _ = stream.send_data(Bytes::from_static(b"\0\0\0\0\x05hello"), false);
            }
        },
    );
    let stage = Stage::new(&[(many, Protocol::Grpc)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let mut unread = Vec::new();
        for _ in 0..4 {
            let (response, stream) = begin(&client, call(URL)).await;
            unread.push((response.await.unwrap(), stream));
        }
        for _ in 0..50 {
            let other = connect(stage.edge).await;
            let (response, _stream) = begin(&other, call("http://a.test/few")).await;
            assert_eq!(whole(response).await.trailers, Some(finished()));
        }
        // Those that were not read meanwhile go on.
        for (response, _stream) in &mut unread {
            let first = response.body_mut().data().await.unwrap();
            assert!(first.is_ok(), "{first:?}");
        }
    });
}
