//! Requests and answers through the real proxy, as a client and a backend see them.

use std::net::SocketAddr;
use std::time::Duration;

use model::Protocol;

use crate::support::backend::{Backend, Connection};
use crate::support::client::{Client, End};
use crate::support::{Builder, Setup, free_address};

/// A proxy with an edge that leads to one backend.
fn edge_to(backend: &Backend) -> (Setup, SocketAddr) {
    let address = free_address();
    let builder = Builder::generation(1).edge(address);
    let builder = builder
        .http("web", &[backend.address])
        .route("a.test", "/", "web");
    (Setup::serving(&builder.0, &[]), address)
}

fn edge_with(
    serve: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> (Setup, SocketAddr, Backend) {
    let backend = Backend::start(serve);
    let (setup, address) = edge_to(&backend);
    (setup, address, backend)
}

#[test]
fn both_connections_are_kept_and_only_what_must_change_is_rewritten() {
    let backend = Backend::echo("web");
    let (_setup, address) = edge_to(&backend);
    let mut client = Client::connect(address);
    client.send(
        "GET /a?b=c HTTP/1.1\r\nHost: A.test:80\r\nX-One:  spaced \r\nConnection: x-hop\r\n\
         X-Hop: 1\r\nKeep-Alive: 5\r\nX-Forwarded-For: 6.6.6.6\r\nTE: trailers\r\n\
         X-Two: 2\r\nUpgrade: h2c\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "web /a?b=c "));
    assert_eq!(client.get("a.test", "/again").text(), "web /again ");
    assert_eq!(
        backend.received(),
        [
            "GET /a?b=c HTTP/1.1\r\nHost: A.test:80\r\nX-One:  spaced \r\nX-Two: 2\r\n\
          x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\r\n\
          GET /again HTTP/1.1\r\nHost: a.test\r\n\
          x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\r\n"
        ],
    );
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let backend = Backend::echo("web");
    let (_setup, address) = edge_to(&backend);
    let mut client = Client::connect(address);
    let request =
        |n: usize| format!("POST /{n} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n{n:02}");
    client.send((0..50).map(request).collect::<String>());
    for n in 0..50 {
        assert_eq!(client.answer().text(), format!("web /{n} {n:02}"));
    }
}

#[test]
fn hosts_and_paths_choose_the_service_and_errors_say_why() {
    let (web, api) = (Backend::echo("web"), Backend::echo("api"));
    let (edge, dead) = (free_address(), free_address());
    let builder = Builder::generation(1)
        .edge(edge)
        .http("web", &[web.address])
        .http("api", &[api.address])
        .http("dead", &[dead])
        .http("none", &[])
        .tcp("db", &[web.address])
        .route("a.test", "/", "web")
        .route("a.test", "/api", "api")
        .route("dead.test", "/", "dead")
        .route("none.test", "/", "none")
        .route("db.test", "/", "db");
    let _setup = Setup::serving(&builder.0, &[]);
    let mut client = Client::connect(edge);
    assert_eq!(client.get("a.test", "/apis").text(), "web /apis ");
    assert_eq!(client.get("A.TEST:1", "/api/x").text(), "api /api/x ");
    for (host, status, reason) in [
        ("b.test", 404, "no-route"),
        ("none.test", 503, "no-healthy-endpoint"),
        ("dead.test", 502, "connect-failed"),
        ("db.test", 502, "wrong-protocol"),
    ] {
        let answer = client.get(host, "/");
        assert_eq!(
            (answer.status, answer.field("roadbed-reason")),
            (status, Some(reason))
        );
        assert!(answer.text().starts_with(reason), "{answer:?}");
    }
    client.send("GET / HTTP/1.1\r\nHost: b.test\r\nAccept: application/json\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["error"]["reason"], "no-route");
    assert_eq!(client.get("a.test", "/still").text(), "web /still ");
}

#[test]
fn endpoints_take_turns_and_one_that_refuses_is_passed_over() {
    let (one, two) = (Backend::echo("one"), Backend::echo("two"));
    let mesh = free_address();
    let endpoints = [one.address, free_address(), two.address];
    let builder = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &endpoints);
    let _setup = Setup::serving(&builder.0, &[]);
    let mut client = Client::connect(mesh);
    let mut names: Vec<_> = (0..30)
        .map(|_| client.get("x", "/").text().to_owned())
        .collect();
    assert!(names.iter().all(|name| name.ends_with(" / ")));
    names.sort();
    names.dedup();
    assert_eq!(names, ["one / ", "two / "]);
}

#[test]
fn absolute_targets_replace_host() {
    let backend = Backend::echo("web");
    let (_setup, address) = edge_to(&backend);
    let mut client = Client::connect(address);
    client.send("GET http://a.test:80/x HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.answer().text(), "web /x ");
    assert!(backend.received()[0].starts_with("GET /x HTTP/1.1\r\nhost: a.test:80\r\nx-forw"));
}

#[test]
fn old_clients_are_answered_and_kept_only_if_they_ask() {
    let backend = Backend::echo("web");
    let mesh = free_address();
    let builder = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let _setup = Setup::serving(&builder.0, &[]);
    let mut client = Client::connect(mesh);
    client.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("web /1 ", Some("keep-alive"))
    );
    client.send("GET /2 HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("web /2 ", Some("close"))
    );
    assert_eq!(client.rest(), (vec![], End::Orderly));
    assert!(backend.received()[0].starts_with("GET /1 HTTP/1.1\r\nhost: web\r\n\r\n"));
}

#[test]
fn chunks_are_framed_anew_and_trailers_passed_on() {
    let (_setup, address, backend) = edge_with(|connection| {
        while let Some(head) = connection.head() {
            connection.until(b"\r\n\r\n");
            if head.starts_with("POST") {
                connection.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3;ext=1\r\nabc\r\n0002\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n",
                );
            }
        }
    });
    let mut client = Client::connect(address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n\
         4;a=b\r\nwiki\r\n00005\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n",
    );
    let head = client.head();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let body = String::from_utf8(client.until(b"X-Sum: 5\r\n\r\n")).unwrap();
    assert_eq!(body, "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n");
    let received = backend.received().concat();
    let (_, body) = received.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "4\r\nwiki\r\n5\r\npedia\r\n0\r\nX-Sum: 9\r\n\r\n");
}

