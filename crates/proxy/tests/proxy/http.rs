//! Requests and answers through the real proxy, as a client and a backend see them.

use std::time::Duration;

use model::Protocol;

use crate::support::attested::{SEEN, pinned};
use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::{Builder, Setup, edge_to, edge_with, free_address};

#[test]
fn both_connections_are_kept_and_only_what_must_change_is_rewritten() {
    let backend = Backend::echo("web");
    let (_setup, address) = edge_to(&backend, &[]);
    let mut client = Client::connect(address);
    client.send(
        "GET /a?b=c HTTP/1.1\r\nHost: A.test:80\r\nX-One:  spaced \r\nConnection: x-hop\r\n\
         X-Hop: 1\r\nKeep-Alive: 5\r\nX-Forwarded-For: 6.6.6.6\r\nTE: trailers\r\n\
         X-Two: 2\r\nUpgrade: h2c\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "web /a?b=c "));
    assert_eq!(client.get("a.test", "/again").text(), "web /again ");
    let received: Vec<_> = backend.received().iter().map(|text| pinned(text)).collect();
    assert_eq!(
        received,
        [format!(
            "GET /a?b=c HTTP/1.1\r\nHost: A.test:80\r\nX-One:  spaced \r\nX-Two: 2\r\n{SEEN}\r\n\
             GET /again HTTP/1.1\r\nHost: a.test\r\n{SEEN}\r\n"
        )],
    );
}

#[test]
fn pipelined_requests_are_answered_in_order_one_at_a_time() {
    let backend = Backend::echo("web");
    let (_setup, address) = edge_to(&backend, &[]);
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
fn all_endpoints_are_used_and_one_that_refuses_is_passed_over() {
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
    let (_setup, address) = edge_to(&backend, &[]);
    let mut client = Client::connect(address);
    client.send("GET http://a.test:80/x HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.answer().text(), "web /x ");
    client.send("GET http://a.test HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.answer().text(), "web / ");
    let received = backend.received().concat();
    assert!(received.starts_with("GET /x HTTP/1.1\r\nhost: a.test:80\r\nx-forw"));
    assert!(received.contains("GET / HTTP/1.1\r\nhost: a.test\r\nx-forw"));
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
    let (_setup, address) = edge_to(&backend, &[]);
    let mut client = Client::connect(address);
    client.send("GET /1 HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.answer().text(), "web /1 ");
    assert_eq!(client.get("a.test", "/2").text(), "web /2 ");
}
