//! Either side leaving at any moment where HTTP/2 is spoken: nothing half is taken for whole, and
//! what was in flight is over at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use model::Protocol;

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::eventually;
use crate::support::http2::{self, ask, connect, connect_until_it_ends, get, read, run};
use crate::support::stage::{Stage, URL};

/// Answers of HTTP/1.1 that end before their end.
const CUT_SHORT: [&str; 2] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
];

#[test]
fn an_answer_of_http1_that_is_cut_short_resets_the_stream() {
    for answer in CUT_SHORT {
        let backend = Backend::start(move |connection| {
            connection.head();
            connection.send(answer);
        });
        let mut stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
        run(async {
            let client = connect(stage.edge).await;
            let error = ask(&client, Request::get(URL), None).await.unwrap_err();
            assert!(error.is_reset() && error.is_remote(), "{error:?}");
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
            assert_eq!(get(&client, "http://b.test/").await.head.status, 404);
        });
        stage.nothing_is_in_flight();
    }
}

/// How a backend of HTTP/2 cuts its answer short.
type Cut = fn(SendResponse<Bytes>);

const CUTS: [Cut; 4] = [
    |mut respond| {
        let answer = Response::builder().header("content-length", "100");
        let mut stream = respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap();
        stream.send_data(Bytes::from_static(b"part"), true).unwrap();
    },
    |mut respond| {
        let answer = Response::builder().header("content-length", "4");
        let mut stream = respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap();
        stream
            .send_data(Bytes::from_static(b"too much"), true)
            .unwrap();
    },
    |mut respond| {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        stream.send_reset(Reason::INTERNAL_ERROR);
    },
    |mut respond| {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        stream.send_reset(Reason::NO_ERROR);
    },
];

fn cutting(cut: Cut) -> SocketAddr {
    let settings = h2::server::Builder::new();
    http2::backend(settings, move |_, respond| async move { cut(respond) })
}

#[test]
fn an_answer_of_http2_that_is_cut_short_resets_the_stream() {
    for cut in CUTS {
        let mut stage = Stage::new(&[(cutting(cut), Protocol::Http2)], &[]);
        run(async {
            let client = connect(stage.edge).await;
            match ask(&client, Request::get(URL), None).await {
                Err(error) => assert!(error.is_reset() && error.is_remote(), "{error:?}"),
                // The library may find it out with the head.
                Ok(answer) => assert_eq!(answer.head.status, 502, "{answer:?}"),
            }
            assert_eq!(get(&client, "http://b.test/").await.head.status, 404);
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn an_answer_of_http2_that_is_cut_short_resets_a_client_of_http1() {
    for cut in CUTS {
        let mut stage = Stage::new(&[(cutting(cut), Protocol::Http2)], &[]);
        let mut client = Client::connect(stage.edge);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let (bytes, end) = client.rest();
        // Where the cut was seen with the head, the client is told instead.
        if !bytes.starts_with(b"HTTP/1.1 502 ") {
            assert_eq!(end, End::Reset);
            assert!(!bytes.ends_with(b"0\r\n\r\n"));
        }
        stage.nothing_is_in_flight();
    }
}

#[test]
fn a_backend_whose_connection_ends_in_mid_answer_resets_all_of_its_streams() {
    let backend = Backend::start(|connection| {
        use crate::support::frames;
        frames::greet(connection);
        let mut streams = Vec::new();
        while let Some(frame) = frames::read(connection) {
            frames::begin_answer(connection, frame.stream, "part");
            streams.push(frame.stream);
            if streams.len() == 10 {
                return;
            }
        }
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let asking = (0..10).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, Request::get(URL), None).await })
        });
        for asked in asking.collect::<Vec<_>>() {
            match asked.await.unwrap() {
                Err(error) => assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR)),
                Ok(answer) => assert_eq!(answer.head.status, 502),
            }
        }
    });
    stage.nothing_is_in_flight();
}

/// What a backend has seen of its clients.
#[derive(Default)]
struct Seen {
    begun: AtomicUsize,
    aborted: AtomicUsize,
}

/// Answers nothing, or with `answering` begins to, and notes when it is not wanted any more.
fn waiting_http2(seen: &Arc<Seen>, answering: bool) -> SocketAddr {
    let seen = seen.clone();
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(1000);
    http2::backend(settings, move |request, mut respond| {
        let seen = seen.clone();
        async move {
            let reset = if answering {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                let _ = stream.send_data(Bytes::from_static(b"part"), false);
                seen.begun.fetch_add(1, SeqCst);
                std::future::poll_fn(|cx| stream.poll_reset(cx)).await
            } else {
                seen.begun.fetch_add(1, SeqCst);
                std::future::poll_fn(|cx| respond.poll_reset(cx)).await
            };
            drop(request);
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            seen.aborted.fetch_add(1, SeqCst);
        }
    })
}

fn waiting_http1(seen: &Arc<Seen>, answering: bool) -> Backend {
    let seen = seen.clone();
    Backend::start(move |connection| {
        connection.head();
        if answering {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
        }
        seen.begun.fetch_add(1, SeqCst);
        assert!(connection.ends_in_reset());
        seen.aborted.fetch_add(1, SeqCst);
    })
}

