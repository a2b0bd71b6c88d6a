//! TLS towards clients: what they are shown, what is agreed on, and what is refused.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use model::{Protocol, Snapshot};
use rustls::{ClientConfig, HandshakeKind};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::eventually;
use crate::support::http2::{ask, echo, get, run};
use crate::support::stage::Stage;
use crate::support::tls::{self, Authority, Secure, agree, secure, trusting, try_agree};

/// A proxy in TLS, and whom its clients trust.
struct Scene {
    stage: Stage,
    edge: SocketAddr,
    authority: Authority,
}

/// An edge that shows a certificate for `a.test`.
fn scene(endpoint: (SocketAddr, Protocol), limits: &[&str]) -> Scene {
    let authority = Authority::new();
    let signed = authority.sign(&["a.test"]);
    let certificates = [("a.test", &signed)];
    let stage = Stage::prepared(&[endpoint], limits, |snapshot| {
        secure(snapshot, &certificates);
    });
    Scene {
        edge: stage.edge,
        stage,
        authority,
    }
}

impl Scene {
    fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        Arc::new(trusting(&self.authority, protocols))
    }
}

/// Asks over HTTP/1.1 and reads the answer, whose length its head says.
fn ask_for(client: &mut Secure, host: &str) -> (u16, String) {
    write!(client, "GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    answer(client)
}

fn answer(client: &mut Secure) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length = length.lines().next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from_utf8(body).unwrap())
}

fn shown(client: &Secure) -> rustls::pki_types::CertificateDer<'static> {
    client.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

#[test]
fn requests_in_tls_are_served_and_told_to_be_secure() {
    let backend = Backend::echo("web");
    let scene = scene((backend.address, Protocol::Http), &[]);
    let mut client = agree(scene.edge, &scene.client(&["http/1.1"]), "a.test");
    for _ in 0..3 {
        assert_eq!(ask_for(&mut client, "a.test"), (200, "web /x ".into()));
    }
    assert_eq!(ask_for(&mut client, "A.TEST:443").0, 200);
    run(async {
        let config = scene.client(&["h2"]);
        let client = tls::connect(scene.edge, &config, "a.test").await;
        assert_eq!(get(&client, "https://a.test/x").await.text(), "web /x ");
        let post = Request::post("https://a.test/x").header("content-length", "4");
        let answer = ask(&client, post, Some(b"body")).await.unwrap();
        assert_eq!(answer.text(), "web /x body");
    });
    let received = backend.received().concat();
    assert_eq!(received.matches("x-forwarded-proto: https\r\n").count(), 6);
    assert_eq!(
        received.matches("x-forwarded-for: 127.0.0.1\r\n").count(),
        6
    );
}

#[test]
fn what_is_agreed_on_is_what_the_client_knows_best() {
    let scene = scene((echo(), Protocol::Http2), &[]);
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["h2"], Some(b"h2")),
        (&[], None),
    ] {
        let mut client = agree(scene.edge, &scene.client(offered), "a.test");
        assert_eq!(client.conn.alpn_protocol(), agreed, "{offered:?}");
        if agreed != Some(b"h2") {
            write!(client, "GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.ends_with("GET http://a.test/x "), "{answer}");
        }
    }
    // Who knows nothing that we know is told so.
    let error = try_agree(scene.edge, &scene.client(&["spdy/3"]), "a.test").unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
}

#[test]
fn the_name_that_is_asked_for_picks_the_certificate() {
    let backend = Backend::echo("web");
    let authority = Authority::new();
    let (one, other) = (authority.sign(&["a.test"]), authority.sign(&["b.test"]));
    let certificates = [("a.test", &one), ("b.test", &other)];
    let endpoint = (backend.address, Protocol::Http);
    let stage = Stage::prepared(&[endpoint], &[], |snapshot| secure(snapshot, &certificates));
    let config = Arc::new(trusting(&authority, &[]));
    for (name, signed) in [("a.test", &one), ("b.test", &other), ("A.Test", &one)] {
        let mut client = agree(stage.edge, &config, name);
        assert_eq!(shown(&client), signed.der(), "{name}");
        assert_eq!(
            ask_for(&mut client, "a.test").0,
            if name == "b.test" { 421 } else { 200 }
        );
    }
    for unknown in ["c.test", "x.a.test"] {
        let error = try_agree(stage.edge, &config, unknown).unwrap_err();
        assert!(
            error.to_string().to_lowercase().contains("alert"),
            "{error}"
        );
    }
    // Who names nobody cannot be shown the right one of two.
    let mut nameless = trusting(&authority, &[]);
    nameless.enable_sni = false;
    assert!(try_agree(stage.edge, &Arc::new(nameless), "a.test").is_err());
}

