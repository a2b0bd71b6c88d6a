//! TLS under load: long bodies, idle connections, and certificates that change meanwhile.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use http::Request;
use model::Protocol;
use rustls::ClientConfig;

use crate::support::backend::Backend;
use crate::support::eventually;
use crate::support::http2::{self, get, read, run, skip, upload};
use crate::support::stage::Stage;
use crate::support::tls::{
    self, Authority, Secure, agree, in_front_of, secure, showing, trusting, verify,
};

const LONG: usize = 64 << 20;

/// An edge in TLS whose certificate for `a.test` is of `authority`, and a client of it.
fn scene(
    authority: &Authority,
    endpoint: (SocketAddr, Protocol),
    protocols: &[&str],
) -> (Stage, Arc<ClientConfig>) {
    let signed = authority.sign(&["a.test"]);
    let stage = Stage::prepared(&[endpoint], &[], |snapshot| {
        secure(snapshot, &[("a.test", &signed)]);
    });
    (stage, Arc::new(trusting(authority, protocols)))
}

fn counting() -> Backend {
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

fn ends_with(client: &mut Secure, end: &str) {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

fn long_bodies(stage: &Stage, config: &Arc<ClientConfig>) {
    let before = stage.setup.proxy.resident();
    let mut client = agree(stage.edge, config, "a.test");
    write!(
        client,
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LONG}\r\n\r\n"
    )
    .unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..LONG >> 20 {
        client.write_all(&piece).unwrap();
    }
    ends_with(&mut client, &format!("\r\n\r\n{LONG}"));
    write!(client, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    ends_with(&mut client, "\r\n\r\n");
    let mut body = (&mut client).take(LONG as u64);
    assert_eq!(
        std::io::copy(&mut body, &mut std::io::sink()).unwrap(),
        LONG as u64
    );
    let grown = stage.setup.proxy.resident().saturating_sub(before);
    assert!(grown < 8192, "the proxy grew by {grown} KiB");
}

#[test]
fn long_bodies_in_tls_stream_in_bounded_memory() {
    let (authority, backend) = (Authority::new(), counting());
    let (stage, config) = scene(&authority, (backend.address, Protocol::Http), &[]);
    long_bodies(&stage, &config);
}

#[test]
fn long_bodies_in_tls_on_both_sides_stream_in_bounded_memory() {
    let (authority, backend) = (Authority::new(), counting());
    let shown = showing(&authority.sign(&["web.internal"]), &["http/1.1"]);
    let address = in_front_of(backend.address, shown, Arc::default());
    let (mut stage, config) = scene(&authority, (address, Protocol::Http), &[]);
    stage.change(|snapshot| verify(snapshot, "web.internal", &authority));
    long_bodies(&stage, &config);
}

#[test]
fn long_bodies_of_http2_in_tls_stream_in_bounded_memory() {
    let settings = h2::server::Builder::new();
    let backend = http2::backend(settings, |request, mut respond| async move {
        let is_post = request.method() == "POST";
        let received = skip(&mut request.into_body()).await.unwrap();
        let mut stream = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        match is_post {
            true => http2::answer(&mut stream, received.to_string(), None),
            false => upload(&mut stream, LONG).await.unwrap(),
        }
    });
    let authority = Authority::new();
    let (stage, config) = scene(&authority, (backend, Protocol::Http2), &["h2"]);
    let before = stage.setup.proxy.resident();
    run(async {
        let client = tls::connect(stage.edge, &config, "a.test").await;
        let mut one = client.clone().ready().await.unwrap();
        let request = Request::post("https://a.test/").body(()).unwrap();
        let (response, mut stream) = one.send_request(request, false).unwrap();
        upload(&mut stream, LONG).await.unwrap();
        let (body, _) = read(response.await.unwrap().into_body()).await.unwrap();
        assert_eq!(body, LONG.to_string().into_bytes());
        let mut one = client.clone().ready().await.unwrap();
        let request = Request::get("https://a.test/").body(()).unwrap();
        let (response, _) = one.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(skip(&mut body).await.unwrap(), LONG);
    });
    let grown = stage.setup.proxy.resident().saturating_sub(before);
    assert!(grown < 8192, "the proxy grew by {grown} KiB");
}

#[test]
fn each_of_2_000_idle_connections_in_tls_costs_less_than_32_kib() {
    const CONNECTIONS: usize = 2000;
    crate::memory::raise_limit();
    let authority = Authority::new();
    let backend = Backend::echo("web");
    let (stage, config) = scene(&authority, (backend.address, Protocol::Http), &[]);
    let open = || {
        let mut client = agree(stage.edge, &config, "a.test");
        write!(client, "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        ends_with(&mut client, "web /x ");
        client
    };
    let _first: Vec<_> = (0..10).map(|_| open()).collect();
    let before = stage.setup.proxy.resident();
    let _held: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let bytes = stage.setup.proxy.resident().saturating_sub(before) * 1024 / CONNECTIONS as u64;
    assert!(bytes < 32 * 1024, "{bytes} bytes for each idle connection");
}

#[test]
fn certificates_change_while_requests_run_and_none_fails() {
    let authority = Authority::new();
    let backend = Backend::echo("web");
    let endpoint = (backend.address, Protocol::Http);
    let (mut stage, config) = scene(&authority, endpoint, &[]);
    let over_http2 = Arc::new(trusting(&authority, &["h2"]));
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let edge = stage.edge;
    let mut old = agree(edge, &config, "a.test");
    let asking = |is_http2: bool| {
        let (stop, served) = (stop.clone(), served.clone());
        let config = if is_http2 { &over_http2 } else { &config }.clone();
        std::thread::spawn(move || {
            while !stop.load(SeqCst) {
                match is_http2 {
                    true => asks_in_http2(edge, &config, &served),
                    false => asks_in_http1(edge, &config, &served),
                }
            }
        })
    };
    let clients = [asking(false), asking(true)];
    for _ in 0..20 {
        let before = served.load(SeqCst);
        eventually("they are served", || served.load(SeqCst) > before + 10);
        let renewed = authority.sign(&["a.test"]);
        stage.change(|snapshot| secure(snapshot, &[("a.test", &renewed)]));
        // A client that knows no session is shown the new one.
        let fresh = Arc::new(trusting(&authority, &[]));
        let client = agree(edge, &fresh, "a.test");
        assert_eq!(client.conn.peer_certificates().unwrap()[0], renewed.der());
        write!(old, "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        ends_with(&mut old, "web /x ");
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

fn asks_in_http1(edge: SocketAddr, config: &Arc<ClientConfig>, served: &AtomicUsize) {
    let mut client = agree(edge, config, "a.test");
    for _ in 0..10 {
        write!(client, "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
        ends_with(&mut client, "web /x ");
        served.fetch_add(1, SeqCst);
    }
}

fn asks_in_http2(edge: SocketAddr, config: &Arc<ClientConfig>, served: &AtomicUsize) {
    run(async {
        let client = tls::connect(edge, config, "a.test").await;
        for _ in 0..10 {
            let answer = get(&client, "https://a.test/x").await;
            assert_eq!(answer.text(), "web /x ");
            served.fetch_add(1, SeqCst);
        }
    });
}