/// Has `count` streams run, and `leave` leave them.
fn abandoned(
    endpoint: (SocketAddr, Protocol),
    seen: &Seen,
    answering: bool,
    request: fn() -> Request<()>,
    leave: Leave,
) {
    const COUNT: usize = 50;
    let mut stage = Stage::new(&[endpoint], &[]);
    run(async {
        let (client, connection) = connect_until_it_ends(stage.edge).await;
        let mut streams = Vec::new();
        for _ in 0..COUNT {
            let mut client = client.clone().ready().await.unwrap();
            let request = request();
            let ends = request.method() == "GET";
            let (response, mut stream) = client.send_request(request, ends).unwrap();
            if !ends {
                stream
                    .send_data(Bytes::from_static(b"part"), false)
                    .unwrap();
            }
            streams.push((response, stream));
        }
        while seen.begun.load(SeqCst) < COUNT {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut answers = Vec::new();
        if answering {
            for (response, _) in &mut streams {
                answers.push(response.await.unwrap());
            }
        }
        match leave {
            Leave::Cancelling => {
                for (_, stream) in &mut streams {
                    stream.send_reset(Reason::CANCEL);
                }
                while seen.aborted.load(SeqCst) < COUNT {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                assert_eq!(get(&client, "http://b.test/").await.head.status, 404);
            }
            Leave::Vanishing => connection.abort(),
        }
    });
    eventually("all are released", || seen.aborted.load(SeqCst) == COUNT);
    // What follows an abort is over at once, but on another thread.
    stage.soon_nothing_is_in_flight();
}

#[derive(Clone, Copy)]
enum Leave {
    Cancelling,
    Vanishing,
}

fn download() -> Request<()> {
    Request::get(URL).body(()).unwrap()
}

fn upload() -> Request<()> {
    Request::post(URL).body(()).unwrap()
}

#[test]
fn cancelled_streams_release_backends_of_http2() {
    for answering in [false, true] {
        for request in [download, upload] {
            let seen = Arc::default();
            let backend = waiting_http2(&seen, answering);
            let endpoint = (backend, Protocol::Http2);
            abandoned(endpoint, &seen, answering, request, Leave::Cancelling);
        }
    }
}

#[test]
fn cancelled_streams_release_backends_of_http1() {
    for answering in [false, true] {
        for request in [download, upload] {
            let seen = Arc::default();
            let backend = waiting_http1(&seen, answering);
            let endpoint = (backend.address, Protocol::Http);
            abandoned(endpoint, &seen, answering, request, Leave::Cancelling);
        }
    }
}

#[test]
fn a_client_that_vanishes_releases_all_of_its_streams_at_backends_of_http2() {
    for answering in [false, true] {
        let seen = Arc::default();
        let endpoint = (waiting_http2(&seen, answering), Protocol::Http2);
        abandoned(endpoint, &seen, answering, download, Leave::Vanishing);
    }
}

#[test]
fn a_client_that_vanishes_releases_all_of_its_streams_at_backends_of_http1() {
    for answering in [false, true] {
        let seen = Arc::default();
        let backend = waiting_http1(&seen, answering);
        let endpoint = (backend.address, Protocol::Http);
        abandoned(endpoint, &seen, answering, download, Leave::Vanishing);
    }
}

#[test]
fn a_client_of_http1_that_resets_releases_a_backend_of_http2() {
    for answering in [false, true] {
        let seen = Arc::<Seen>::default();
        let mut stage = Stage::new(&[(waiting_http2(&seen, answering), Protocol::Http2)], &[]);
        let mut client = Client::connect(stage.edge);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        eventually("it is asked", || seen.begun.load(SeqCst) == 1);
        client.reset();
        eventually("it is released", || seen.aborted.load(SeqCst) == 1);
        stage.soon_nothing_is_in_flight();
    }
}

#[test]
fn an_answer_that_comes_before_the_end_of_its_request_is_whole() {
    let settings = h2::server::Builder::new();
    let backend = http2::backend(settings, |_, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        http2::answer(&mut stream, "early".into(), None);
    });
    let early = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
    let old = Backend::start(move |connection| {
        connection.head();
        connection.send(early);
        connection.drain();
    });
    for endpoint in [(backend, Protocol::Http2), (old.address, Protocol::Http)] {
        let mut stage = Stage::new(&[endpoint], &[]);
        run(async {
            let client = connect(stage.edge).await;
            for _ in 0..5 {
                let mut client = client.clone().ready().await.unwrap();
                let request = Request::post(URL).body(()).unwrap();
                let (response, stream) = client.send_request(request, false).unwrap();
                let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
                assert_eq!(body, b"early");
                drop(stream);
            }
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_given_up_on() {
    let seen = Arc::<Seen>::default();
    let new = waiting_http2(&seen, false);
    let old = waiting_http1(&seen, false);
    for endpoint in [(new, Protocol::Http2), (old.address, Protocol::Http)] {
        let timeout = Duration::from_millis(50);
        let mut stage = Stage::with_timeout(&[endpoint], &[], timeout);
        run(async {
            let client = connect(stage.edge).await;
            let post = Request::post(URL);
            let (get, post) = tokio::join!(get(&client, URL), ask(&client, post, Some(b"body")));
            for answer in [get, post.unwrap()] {
                assert_eq!(answer.head.status, 504);
                assert_eq!(answer.field("roadbed-reason"), Some("timeout"));
            }
        });
        stage.nothing_is_in_flight();
    }
    eventually("all are released", || seen.aborted.load(SeqCst) == 4);
}
