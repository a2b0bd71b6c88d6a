//! TLS towards backends: who is believed, and what is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::Request;
use model::{Protocol, Snapshot};

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::eventually;
use crate::support::http2::{ask, connect, echo, get, run};
use crate::support::stage::{Stage, URL};
use crate::support::tls::{Authority, Signed, in_front_of, showing, verify};

/// A backend of HTTP/1.1 in TLS, and how often TLS was agreed on with it.
fn http1(signed: &Signed) -> (SocketAddr, Arc<AtomicUsize>) {
    // It lives as long as the test's process.
    let backend = Backend::echo("web");
    let agreed = Arc::default();
    let config = showing(signed, &["http/1.1"]);
    (
        in_front_of(backend.address, config, Arc::clone(&agreed)),
        agreed,
    )
}

fn http2(signed: &Signed) -> (SocketAddr, Arc<AtomicUsize>) {
    let agreed = Arc::default();
    let config = showing(signed, &["h2"]);
    (in_front_of(echo(), config, Arc::clone(&agreed)), agreed)
}

fn verified(endpoint: (SocketAddr, Protocol), authority: &Authority) -> Stage {
    Stage::prepared(&[endpoint], &[], |snapshot| {
        verify(snapshot, "web.internal", authority);
    })
}

#[test]
fn a_backend_that_proves_itself_is_spoken_to_in_its_protocol() {
    let authority = Authority::new();
    let signed = authority.sign(&["web.internal"]);
    for (endpoint, url) in [
        ((http1(&signed).0, Protocol::Http), "/x"),
        ((http2(&signed).0, Protocol::Http2), "https://a.test/x"),
        ((http2(&signed).0, Protocol::Grpc), "https://a.test/x"),
    ] {
        let mut stage = verified(endpoint, &authority);
        let mut client = Client::connect(stage.edge);
        assert!(
            client
                .get("a.test", "/x")
                .text()
                .ends_with(&format!("{url} "))
        );
        client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
        assert!(client.answer().text().ends_with(&format!("{url} body")));
        run(async {
            let client = connect(stage.edge).await;
            assert!(get(&client, URL).await.text().ends_with(&format!("{url} ")));
            let post = Request::post(URL).header("content-length", "4");
            let answer = ask(&client, post, Some(b"body")).await.unwrap();
            assert!(answer.text().ends_with(&format!("{url} body")));
        });
        stage.nothing_is_in_flight();
    }
}

#[test]
fn bytes_are_passed_on_to_a_backend_that_proves_itself() {
    let authority = Authority::new();
    let signed = authority.sign(&["web.internal"]);
    let mirror = Backend::start(|connection| {
        let bytes = connection.until(b"end").unwrap();
        connection.send(bytes);
        connection.drain();
        connection.send("bye");
    });
    let agreed = Arc::default();
    let address = in_front_of(mirror.address, showing(&signed, &[]), agreed);
    let mesh = crate::support::free_address();
    let mut stage = Stage::prepared(&[(address, Protocol::Tcp)], &[], |snapshot| {
        to_bytes(snapshot, mesh);
        verify(snapshot, "web.internal", &authority);
    });
    let mut client = Client::connect(mesh);
    client.send("begin and end");
    assert_eq!(client.exactly(13), b"begin and end");
    client.finish();
    assert_eq!(client.rest(), (b"bye".to_vec(), End::Orderly));
    stage.soon_nothing_is_in_flight();
    // Whoever does not prove itself is not told a byte.
    let other = Authority::new();
    let mut client = {
        let address = in_front_of(mirror.address, showing(&signed, &[]), Arc::default());
        stage.lead_to(&[(address, Protocol::Tcp)]);
        stage.change(|snapshot| {
            to_bytes(snapshot, mesh);
            verify(snapshot, "web.internal", &other);
        });
        Client::connect(mesh)
    };
    let is_taken = client.offer("secret and end");
    let (heard, end) = client.rest();
    assert!(heard.is_empty());
    assert!(!is_taken || end == End::Reset);
    assert!(!mirror.received().concat().contains("secret"));
}

