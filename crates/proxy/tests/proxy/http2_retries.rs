//! What a backend of HTTP/2 leaves undone and says so is done elsewhere, once; what it may have
//! done is not done again.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use model::Protocol;

use crate::support::backend::{Backend, Connection};
use crate::support::frames::{self, DATA, Frame};
use crate::support::http2::{
    self, Whole, ask, connect, echo, get, next, read, run, upload_until_it_stalls,
};
use crate::support::stage::{Stage, URL};

/// Refuses every stream, after it has read so many bytes of its body.
fn refusing(after: usize) -> SocketAddr {
    let settings = h2::server::Builder::new();
    http2::backend(settings, move |request, mut respond| async move {
        let (mut body, mut count) = (request.into_body(), 0);
        while count < after {
            count += next(&mut body).await.unwrap().len();
        }
        respond.send_reset(Reason::REFUSED_STREAM);
    })
}

fn reason(answer: &Whole) -> (u16, Option<&str>) {
    (answer.head.status.as_u16(), answer.field("roadbed-reason"))
}

#[test]
fn a_refused_stream_is_asked_of_another_endpoint_with_its_body() {
    let endpoints = [(refusing(0), Protocol::Http2), (echo(), Protocol::Http2)];
    let mut stage = Stage::new(&endpoints, &[]);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..20 {
            let answer = ask(&client, Request::post(URL), Some(b"body"))
                .await
                .unwrap();
            assert_eq!(answer.text(), "POST http://a.test/x body");
            assert_eq!(get(&client, URL).await.text(), "GET http://a.test/x ");
        }
    });
    stage.nothing_is_in_flight();
}

