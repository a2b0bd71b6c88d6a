//! Bodies where either side speaks HTTP/2, and both: whole with their trailers, both ways at once,
//! long ones in bounded memory, and never faster than who reads them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use model::Protocol;

use crate::support::backend::{Backend, Connection};
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::http2::{
    self, ask, connect, get, next, read, run, skip, upload, upload_until_it_stalls,
};
use crate::support::stage::{Stage, URL};

const LONG: usize = 64 << 20;

/// Sends every piece back as it comes, and trailers at the end.
fn mirror() -> SocketAddr {
    let settings = h2::server::Builder::new();
    http2::backend(settings, |request, mut respond| async move {
        let mut body = request.into_body();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            let _ = stream.send_data(data, false);
        }
        let trailers = body.trailers().await.unwrap();
        let _ = stream.send_trailers(trailers.unwrap_or_default());
    })
}

fn sum(value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static(value));
    trailers
}

/// Asks with trailers, and reads the trailers of the answer.
async fn trailers_through(edge: SocketAddr) -> Option<HeaderMap> {
    let mut client = connect(edge).await.ready().await.unwrap();
    let request = Request::post(URL).body(()).unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    stream
        .send_data(Bytes::from_static(b"body"), false)
        .unwrap();
    stream.send_trailers(sum("9")).unwrap();
    let (body, trailers) = read(response.await.unwrap().into_body()).await.unwrap();
    assert_eq!(body, b"body");
    trailers
}

#[test]
fn trailers_cross_from_http2_to_http1_and_back() {
    let backend = Backend::start(|connection| {
        connection.head();
        connection.until(b"x-sum: 9\r\n\r\n");
        connection.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\nX-Sum: 5\r\n\r\n",
        );
        connection.drain();
    });
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(async { assert_eq!(trailers_through(stage.edge).await, Some(sum("5"))) });
    let received = backend.received().concat();
    assert!(
        received.ends_with("\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 9\r\n\r\n"),
        "{received}"
    );
}

#[test]
fn trailers_cross_from_http2_to_http2_and_back() {
    let stage = Stage::new(&[(mirror(), Protocol::Http2)], &[]);
    run(async { assert_eq!(trailers_through(stage.edge).await, Some(sum("9"))) });
}

#[test]
fn trailers_without_content_cross() {
    let stage = Stage::new(&[(mirror(), Protocol::Http2)], &[]);
    run(async {
        let mut client = connect(stage.edge).await.ready().await.unwrap();
        let request = Request::post(URL).body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        stream.send_trailers(sum("0")).unwrap();
        let (body, trailers) = read(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!((body, trailers), (vec![], Some(sum("0"))));
    });
}

/// Sends a piece only after the one before has come back.
async fn converse(edge: SocketAddr) {
    let mut client = connect(edge).await.ready().await.unwrap();
    let request = Request::post(URL).body(()).unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    let mut answer = response.await.unwrap().into_body();
    for n in 0..200 {
        let piece = Bytes::from(format!("piece {n:03}"));
        stream.send_data(piece.clone(), false).unwrap();
        assert_eq!(next(&mut answer).await.unwrap(), piece);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(skip(&mut answer).await.unwrap(), 0);
}

#[test]
fn a_conversation_within_one_exchange_crosses_piece_by_piece() {
    let stage = Stage::new(&[(mirror(), Protocol::Http2)], &[]);
    run(converse(stage.edge));
}

#[test]
fn a_conversation_crosses_to_http1_too() {
    let backend = Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(line) = connection.until(b"\r\n") {
            let size = String::from_utf8(line.clone()).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let rest = connection.exactly(size + 2).unwrap();
            connection.send([line, rest].concat());
        }
    });
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(converse(stage.edge));
}