/// Has a listener pass bytes on to the service.
fn to_bytes(snapshot: &mut Snapshot, mesh: SocketAddr) {
    let builder = crate::support::Builder(snapshot.clone()).mesh(mesh, "web");
    *snapshot = builder.0;
    let web = crate::support::upstream_id("web");
    snapshot.upstreams.get_mut(&web).unwrap().protocol = Protocol::Tcp;
}

#[test]
fn a_backend_that_does_not_prove_itself_is_not_asked() {
    let (authority, other) = (Authority::new(), Authority::new());
    let cases = [
        ("another name", authority.sign(&["other.internal"])),
        ("another authority", other.sign(&["web.internal"])),
        ("expired", authority.sign_until(&["web.internal"], 2020)),
    ];
    for (what, signed) in cases {
        for endpoint in [
            (http1(&signed).0, Protocol::Http),
            (http2(&signed).0, Protocol::Http2),
        ] {
            let mut stage = verified(endpoint, &authority);
            let mut client = Client::connect(stage.edge);
            let answer = client.get("a.test", "/x");
            let told = (answer.status, answer.field("roadbed-reason"));
            assert_eq!(told, (502, Some("connect-failed")), "{what}");
            run(async {
                let client = connect(stage.edge).await;
                let answer = ask(&client, Request::post(URL), Some(b"body"))
                    .await
                    .unwrap();
                assert_eq!(answer.head.status, 502, "{what}");
                assert_eq!(answer.field("roadbed-reason"), Some("connect-failed"));
            });
            stage.nothing_is_in_flight();
        }
    }
}

#[test]
fn a_backend_that_does_not_speak_what_it_should_is_not_asked() {
    let authority = Authority::new();
    let signed = authority.sign(&["web.internal"]);
    let plain = Backend::echo("web");
    let silent = in_front_of(echo(), showing(&signed, &[]), Arc::default());
    for endpoint in [
        // No TLS at all, or no word of HTTP/2 in it.
        (plain.address, Protocol::Http),
        (echo(), Protocol::Http2),
        (http1(&signed).0, Protocol::Http2),
        (silent, Protocol::Http2),
    ] {
        let mut stage = verified(endpoint, &authority);
        let answer = Client::connect(stage.edge).get("a.test", "/x");
        assert_eq!(answer.field("roadbed-reason"), Some("connect-failed"));
        stage.nothing_is_in_flight();
    }
    assert!(!plain.received().concat().contains("GET"));
}

#[test]
fn one_backend_that_does_not_prove_itself_is_passed_over() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) = (
        authority.sign(&["web.internal"]),
        other.sign(&["web.internal"]),
    );
    let endpoints = [
        (http1(&good).0, Protocol::Http),
        (http1(&bad).0, Protocol::Http),
    ];
    let stage = Stage::prepared(&endpoints, &[], |snapshot| {
        verify(snapshot, "web.internal", &authority);
    });
    let mut client = Client::connect(stage.edge);
    for _ in 0..10 {
        assert_eq!(client.get("a.test", "/x").text(), "web /x ");
    }
}

#[test]
fn another_authority_counts_for_new_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    for protocol in [Protocol::Http, Protocol::Http2] {
        let backend = |signed: &Signed| match protocol {
            Protocol::Http => http1(signed).0,
            _ => http2(signed).0,
        };
        let before = backend(&old.sign(&["web.internal"]));
        let after = backend(&new.sign(&["web.internal"]));
        let mut stage = verified((before, protocol), &old);
        let ask = |stage: &Stage| Client::connect(stage.edge).get("a.test", "/x").status;
        assert_eq!(ask(&stage), 200);
        // The name of the authority stays, and whom it stands for changes.
        stage.change(|snapshot| {
            let roots = new.pem.clone();
            snapshot
                .authorities
                .insert("ca".into(), model::Authority { roots });
        });
        stage.lead_to(&[(after, protocol)]);
        stage.change(|snapshot| verify(snapshot, "web.internal", &new));
        assert_eq!(ask(&stage), 200);
        stage.lead_to(&[(before, protocol)]);
        stage.change(|snapshot| verify(snapshot, "web.internal", &new));
        assert_eq!(ask(&stage), 502);
        // Both at once, as while one follows the other.
        stage.change(|snapshot| {
            let roots = format!("{}{}", old.pem, new.pem);
            snapshot
                .authorities
                .insert("ca".into(), model::Authority { roots });
        });
        assert_eq!(ask(&stage), 200);
        // Without it nobody is believed.
        stage.change(|snapshot| snapshot.authorities.clear());
        stage.lead_to(&[]);
        stage.lead_to(&[(after, protocol)]);
        stage.change(|snapshot| {
            verify(snapshot, "web.internal", &new);
            snapshot.authorities.clear();
        });
        assert_eq!(ask(&stage), 502);
    }
}