#[test]
fn an_answer_without_length_is_chunked_so_that_its_end_can_be_told() {
    let (_setup, address, _backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let mut client = Client::connect(address);
    let answer = client.get("a.test", "/");
    assert_eq!(answer.text(), "until the end");
    client.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    let (old, end) = client.rest();
    let old = String::from_utf8(old).unwrap();
    assert!(
        old.ends_with("\r\n\r\nuntil the end") && !old.contains("chunked"),
        "{old}"
    );
    assert_eq!(end, End::Orderly);
}

#[test]
fn a_backend_that_dies_in_the_body_never_leaves_a_whole_looking_answer() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ] {
        let (_setup, address, _backend) = edge_with(move |connection| {
            connection.head();
            connection.send(head);
        });
        for version in ["1.0", "1.1"] {
            let mut client = Client::connect(address);
            client.send(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n"));
            let (bytes, end) = client.rest();
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                text.contains("part") && !text.ends_with("0\r\n\r\n"),
                "{text}"
            );
            assert_eq!(end, End::Reset, "{head:?} in {version}");
        }
    }
}

#[test]
fn bad_answers_are_bad_gateways_and_never_reach_the_client() {
    for bad in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let (_setup, address, _backend) = edge_with(move |connection| {
            connection.head();
            connection.send(bad);
            connection.drain();
        });
        let answer = Client::connect(address).get("a.test", "/");
        assert_eq!(
            (answer.status, answer.field("roadbed-reason")),
            (502, Some("bad-response"))
        );
    }
}

#[test]
fn the_timeout_runs_from_the_end_of_the_request_and_aborts_the_backend() {
    let backend = Backend::start(|connection| connection.drain());
    let mesh = free_address();
    let builder = Builder::generation(1).mesh(mesh, "web").upstream(
        "web",
        Protocol::Http,
        Duration::from_millis(50),
        &[backend.address],
    );
    let mut setup = Setup::serving(&builder.0, &[]);
    let mut client = Client::connect(mesh);
    let answer = client.get("a.test", "/");
    assert_eq!(
        (answer.status, answer.field("roadbed-reason")),
        (504, Some("timeout"))
    );
    // Nothing is in flight any more once the answer is there.
    let next = builder.next().without("web", 1);
    assert!(setup.change(&builder.0, &next.0).is_empty());
}

#[test]
fn continue_is_relayed_between_the_two_who_wait_for_it() {
    let (_setup, address, _backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        connection.until(b"body");
        connection.answer("done");
    });
    let mut client = Client::connect(address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    client.send("body");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.field("connection")), ("done", None));
}

#[test]
fn an_early_answer_arrives_whole_although_the_body_is_still_being_sent() {
    let (_setup, address, _backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    });
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n");
    client.send(vec![0; 100_000]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (413, "big"));
    assert_eq!(answer.field("connection"), Some("close"));
}

