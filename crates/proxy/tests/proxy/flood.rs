//! Thousands of connections that end badly, in every way that either side knows: the proxy is
//! still there, with as many descriptors and as much memory as before.

use std::net::{Shutdown, SocketAddr};

use proxy::protocol::FromProxy;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::{Builder, Setup, edge_builder, eventually, free_address};

/// A backend that ends its connections as the path says.
fn bad_backend() -> Backend {
    Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            match head.split(' ').nth(1).unwrap_or_default() {
                "/close" => return,
                "/reset" => return connection.reset_on_close(),
                "/garbage" => connection.send("\r\n\0garbage\r\n\r\n"),
                "/half-head" => return connection.send("HTTP/1.1 200 OK\r\nConte"),
                "/half-body" => {
                    return connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                }
                "/half-chunk" => {
                    connection
                        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf");
                    return connection.reset_on_close();
                }
                "/endless" => {
                    connection.send("HTTP/1.1 200 OK\r\n\r\n");
                    while connection.try_send([b'x'; 10_000]) {}
                    return;
                }
                "/upgrade" => {
                    connection.send(
                        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                         Upgrade: x\r\n\r\n",
                    );
                    return connection.drain();
                }
                _ => connection.answer("well"),
            }
        }
    })
}

/// What a client sends before it leaves.
const BEGINNINGS: [&str; 16] = [
    "",
    "\x16\x03\x01\0\x05",
    "GET / HTTP/1.1\r\nHost: a.test\r\n",
    "GET / HTTP/1.1\nHost: a.test\n\n",
    "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nhalf",
    "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    "GET /close HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /reset HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /garbage HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /half-head HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /half-body HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /half-chunk HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /endless HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET /upgrade HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
];

/// One connection for each beginning and each way to leave.
fn round(edge: SocketAddr) {
    for beginning in BEGINNINGS {
        for departure in 0..4 {
            let mut client = Client::connect(edge);
            client.offer(beginning);
            match departure {
                0 => drop(client),
                1 => client.reset(),
                // The proxy may have ended it already.
                2 => drop(client.stream.shutdown(Shutdown::Write)),
                _ => {
                    // Leaves with the answer before it, if there is to be one.
                    let whole = beginning.ends_with("\r\n\r\n");
                    if whole && client.hears_within(crate::support::PATIENCE) {
                        client.reset();
                    }
                }
            }
        }
    }
    assert_eq!(Client::connect(edge).get("a.test", "/").text(), "well");
}

/// Removes the endpoint and waits for what is still in flight there.
fn take_away(setup: &mut Setup, with: &Builder, without: &Builder) {
    if !setup.change(&with.0, &without.0).is_empty() {
        assert!(matches!(setup.receive(), FromProxy::Drained { .. }));
    }
}

#[test]
fn a_flood_of_bad_connections_leaves_no_descriptor_and_no_memory_behind() {
    let backend = bad_backend();
    let edge = free_address();
    let with = edge_builder(edge, &backend);
    let without = with.next().without("web", 1);
    let mut setup = Setup::serving(&with.0, &["linger=100"]);
    for _ in 0..10 {
        round(edge);
    }
    // Without an endpoint no idle connection is kept either.
    take_away(&mut setup, &with, &without);
    let (mut descriptors, mut settled) = (setup.proxy.descriptors(), 0);
    eventually("what was open is closed", || {
        let now = setup.proxy.descriptors();
        settled = if now == descriptors { settled + 1 } else { 0 };
        descriptors = now;
        settled == 200
    });
    let resident = setup.proxy.resident();
    let mut again = without.next();
    again.0.upstreams.clone_from(&with.0.upstreams);
    setup.change(&without.0, &again.0);
    const ROUNDS: usize = 20;
    const { assert!(ROUNDS * BEGINNINGS.len() * 4 > 1000) };
    for _ in 0..ROUNDS {
        round(edge);
    }
    let gone = again.next().without("web", 1);
    take_away(&mut setup, &again, &gone);
    eventually("every descriptor is closed again", || {
        setup.proxy.descriptors() == descriptors
    });
    let grown = setup.proxy.resident().saturating_sub(resident);
    assert!(grown < 4096, "the proxy grew by {grown} KiB");
    assert!(setup.proxy.0.try_wait().unwrap().is_none(), "it has ended");
}
