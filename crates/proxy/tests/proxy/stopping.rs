//! A proxy that is told to stop.

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::{Setup, edge_builder, edge_to, edge_with, eventually, free_address};

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
    assert_eq!(idle.get("b.test", "/").status, 404);
    setup.proxy.terminate();
    eventually("the port is closed", || {
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

#[test]
fn whoever_has_connected_before_the_end_is_served_although_it_sends_after() {
    let backend = Backend::echo("web");
    let (mut setup, address) = edge_to(&backend, &["first-request=10000"]);
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(address)).collect();
    setup.proxy.terminate();
    eventually("the port is closed", || {
        std::net::TcpStream::connect(address).is_err()
    });
    for client in &mut clients {
        let answer = client.get("a.test", "/late");
        let kept = answer.field("connection");
        assert_eq!((answer.text(), kept), ("web /late ", Some("close")));
        assert_eq!(client.rest(), (vec![], End::Orderly));
    }
    assert!(setup.proxy.0.wait().unwrap().success());
}

#[test]
fn whoever_has_connected_to_a_listener_before_its_removal_is_served() {
    let backend = Backend::echo("web");
    let edge = free_address();
    let with = edge_builder(edge, &backend);
    let mut setup = Setup::serving(&with.0, &["first-request=300"]);
    let (mut late, mut silent) = (Client::connect(edge), Client::connect(edge));
    let mut without = with.next();
    without.0.listeners.clear();
    setup.change(&with.0, &without.0);
    assert_eq!(late.get("a.test", "/late").text(), "web /late ");
    assert_eq!(late.rest(), (vec![], End::Orderly));
    assert_eq!(silent.rest(), (vec![], End::Orderly));
}