#[test]
fn head_and_statuses_without_content_have_no_body_whatever_they_announce() {
    let (_setup, address, _backend) = edge_with(|connection| {
        while let Some(head) = connection.head() {
            let status = if head.starts_with("HEAD") {
                "200 OK"
            } else {
                "304 Not Modified"
            };
            connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\n"));
        }
    });
    let mut client = Client::connect(address);
    for method in ["HEAD", "GET", "HEAD"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let head = client.head();
        assert!(head.contains("Content-Length: 10\r\n"), "{head}");
    }
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways_and_ends_by_halves() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.head();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello",
        );
        connection.drain();
        connection.send("bye");
    });
    let mut client = Client::connect(address);
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly",
    );
    let head = client.head();
    assert_eq!(
        head,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nconnection: upgrade\r\n\r\n"
    );
    assert_eq!(client.exactly(5), b"hello");
    client.send(" bytes");
    client.finish();
    assert_eq!(client.rest(), (b"bye".to_vec(), End::Orderly));
    let received = backend.received().concat();
    assert!(received.contains("Upgrade: echo\r\n") && received.contains("connection: upgrade\r\n"));
    assert!(received.ends_with("\r\n\r\nearly bytes"));
}

#[test]
fn an_upgrade_that_the_backend_declines_is_an_ordinary_answer() {
    let backend = Backend::echo("web");
    let (_setup, address) = edge_to(&backend);
    let mut client = Client::connect(address);
    client.send("GET /1 HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.answer().text(), "web /1 ");
    assert_eq!(client.get("a.test", "/2").text(), "web /2 ");
}

#[test]
fn a_connection_that_the_backend_closed_while_idle_costs_no_request() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.request();
        connection.answer("once");
    });
    let mut client = Client::connect(address);
    for n in 0..50 {
        assert_eq!(client.get("a.test", &format!("/{n}")).text(), "once");
    }
    assert_eq!(backend.received().len(), 50);
}

#[test]
fn a_request_that_meets_a_closing_connection_is_sent_again_only_if_that_is_harmless() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.request();
        connection.answer("first");
        // Takes the next request and dies without a word.
        connection.request();
    });
    let mut client = Client::connect(address);
    assert_eq!(client.get("a.test", "/").text(), "first");
    assert_eq!(client.get("a.test", "/").text(), "first");
    assert_eq!(backend.received().len(), 2);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("roadbed-reason")),
        (502, Some("backend-closed"))
    );
    assert_eq!(backend.received().len(), 2);
}

#[test]
fn a_client_that_resets_releases_the_backend_at_once() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.head();
        connection.drain();
        connection.received_note(" released");
    });
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    crate::support::eventually("the backend has the request", || {
        backend.received().concat().ends_with("\r\n\r\n")
    });
    client.reset();
    crate::support::eventually("the backend is released", || {
        backend.received().concat().ends_with(" released")
    });
}

#[test]
fn large_bodies_stream_both_ways_in_bounded_memory() {
    const BYTES: usize = 200 << 20;
    let (setup, address, _backend) = edge_with(|connection| {
        let head = connection.head().unwrap();
        if head.starts_with("POST") {
            let received = connection.skip(BYTES);
            connection.answer(&received.to_string());
        } else {
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"
            ));
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..BYTES >> 20 {
                connection.send(&piece);
            }
        }
    });
    let before = setup.proxy.resident();
    let mut client = Client::connect(address);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BYTES}\r\n\r\n"
    ));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..BYTES >> 20 {
        client.send(&piece);
    }
    assert_eq!(client.answer().text(), BYTES.to_string());
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.head();
    client.skip(BYTES);
    let grown = setup.proxy.resident().saturating_sub(before);
    assert!(grown < 4096, "the proxy grew by {grown} KiB");
}

#[test]
fn a_proxy_told_to_stop_finishes_what_is_in_flight_and_exits() {
    let (mut setup, address, _backend) = edge_with(|connection| {
        while connection.request().is_some() {
            connection.answer("served");
            connection.until(b"go on");
        }
    });
    let backend_slow = Client::connect(address);
    let mut client = backend_slow;
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nab");
    let mut idle = Client::connect(address);
    setup.proxy.terminate();
    crate::support::eventually("the port is closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert_eq!(idle.rest(), (vec![], End::Orderly));
    client.send("cd");
    let answer = client.answer();
    assert_eq!(
        (answer.text(), answer.field("connection")),
        ("served", Some("close"))
    );
    drop(client);
    assert!(setup.proxy.0.wait().unwrap().success());
}