/// Counts what it is sent, or sends as much as the path says.
fn counting_http2() -> SocketAddr {
    let settings = h2::server::Builder::new();
    http2::backend(settings, |request, mut respond| async move {
        let (head, mut body) = request.into_parts();
        let received = skip(&mut body).await.unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        match head.method.as_str() {
            "POST" => http2::answer(&mut stream, received.to_string(), None),
            _ => upload(&mut stream, LONG).await.unwrap(),
        }
    })
}

fn counting_http1() -> Backend {
    Backend::start(|connection| {
        while let Some(head) = connection.head() {
            if head.starts_with("POST") {
                let received = connection.skip(LONG);
                connection.answer(&received.to_string());
            } else {
                connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n"));
                let piece = vec![b'x'; 1 << 20];
                for _ in 0..LONG >> 20 {
                    connection.send(&piece);
                }
            }
        }
    })
}

async fn long_bodies(stage: &Stage) {
    let before = stage.setup.proxy.resident();
    let mut client = connect(stage.edge).await.ready().await.unwrap();
    let request = Request::post(URL).header("content-length", LONG);
    let (response, mut stream) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    upload(&mut stream, LONG).await.unwrap();
    let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
    assert_eq!(body, LONG.to_string().into_bytes());
    let mut client = client.ready().await.unwrap();
    let request = Request::get(URL).body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(skip(&mut body).await.unwrap(), LONG);
    bounded(stage, before);
}

fn bounded(stage: &Stage, before: u64) {
    let grown = stage.setup.proxy.resident().saturating_sub(before);
    assert!(grown < 8192, "the proxy grew by {grown} KiB");
}

#[test]
fn long_bodies_from_http2_to_http2_stream_in_bounded_memory() {
    let stage = Stage::new(&[(counting_http2(), Protocol::Http2)], &[]);
    run(long_bodies(&stage));
}

#[test]
fn long_bodies_from_http2_to_http1_stream_in_bounded_memory() {
    let backend = counting_http1();
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(long_bodies(&stage));
}

#[test]
fn long_bodies_from_http1_to_http2_stream_in_bounded_memory() {
    let stage = Stage::new(&[(counting_http2(), Protocol::Http2)], &[]);
    let before = stage.setup.proxy.resident();
    let mut client = Client::connect(stage.edge);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LONG}\r\n\r\n"
    ));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..LONG >> 20 {
        client.send(&piece);
    }
    assert_eq!(client.answer().text(), LONG.to_string());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    let mut received = 0;
    loop {
        let line = String::from_utf8(client.until(b"\r\n")).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        client.exactly(size + 2);
        received += size;
        if size == 0 {
            break;
        }
    }
    assert_eq!(received, LONG);
    bounded(&stage, before);
}

/// Sends without end on every path but `/x`, and counts what was taken when nothing more is.
fn endless_http2(taken: &Arc<AtomicUsize>) -> SocketAddr {
    let taken = taken.clone();
    let settings = h2::server::Builder::new();
    http2::backend(settings, move |request, mut respond| {
        let taken = taken.clone();
        async move {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            if request.uri().path() == "/x" {
                return http2::answer(&mut stream, "short".into(), None);
            }
            let count = upload_until_it_stalls(&mut stream).await;
            taken.fetch_add(count.max(1), SeqCst);
            drop(std::future::poll_fn(|cx| stream.poll_reset(cx)).await);
        }
    })
}

fn endless_http1(taken: &Arc<AtomicUsize>) -> Backend {
    let taken = taken.clone();
    Backend::start(move |connection: &mut Connection| {
        while let Some(head) = connection.head() {
            if head.starts_with("GET /x ") {
                connection.answer("short");
                continue;
            }
            connection.send("HTTP/1.1 200 OK\r\n\r\n");
            let stall = Some(Duration::from_millis(300));
            connection.stream.set_write_timeout(stall).unwrap();
            let mut count = 1;
            while connection.try_send([b'x'; 0x10000]) {
                count += 0x10000;
            }
            taken.fetch_add(count, SeqCst);
            return connection.drain();
        }
    })
}

