//! TCP listeners: bytes both ways, ends by halves, drained like requests.

use std::collections::BTreeMap;

use proxy::protocol::FromProxy;

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::{Builder, Setup, free_address};

#[test]
fn a_stream_ends_by_halves_and_passes_over_an_endpoint_that_refuses() {
    let backend = Backend::start(|connection| {
        connection.drain();
        connection.send("after your end");
    });
    let mesh = free_address();
    let endpoints = [free_address(), backend.address];
    let builder = Builder::generation(1)
        .mesh(mesh, "db")
        .tcp("db", &endpoints);
    let _setup = Setup::serving(&builder.0, &[]);
    for _ in 0..4 {
        let mut client = Client::connect(mesh);
        client.send("ping");
        client.finish();
        assert_eq!(client.rest(), (b"after your end".to_vec(), End::Orderly));
    }
    assert_eq!(backend.received(), ["ping"; 4]);
}

#[test]
fn a_reset_is_passed_on_as_a_reset() {
    let backend = Backend::start(|connection| {
        connection.until(b"die");
        let none = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&connection.stream, none).unwrap();
    });
    let mesh = free_address();
    let builder = Builder::generation(1)
        .mesh(mesh, "db")
        .tcp("db", &[backend.address]);
    let _setup = Setup::serving(&builder.0, &[]);
    let mut client = Client::connect(mesh);
    client.send("die");
    assert_eq!(client.rest(), (vec![], End::Reset));
}

#[test]
fn a_caller_of_nobody_is_reset() {
    let mesh = free_address();
    let builder = Builder::generation(1).mesh(mesh, "db").tcp("db", &[]);
    let _setup = Setup::serving(&builder.0, &[]);
    assert_eq!(Client::connect(mesh).rest(), (vec![], End::Reset));
}

#[test]
fn a_large_stream_is_relayed_at_the_readers_pace() {
    const BYTES: usize = 64 << 20;
    let backend = Backend::start(|connection| {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..BYTES >> 20 {
            connection.send(&piece);
        }
    });
    let mesh = free_address();
    let builder = Builder::generation(1)
        .mesh(mesh, "db")
        .tcp("db", &[backend.address]);
    let setup = Setup::serving(&builder.0, &[]);
    let before = setup.proxy.resident();
    let mut client = Client::connect(mesh);
    client.skip(BYTES);
    assert_eq!(client.rest(), (vec![], End::Orderly));
    assert!(setup.proxy.resident().saturating_sub(before) < 1024);
}

#[test]
fn a_stream_outlives_its_endpoint_and_listener_and_is_reported_until_it_ends() {
    let backend = Backend::start(|connection| {
        while connection.until(b"\n").is_some() {
            connection.send("pong\n");
        }
    });
    let mesh = free_address();
    let with = Builder::generation(1)
        .mesh(mesh, "db")
        .tcp("db", &[backend.address]);
    let mut setup = Setup::serving(&with.0, &[]);
    let mut client = Client::connect(mesh);
    client.send("ping\n");
    assert_eq!(client.until(b"\n"), b"pong\n");
    let nothing = Builder::generation(2);
    let busy: BTreeMap<_, _> = [("app.db.1.1".to_owned(), 1)].into();
    assert_eq!(setup.change(&with.0, &nothing.0), busy);
    client.send("ping\n");
    assert_eq!(client.until(b"\n"), b"pong\n");
    client.finish();
    assert_eq!(client.rest(), (vec![], End::Orderly));
    let instance = "app.db.1.1".parse().unwrap();
    assert_eq!(setup.receive(), FromProxy::Drained { instance });
}
