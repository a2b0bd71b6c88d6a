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