#[test]
fn a_stream_that_everyone_refuses_is_told_of() {
    let stage = Stage::new(&[(refusing(0), Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let answer = ask(&client, Request::post(URL), Some(b"body"))
            .await
            .unwrap();
        assert_eq!(reason(&answer), (502, Some("backend-closed")));
    });
}

#[test]
fn a_body_too_long_to_be_kept_is_not_sent_again() {
    const TAKEN: usize = 100_000;
    let settings = h2::server::Builder::new();
    let (asked, others) = channel();
    let other = http2::backend(settings, move |request, mut respond| {
        asked.send(request.method().clone()).unwrap();
        async move { drop(respond.send_response(Response::new(()), true)) }
    });
    let endpoints = [(refusing(TAKEN), Protocol::Http2), (other, Protocol::Http2)];
    let stage = Stage::new(&endpoints, &[]);
    let (mut answered, mut refused) = (0, 0);
    run(async {
        let client = connect(stage.edge).await;
        // Chance chooses between the two, of which one never refuses.
        while answered == 0 || refused < 2 {
            let mut client = client.clone().ready().await.unwrap();
            let request = Request::post(URL).body(()).unwrap();
            let (response, mut stream) = client.send_request(request, false).unwrap();
            upload_until_it_stalls(&mut stream).await;
            let (head, body) = response.await.unwrap().into_parts();
            drop(body);
            match head.status.as_u16() {
                200 => answered += 1,
                _ => {
                    assert_eq!(head.headers["roadbed-reason"], "backend-closed");
                    refused += 1;
                }
            }
        }
    });
    assert_eq!(others.try_iter().count(), answered);
}

/// Notes each request's stream and connection, and does as told.
struct Script {
    address: SocketAddr,
    seen: Receiver<(usize, u32, Vec<u8>)>,
    _backend: Backend,
}

/// A backend whose connections are served by `first`, and then by one that answers everything.
fn script(first: impl Fn(&mut Connection, &dyn Fn(&Frame)) + Send + Sync + 'static) -> Script {
    let (noting, seen) = channel();
    let noting = Mutex::new((0, noting));
    let backend = Backend::start(move |connection| {
        let (number, noting) = {
            let mut noting = noting.lock().unwrap();
            noting.0 += 1;
            (noting.0, noting.1.clone())
        };
        let note = |frame: &Frame| {
            let body = if frame.kind == DATA {
                &*frame.payload
            } else {
                b"head"
            };
            noting.send((number, frame.stream, body.to_vec())).unwrap();
        };
        frames::greet(connection);
        if number == 1 {
            return first(connection, &note);
        }
        while let Some(frame) = frames::read(connection) {
            note(&frame);
            if frame.ends_stream() {
                frames::answer(connection, frame.stream, &format!("served by {number}"));
            }
        }
    });
    Script {
        address: backend.address,
        seen,
        _backend: backend,
    }
}

impl Script {
    /// Waits for the next head of a request.
    async fn head(&self) -> (usize, u32) {
        loop {
            match self.seen.try_recv() {
                Ok((connection, stream, what)) if what == b"head" => return (connection, stream),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }
}

#[test]
fn streams_above_the_last_that_a_leaving_backend_names_are_done_elsewhere() {
    let (finish, finished) = channel();
    let finished = Mutex::new(finished);
    let backend = script(move |connection, note| {
        let mut ended = 0;
        while ended < 3 {
            let frame = frames::read(connection).unwrap();
            note(&frame);
            ended += usize::from(frame.ends_stream());
        }
        frames::go_away(connection, 1);
        // The first is still being done.
        finished.lock().unwrap().recv().unwrap();
        frames::answer(connection, 1, "served by 1");
        connection.drain();
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let first = ask(&client, Request::post(URL), Some(b"one"));
        let others = async {
            assert_eq!(backend.head().await, (1, 1));
            let another = || ask(&client, Request::post(URL), Some(b"another"));
            let (second, third) = tokio::join!(another(), another());
            assert_eq!(second.unwrap().text(), "served by 2");
            assert_eq!(third.unwrap().text(), "served by 2");
            assert_eq!(get(&client, URL).await.text(), "served by 2");
            finish.send(()).unwrap();
        };
        let (first, ()) = tokio::join!(first, others);
        assert_eq!(first.unwrap().text(), "served by 1");
    });
    stage.nothing_is_in_flight();
}

#[test]
fn a_backend_that_leaves_several_connections_with_streams_on_them_costs_no_request() {
    const LEAVING: usize = 3;
    let (leave, leaving) = channel();
    let (finish, finished) = channel();
    let (leaving, finished) = (Mutex::new(leaving), Mutex::new(finished));
    let (asked, asks) = channel();
    let numbers = Mutex::new(0..);
    let backend = Backend::start(move |connection| {
        let number = numbers.lock().unwrap().next().unwrap();
        frames::greet_with(connection, frames::ONE_STREAM_AT_A_TIME);
        while let Some(frame) = frames::read(connection) {
            if !frame.ends_stream() {
                continue;
            }
            if number < LEAVING {
                asked.send(()).unwrap();
                leaving.lock().unwrap().recv().unwrap();
                frames::go_away(connection, frame.stream);
                finished.lock().unwrap().recv().unwrap();
            }
            frames::answer(connection, frame.stream, "served");
        }
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let slow = (0..LEAVING).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, URL).await })
        });
        let slow: Vec<_> = slow.collect();
        for _ in 0..LEAVING {
            while asks.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        (0..LEAVING).for_each(|_| leave.send(()).unwrap());
        for _ in 0..10 {
            let answer = ask(&client, Request::post(URL), Some(b"body"))
                .await
                .unwrap();
            assert_eq!(answer.text(), "served");
        }
        (0..LEAVING).for_each(|_| finish.send(()).unwrap());
        for answer in slow {
            assert_eq!(answer.await.unwrap().text(), "served");
        }
    });
    stage.nothing_is_in_flight();
}

#[test]
fn what_a_leaving_backend_has_looked_at_is_not_done_again() {
    let backend = script(|connection, note| {
        while let Some(frame) = frames::read(connection) {
            note(&frame);
            if frame.ends_stream() {
                return frames::go_away(connection, frame.stream);
            }
        }
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        let answer = ask(&client, Request::post(URL), Some(b"once"))
            .await
            .unwrap();
        assert_eq!(reason(&answer), (502, Some("backend-closed")));
        assert_eq!(get(&client, URL).await.text(), "served by 2");
    });
    stage.nothing_is_in_flight();
    assert_eq!(
        backend
            .seen
            .try_iter()
            .filter(|(_, _, what)| what == b"once")
            .count(),
        1
    );
}

