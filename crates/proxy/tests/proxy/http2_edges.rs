//! What is less usual where HTTP/2 and TLS are spoken: silence, backends that speak something
//! else, listeners that change, and a proxy that starts without a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use model::Protocol;

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::http2::{self, ask, connect, echo, get, next, read, run};
use crate::support::stage::{Stage, URL};
use crate::support::tls::{self, Authority, agree, secure, trusting};
use crate::support::{Builder, eventually, free_address, upstream_id};

#[test]
fn an_upload_that_falls_silent_is_given_up_on() {
    let aborted = Arc::new(AtomicUsize::new(0));
    let counting = aborted.clone();
    let old = Backend::start(move |connection| {
        connection.head();
        counting.fetch_add(connection.ends_in_reset().into(), SeqCst);
    });
    let counting = aborted.clone();
    let new = http2::backend(h2::server::Builder::new(), move |request, _respond| {
        let counting = counting.clone();
        async move {
            let mut body = request.into_body();
            next(&mut body).await.unwrap();
            let error = body.data().await.unwrap().unwrap_err();
            assert_eq!(error.reason(), Some(Reason::CANCEL));
            counting.fetch_add(1, SeqCst);
        }
    });
    for endpoint in [(old.address, Protocol::Http), (new, Protocol::Http2)] {
        let mut stage = Stage::new(&[endpoint], &["body-idle=50"]);
        run(async {
            let client = connect(stage.edge).await;
            let mut client = client.ready().await.unwrap();
            let request = Request::post(URL).body(()).unwrap();
            let (response, mut stream) = client.send_request(request, false).unwrap();
            stream.send_data(Bytes::from_static(b"x"), false).unwrap();
            let head = response.await.unwrap();
            assert_eq!(head.status().as_u16(), 408);
            assert_eq!(head.headers()["roadbed-reason"], "idle-timeout");
        });
        stage.soon_nothing_is_in_flight();
    }
    eventually("both are aborted", || aborted.load(SeqCst) == 2);
}

#[test]
fn an_answer_that_falls_silent_is_cut_off() {
    let old = Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
        connection.drain();
    });
    let new = http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        drop(std::future::poll_fn(|cx| stream.poll_reset(cx)).await);
    });
    for endpoint in [(old.address, Protocol::Http), (new, Protocol::Http2)] {
        let mut stage = Stage::new(&[endpoint], &["body-idle=50"]);
        run(async {
            let client = connect(stage.edge).await;
            let error = ask(&client, Request::get(URL), None).await.unwrap_err();
            assert!(error.is_reset() && error.is_remote());
        });
        let mut client = Client::connect(stage.edge);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.rest().1, End::Reset);
        stage.soon_nothing_is_in_flight();
    }
}

#[test]
fn a_backend_that_speaks_an_older_version_than_it_should_is_told_of() {
    let backend = Backend::start(|connection| {
        connection.until(b"\r\n\r\n");
        connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let mut stage = Stage::new(&[(backend.address, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..3 {
            let answer = ask(&client, Request::post(URL), Some(b"body"))
                .await
                .unwrap();
            assert_eq!(answer.head.status, 502);
            assert_eq!(answer.field("roadbed-reason"), Some("connect-failed"));
        }
    });
    stage.nothing_is_in_flight();
}

#[test]
fn a_backend_that_accepts_and_says_nothing_is_given_its_time_and_no_more() {
    let backend = Backend::start(|connection| connection.drain());
    let endpoints = [(backend.address, Protocol::Http2)];
    let mut stage = Stage::with_timeout(&endpoints, &[], Duration::from_millis(50));
    run(async {
        let client = connect(stage.edge).await;
        let asking = (0..5).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, URL).await })
        });
        for answer in asking.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            assert_eq!(answer.field("roadbed-reason"), Some("timeout"));
        }
    });
    stage.nothing_is_in_flight();
}

#[test]
fn a_listener_that_leads_elsewhere_does_so_with_the_next_stream() {
    let mesh = free_address();
    let (one, other) = (Backend::echo("one"), Backend::echo("other"));
    let before = Builder::generation(1)
        .mesh(mesh, "one")
        .http("one", &[one.address])
        .http("other", &[other.address]);
    let mut setup = crate::support::Setup::serving(&before.0, &[]);
    run(async {
        let client = connect(mesh).await;
        assert_eq!(get(&client, "http://x/").await.text(), "one / ");
        let mut after = before.next();
        let id = "mesh/app/caller/one";
        let listener = after.0.listeners.get_mut(id).unwrap();
        listener.role = model::ListenerRole::Mesh {
            caller: upstream_id("caller"),
            upstream: upstream_id("other"),
        };
        setup.change(&before.0, &after.0);
        assert_eq!(get(&client, "http://x/").await.text(), "other / ");
    });
}