/// Begins `count` answers that are not read, and reads others meanwhile.
fn unread_answers_wait(endpoint: (SocketAddr, Protocol), taken: &AtomicUsize, count: usize) {
    let stage = Stage::new(&[endpoint], &[]);
    let before = stage.setup.proxy.resident();
    run(async {
        let client = connect(stage.edge).await;
        let mut unread = Vec::new();
        for _ in 0..count {
            let mut client = client.clone().ready().await.unwrap();
            let request = Request::get("http://a.test/endless").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            unread.push(response.await.unwrap().into_body());
        }
        while taken.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..20 {
            assert_eq!(get(&client, URL).await.text(), "short");
        }
        let taken = taken.load(SeqCst);
        assert!(
            taken < 32 << 20,
            "{taken} bytes were taken and not delivered"
        );
        drop(unread);
    });
    let grown = stage.setup.proxy.resident().saturating_sub(before);
    assert!(grown < 16384, "the proxy grew by {grown} KiB");
}

#[test]
fn answers_of_http2_that_are_not_read_stop_their_backend_and_no_other_stream() {
    let taken = Arc::default();
    let backend = endless_http2(&taken);
    unread_answers_wait((backend, Protocol::Http2), &taken, 1);
}

#[test]
fn many_answers_that_are_not_read_do_not_use_up_what_others_share_with_them() {
    let taken = Arc::default();
    let backend = endless_http2(&taken);
    unread_answers_wait((backend, Protocol::Http2), &taken, 20);
}

#[test]
fn answers_of_http1_that_are_not_read_stop_their_backend_and_no_other_stream() {
    let taken = Arc::default();
    let backend = endless_http1(&taken);
    unread_answers_wait((backend.address, Protocol::Http), &taken, 1);
}

#[test]
fn an_answer_of_http2_stops_at_a_client_of_http1_that_does_not_read() {
    let taken = Arc::new(AtomicUsize::new(0));
    let stage = Stage::new(&[(endless_http2(&taken), Protocol::Http2)], &[]);
    let mut client = Client::connect(stage.edge);
    client.send("GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the stream has stalled", || taken.load(SeqCst) > 0);
    assert!(taken.load(SeqCst) < 64 << 20);
    assert_eq!(
        Client::connect(stage.edge).get("a.test", "/x").text(),
        "short"
    );
}

/// Answers once it is told to, and reads nothing before.
fn not_reading() -> SocketAddr {
    let mut settings = h2::server::Builder::new();
    settings.initial_connection_window_size(16 << 20);
    http2::backend(settings, |request, mut respond| async move {
        if request.uri().path() != "/x" {
            drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await);
            return;
        }
        let (_, mut body) = request.into_parts();
        let received = skip(&mut body).await.unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        http2::answer(&mut stream, received.to_string(), None);
    })
}

/// Begins `count` uploads that nobody reads; another is read meanwhile.
fn unread_uploads_wait(count: usize) {
    let stage = Stage::new(&[(not_reading(), Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let mut unread = Vec::new();
        for _ in 0..count {
            let mut client = client.clone().ready().await.unwrap();
            let request = Request::post("http://a.test/unread").body(()).unwrap();
            let (response, mut stream) = client.send_request(request, false).unwrap();
            let taken = upload_until_it_stalls(&mut stream).await;
            assert!(
                taken < 4 << 20,
                "{taken} bytes were taken and not delivered"
            );
            unread.push((response, stream));
        }
        let request = Request::post(URL);
        let answer = ask(&client, request, Some(&[b'x'; 10_000])).await.unwrap();
        assert_eq!(answer.text(), "10000");
    });
}

#[test]
fn an_upload_that_is_not_read_stops_and_no_other_stream_does() {
    unread_uploads_wait(1);
}

#[test]
fn many_uploads_that_are_not_read_do_not_stop_another() {
    unread_uploads_wait(12);
}