#[test]
fn a_backend_that_leaves_all_of_its_connections_costs_no_request() {
    // Each connection takes one request.
    let backend = Backend::start(|connection| {
        frames::greet(connection);
        while let Some(frame) = frames::read(connection) {
            if frame.ends_stream() {
                frames::answer(connection, frame.stream, "served");
                frames::go_away(connection, frame.stream);
            }
        }
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..20 {
            let answer = ask(&client, Request::post(URL), Some(b"body"))
                .await
                .unwrap();
            assert_eq!(answer.text(), "served");
        }
    });
    stage.nothing_is_in_flight();
}

#[test]
fn a_connection_of_http1_that_was_closed_while_idle_costs_a_get_over_http2_nothing() {
    let backend = Backend::start(|connection| {
        connection.request();
        connection.answer("first");
        connection.request();
    });
    let stage = Stage::new(&[(backend.address, Protocol::Http)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..10 {
            assert_eq!(get(&client, URL).await.text(), "first");
        }
        let post = Request::post(URL).header("content-length", "1");
        let answer = ask(&client, post, Some(b"x")).await.unwrap();
        assert_eq!(reason(&answer), (502, Some("backend-closed")));
    });
    assert_eq!(backend.received().concat().matches("POST").count(), 1);
}

#[test]
fn a_connection_of_http2_that_died_is_replaced() {
    let backend = script(|connection, note| {
        let frame = frames::read(connection).unwrap();
        note(&frame);
        frames::answer(connection, frame.stream, "served by 1");
        note(&frames::read(connection).unwrap());
    });
    let stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        assert_eq!(get(&client, URL).await.text(), "served by 1");
        // It dies with the next, which does no harm twice.
        assert_eq!(get(&client, URL).await.text(), "served by 2");
        let post = ask(&client, Request::post(URL), Some(b"x")).await.unwrap();
        assert_eq!(post.text(), "served by 2");
    });
}

#[test]
fn a_backend_that_is_down_for_a_moment_is_passed_over() {
    let dead = crate::support::free_address();
    let endpoints = [(dead, Protocol::Http2), (echo(), Protocol::Http2)];
    let mut stage = Stage::new(&endpoints, &[]);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..10 {
            let answer = ask(&client, Request::post(URL), Some(b"body"))
                .await
                .unwrap();
            assert_eq!(answer.text(), "POST http://a.test/x body");
        }
    });
    assert_eq!(stage.lead_to(&[(dead, Protocol::Http2)]), []);
    run(async {
        let client = connect(stage.edge).await;
        let answer = ask(&client, Request::post(URL), Some(b"body"))
            .await
            .unwrap();
        assert_eq!(reason(&answer), (502, Some("connect-failed")));
    });
}

#[test]
fn a_refusal_in_mid_upload_sends_what_was_sent_again_and_goes_on() {
    let (settings, refused) = (h2::server::Builder::new(), Arc::new(Mutex::new(false)));
    let backend = http2::backend(settings, move |request, mut respond| {
        let is_first = !std::mem::replace(&mut *refused.lock().unwrap(), true);
        async move {
            let mut body = request.into_body();
            if is_first {
                next(&mut body).await.unwrap();
                return respond.send_reset(Reason::REFUSED_STREAM);
            }
            let (body, _) = read(body).await.unwrap();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            http2::answer(&mut stream, String::from_utf8(body).unwrap(), None);
        }
    });
    let stage = Stage::new(&[(backend, Protocol::Http2)], &[]);
    run(async {
        let mut client = connect(stage.edge).await.ready().await.unwrap();
        let request = Request::post(URL).body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        stream
            .send_data(Bytes::from_static(b"begun "), false)
            .unwrap();
        // More follows while the second attempt runs, and then the end.
        tokio::task::yield_now().await;
        stream
            .send_data(Bytes::from_static(b"and ended"), true)
            .unwrap();
        let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(body, b"begun and ended");
    });
}

#[test]
fn streams_refused_at_once_are_all_asked_of_another_endpoint() {
    let endpoints = [(refusing(0), Protocol::Http2), (echo(), Protocol::Http2)];
    let mut stage = Stage::new(&endpoints, &[]);
    run(async {
        let client = connect(stage.edge).await;
        get(&client, URL).await;
        let asking = (0..60).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, Request::post(URL), Some(b"body")).await })
        });
        for answer in asking.collect::<Vec<_>>() {
            let answer = answer.await.unwrap().unwrap();
            assert_eq!(answer.text(), "POST http://a.test/x body");
        }
    });
    stage.nothing_is_in_flight();
}