#[test]
fn an_edge_that_begins_to_speak_tls_does_so_with_the_next_connection() {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let mut stage = Stage::new(&[(echo(), Protocol::Http2)], &[]);
    let config = Arc::new(trusting(&authority, &["h2"]));
    run(async {
        let plain = connect(stage.edge).await;
        assert_eq!(get(&plain, URL).await.head.status, 200);
        stage.change(|snapshot| secure(snapshot, &[("a.test", &signed)]));
        let client = tls::connect(stage.edge, &config, "a.test").await;
        assert_eq!(get(&client, "https://a.test/x").await.head.status, 200);
        assert_eq!(get(&plain, URL).await.head.status, 200);
        stage.change(|snapshot| {
            snapshot.listeners.get_mut("edge").unwrap().tls = false;
            snapshot.certificates.clear();
        });
        let plain = connect(stage.edge).await;
        assert_eq!(get(&plain, URL).await.head.status, 200);
        // Whose certificate is gone goes on with the host that it was opened for.
        assert_eq!(get(&client, "https://a.test/x").await.head.status, 200);
    });
}

#[test]
fn a_proxy_that_starts_without_a_server_has_its_certificates() {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test", "web.internal"]);
    let shown = tls::showing(&signed, &["h2"]);
    let backend = tls::in_front_of(echo(), shown, Arc::default());
    let mut stage = Stage::prepared(&[(backend, Protocol::Http2)], &[], |snapshot| {
        secure(snapshot, &[("a.test", &signed)]);
        tls::verify(snapshot, "web.internal", &authority);
    });
    // This one is only in the journal.
    let renewed = authority.sign(&["a.test"]);
    stage.change(|snapshot| secure(snapshot, &[("a.test", &renewed)]));
    stage.setup.crash_and_restart();
    let config = Arc::new(trusting(&authority, &["h2"]));
    eventually("it serves", || {
        tls::try_agree(stage.edge, &config, "a.test").is_ok()
    });
    let client = agree(stage.edge, &Arc::new(trusting(&authority, &[])), "a.test");
    assert_eq!(client.conn.peer_certificates().unwrap()[0], renewed.der());
    run(async {
        let client = tls::connect(stage.edge, &config, "a.test").await;
        let answer = get(&client, "https://a.test/x").await;
        assert_eq!(answer.text(), "GET https://a.test/x ");
    });
}

#[test]
fn a_certificate_that_cannot_be_used_leaves_the_one_that_can() {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let mut stage = Stage::prepared(&[(echo(), Protocol::Http2)], &[], |snapshot| {
        secure(snapshot, &[("a.test", &signed)]);
    });
    let mut broken = authority.sign(&["a.test"]);
    broken.key = authority.sign(&["a.test"]).key;
    let other = authority.sign(&["b.test"]);
    stage.change(|snapshot| secure(snapshot, &[("a.test", &broken), ("b.test", &other)]));
    let config = Arc::new(trusting(&authority, &[]));
    for (name, expected) in [("a.test", &signed), ("b.test", &other)] {
        let client = agree(stage.edge, &config, name);
        assert_eq!(client.conn.peer_certificates().unwrap()[0], expected.der());
    }
}

#[test]
fn callers_of_bytes_may_speak_tls() {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let mesh = free_address();
    let mirror = Backend::start(|connection| {
        let bytes = connection.until(b"end").unwrap();
        connection.send(bytes);
        let reset = connection.ends_in_reset();
        connection.received_note(if reset { " reset" } else { " ended" });
        connection.send("bye");
    });
    let mut builder = Builder::generation(1)
        .mesh(mesh, "db")
        .tcp("db", &[mirror.address]);
    let listener = builder.0.listeners.values_mut().next().unwrap();
    listener.tls = true;
    let certificate = signed.for_host("a.test");
    builder.0.certificates.insert("a.test".into(), certificate);
    let _setup = crate::support::Setup::serving(&builder.0, &[]);
    let config = Arc::new(trusting(&authority, &[]));
    use std::io::{Read, Write};
    let mut client = agree(mesh, &config, "a.test");
    client.write_all(b"begin and end").unwrap();
    let mut back = [0; 13];
    client.read_exact(&mut back).unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye");
    // An end without a goodbye may be anybody's doing.
    let mut client = agree(mesh, &config, "a.test");
    client.write_all(b"begin and end").unwrap();
    client.read_exact(&mut back).unwrap();
    client.sock.shutdown(std::net::Shutdown::Write).unwrap();
    eventually("it is reset", || {
        mirror.received().concat().ends_with(" reset")
    });
}

#[test]
fn streams_that_are_read_for_a_while_and_then_cancelled_are_no_trouble() {
    let endless = http2::backend(h2::server::Builder::new(), |_, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let _ = stream.send_data(Bytes::from_static(b"event"), false);
        drop(std::future::poll_fn(|cx| stream.poll_reset(cx)).await);
    });
    let mut stage = Stage::new(&[(endless, Protocol::Http2)], &[]);
    run(async {
        let client = connect(stage.edge).await;
        for _ in 0..1000 {
            let mut client = client.clone().ready().await.unwrap();
            let request = Request::get(URL).body(()).unwrap();
            let (response, mut stream) = client.send_request(request, true).unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(next(&mut body).await.unwrap(), "event");
            stream.send_reset(Reason::CANCEL);
        }
        let (_, body) = {
            let mut client = client.ready().await.unwrap();
            let request = Request::get("http://b.test/").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            response.await.unwrap().into_parts()
        };
        read(body).await.unwrap();
    });
    stage.soon_nothing_is_in_flight();
}