#[test]
fn a_connection_in_use_outlives_its_authority() {
    let authority = Authority::new();
    let (address, agreed) = http1(&authority.sign(&["web.internal"]));
    let mut stage = verified((address, Protocol::Http), &authority);
    let mut client = Client::connect(stage.edge);
    client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbo");
    eventually("it is connected", || agreed.load(SeqCst) == 1);
    let other = Authority::new();
    stage.change(|snapshot| {
        let roots = other.pem.clone();
        snapshot
            .authorities
            .insert("ca".into(), model::Authority { roots });
    });
    client.send("dy");
    assert_eq!(client.answer().text(), "web /x body");
}

#[test]
fn idle_connections_are_used_again_although_tickets_have_arrived_on_them() {
    let authority = Authority::new();
    let signed = authority.sign(&["web.internal"]);
    for (make, protocol) in [
        (http1 as fn(&Signed) -> _, Protocol::Http),
        (http2, Protocol::Http2),
    ] {
        let (address, agreed): (SocketAddr, Arc<AtomicUsize>) = make(&signed);
        let stage = verified((address, protocol), &authority);
        let mut client = Client::connect(stage.edge);
        for n in 0..50 {
            // GET takes any idle connection, POST one that is known to be good.
            assert_eq!(client.get("a.test", "/x").status, 200);
            client.send(format!(
                "POST /{n} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody"
            ));
            assert_eq!(client.answer().status, 200);
        }
        assert_eq!(agreed.load(SeqCst), 1, "{protocol:?}");
    }
}

#[test]
fn a_connection_in_tls_that_was_closed_while_idle_costs_no_request() {
    let authority = Authority::new();
    let signed = authority.sign(&["web.internal"]);
    let backend = Backend::start(|connection| {
        connection.request();
        connection.answer("once");
    });
    let config = showing(&signed, &["http/1.1"]);
    let address = in_front_of(backend.address, config, Arc::default());
    let stage = verified((address, Protocol::Http), &authority);
    let mut client = Client::connect(stage.edge);
    for _ in 0..20 {
        assert_eq!(client.get("a.test", "/x").text(), "once");
    }
}

#[test]
fn an_answer_in_tls_that_ends_without_a_goodbye_is_not_whole() {
    let authority = Authority::new();
    let config = showing(&authority.sign(&["web.internal"]), &["http/1.1"]);
    // Its body lasts until the connection's end.
    let backend = Backend::start(move |connection| {
        let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
        while tls.is_handshaking() {
            if tls.complete_io(&mut connection.stream).is_err() {
                return;
            }
        }
        use std::io::{Read, Write};
        let mut stream = rustls::Stream::new(&mut tls, &mut connection.stream);
        let mut head = [0; 1000];
        let count = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall").unwrap();
        if head[..count].starts_with(b"GET /whole ") {
            tls.send_close_notify();
            tls.complete_io(&mut connection.stream).unwrap();
        }
    });
    let stage = verified((backend.address, Protocol::Http), &authority);
    let mut client = Client::connect(stage.edge);
    assert_eq!(client.get("a.test", "/whole").text(), "all");
    client.send("GET /cut HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let (rest, end) = client.rest();
    assert_eq!(end, End::Reset, "{}", String::from_utf8_lossy(&rest));
    run(async {
        let client = connect(stage.edge).await;
        assert_eq!(get(&client, "http://a.test/whole").await.text(), "all");
        let cut = ask(&client, Request::get("http://a.test/cut"), None).await;
        assert!(cut.unwrap_err().is_reset());
    });
}