#[test]
fn who_names_nobody_is_shown_the_only_certificate() {
    let scene = scene((echo(), Protocol::Http2), &[]);
    let mut config = trusting(&scene.authority, &["h2"]);
    config.enable_sni = false;
    run(async {
        let client = tls::connect(scene.edge, &Arc::new(config), "a.test").await;
        let answer = get(&client, "https://a.test/x").await;
        assert_eq!(answer.text(), "GET http://a.test/x ");
        // Nobody has a certificate for this one.
        let answer = get(&client, "https://b.test/x").await;
        assert_eq!(answer.head.status, 421);
    });
}

fn two_hosts(snapshot: &mut Snapshot) {
    let mut route = snapshot.routes["a.test/"].clone();
    for host in ["b.test", "c.test"] {
        route.matching.host = model::HostPattern::new(host).unwrap();
        snapshot.routes.insert(format!("{host}/"), route.clone());
    }
}

#[test]
fn a_connection_serves_the_hosts_of_its_certificate_and_no_other() {
    let authority = Authority::new();
    let shared = authority.sign(&["a.test", "b.test"]);
    let other = authority.sign(&["c.test"]);
    let certificates = [("a.test", &shared), ("b.test", &shared), ("c.test", &other)];
    let stage = Stage::prepared(&[(echo(), Protocol::Http2)], &[], |snapshot| {
        two_hosts(snapshot);
        secure(snapshot, &certificates);
    });
    let config = Arc::new(trusting(&authority, &["h2", "http/1.1"]));
    run(async {
        let client = tls::connect(stage.edge, &config, "a.test").await;
        for (host, status) in [
            ("a.test", 200),
            ("b.test", 200),
            ("c.test", 421),
            ("d.test", 421),
        ] {
            let answer = get(&client, &format!("https://{host}/x")).await;
            assert_eq!(answer.head.status, status, "{host}");
            let reason = (status == 421).then_some("misdirected");
            assert_eq!(answer.field("roadbed-reason"), reason);
        }
        assert_eq!(get(&client, "https://a.test/x").await.head.status, 200);
    });
    let mut client = agree(stage.edge, &Arc::new(trusting(&authority, &[])), "c.test");
    let misdirected = ask_for(&mut client, "a.test");
    assert_eq!(misdirected.0, 421, "{misdirected:?}");
}

#[test]
fn hosts_below_a_domain_are_shown_the_certificate_that_names_them() {
    let authority = Authority::new();
    let (wild, own) = (
        authority.sign(&["a.test", "*.a.test", "other.test"]),
        authority.sign(&["own.a.test"]),
    );
    let backend = Backend::echo("web");
    let endpoint = (backend.address, Protocol::Http);
    let stage = Stage::prepared(&[endpoint], &[], |snapshot| {
        secure(snapshot, &[("a.test", &wild), ("own.a.test", &own)]);
        let certificate = snapshot.certificates.get_mut("a.test").unwrap();
        // It names `own.a.test` too, which has its own.
        for host in ["*.a.test", "own.a.test", "other.test"] {
            certificate
                .also
                .insert(model::HostPattern::new(host).unwrap());
        }
        for (number, host) in ["*.a.test", "other.test"].into_iter().enumerate() {
            let mut route = snapshot.routes["a.test/"].clone();
            route.matching.host = model::HostPattern::new(host).unwrap();
            snapshot.routes.insert(format!("more {number}"), route);
        }
    });
    let config = Arc::new(trusting(&authority, &["h2", "http/1.1"]));
    let http1 = Arc::new(trusting(&authority, &["http/1.1"]));
    for (name, expected) in [
        ("a.test", &wild),
        ("x.a.test", &wild),
        ("X.A.test", &wild),
        ("other.test", &wild),
        ("own.a.test", &own),
    ] {
        let mut client = agree(stage.edge, &http1, name);
        assert_eq!(shown(&client), expected.der(), "{name}");
        let (status, text) = ask_for(&mut client, name);
        assert_eq!(status, 200, "{name} {text}");
        // A connection serves all hosts of the certificate that it was shown, and no other.
        let other = if name == "own.a.test" {
            "x.a.test"
        } else {
            "own.a.test"
        };
        assert_eq!(ask_for(&mut client, other).0, 421, "{name}");
        let same = if name == "own.a.test" {
            "own.a.test"
        } else {
            "y.a.test"
        };
        assert_eq!(ask_for(&mut client, same).0, 200, "{name}");
        assert_eq!(
            agree(stage.edge, &config, name).conn.alpn_protocol(),
            Some(&b"h2"[..])
        );
    }
    // A certificate's wildcard is for one label.
    for name in ["b.x.a.test", "xa.test", "b.test"] {
        assert!(try_agree(stage.edge, &http1, name).is_err(), "{name}");
    }
}

fn kind(client: &mut Secure) -> HandshakeKind {
    // The tickets come with the first answer.
    assert_eq!(ask_for(client, "b.test").0, 421);
    client.conn.handshake_kind().unwrap()
}

#[test]
fn sessions_are_resumed_also_after_their_certificate_has_changed() {
    for versions in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut scene = scene((echo(), Protocol::Http2), &[]);
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject;
        let root = scene.authority.pem.as_bytes();
        roots
            .add(rustls::pki_types::CertificateDer::from_pem_slice(root).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[versions])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        let again = |edge| kind(&mut agree(edge, &config, "a.test"));
        assert_eq!(again(scene.edge), HandshakeKind::Full);
        // Workers share what resumption takes, whichever accepts.
        for _ in 0..8 {
            assert_eq!(again(scene.edge), HandshakeKind::Resumed);
        }
        let renewed = scene.authority.sign(&["a.test"]);
        scene
            .stage
            .change(|snapshot| secure(snapshot, &[("a.test", &renewed)]));
        for _ in 0..8 {
            assert_eq!(again(scene.edge), HandshakeKind::Resumed);
        }
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_cut_off() {
    let scene = scene((echo(), Protocol::Http2), &["head=100"]);
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut client = Client::connect(scene.edge);
        client.send(begun);
        let (rest, _) = client.rest();
        assert_eq!(rest, b"");
    }
}

#[test]
fn who_leaves_within_the_handshake_is_let_go_at_once() {
    let scene = scene((echo(), Protocol::Http2), &["head=60000"]);
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut client = Client::connect(scene.edge);
        client.send(begun);
        client.finish();
        let (rest, _) = client.rest();
        assert_eq!(rest, b"");
    }
}

#[test]
fn what_does_not_speak_tls_is_told_and_hung_up_on() {
    let scene = scene((echo(), Protocol::Http2), &[]);
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 100],
        &[0xff; 20_000],
        b"\x16\x03\x01\x00\x05hello",
    ] {
        let mut client = Client::connect(scene.edge);
        client.offer(garbage);
        let (rest, _) = client.rest();
        // At most an alert, and never a word of HTTP.
        assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
    }
    let mut client = agree(scene.edge, &scene.client(&[]), "a.test");
    assert_eq!(kind(&mut client), HandshakeKind::Full);
}

#[test]
fn a_request_that_ends_without_a_goodbye_is_an_abort() {
    let backend = Backend::start(|connection| {
        connection.head();
        let reset = connection.ends_in_reset();
        connection.received_note(if reset { " reset" } else { " ended" });
    });
    let scene = scene((backend.address, Protocol::Http), &[]);
    for coding in [
        "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "Content-Length: 9\r\n\r\npart",
    ] {
        let mut client = agree(scene.edge, &scene.client(&[]), "a.test");
        write!(client, "POST / HTTP/1.1\r\nHost: a.test\r\n{coding}").unwrap();
        eventually("it has arrived", || {
            backend
                .received()
                .last()
                .is_some_and(|one| one.contains("part"))
        });
        client.sock.shutdown(std::net::Shutdown::Write).unwrap();
        eventually("it is aborted", || {
            backend.received().last().unwrap().ends_with(" reset")
        });
    }
}

#[test]
fn a_client_is_said_goodbye_to() {
    let backend = Backend::echo("web");
    let scene = scene((backend.address, Protocol::Http), &["keep-alive=100"]);
    let config = scene.client(&[]);
    for request in [
        "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n",
    ] {
        let mut client = agree(scene.edge, &config, "a.test");
        client.write_all(request.as_bytes()).unwrap();
        // An end without a goodbye would be an error.
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("web /x "), "{answer}");
    }
}

#[test]
fn an_answer_that_is_cut_short_ends_without_a_goodbye() {
    let backend = Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    });
    let scene = scene((backend.address, Protocol::Http), &[]);
    let mut client = agree(scene.edge, &scene.client(&[]), "a.test");
    write!(client, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    assert!(client.read_to_end(&mut answer).is_err());
}
