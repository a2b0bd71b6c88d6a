//! Either side leaving at any moment: nothing half is taken for whole, nothing is done twice, and
//! what was in flight is over at once.

use std::sync::{Mutex, mpsc};

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::{PATIENCE, Setup, edge_builder, edge_with, eventually, free_address};

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
    eventually("the backend has the request", || {
        backend.received().concat().ends_with("\r\n\r\n")
    });
    client.reset();
    eventually("the backend is released", || {
        backend.received().concat().ends_with(" released")
    });
}

#[test]
fn a_client_that_ends_its_side_after_its_requests_still_gets_every_answer() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let (_setup, address, _backend) = edge_with(move |connection| {
        while let Some((_, body)) = connection.request() {
            wait.lock().unwrap().recv().unwrap();
            connection.answer(&format!("served {}", String::from_utf8_lossy(&body)));
        }
    });
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\none");
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.finish();
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "served one");
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "served ");
    assert_eq!(client.rest(), (vec![], End::Orderly));
}

/// How a client leaves.
const DEPARTURES: [fn(Client); 2] = [drop, Client::reset];

#[test]
fn half_a_head_never_reaches_a_backend() {
    let (_setup, address, backend) = edge_with(|connection| connection.drain());
    for leave in DEPARTURES {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n");
        leave(client);
    }
    // What came in before is over when this is answered by each of both workers.
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("b.test", "/").status, 404);
    }
    assert!(backend.received().is_empty());
}

#[test]
fn half_a_body_is_a_reset_to_the_backend_and_nothing_stays_in_flight() {
    let backend = Backend::start(|connection| {
        connection.until(b"half");
        let end = match connection.ends_in_reset() {
            true => " reset",
            false => " an orderly end",
        };
        connection.received_note(end);
    });
    let edge = free_address();
    let builder = edge_builder(edge, &backend);
    let mut setup = Setup::serving(&builder.0, &[]);
    let mut expected = 0;
    for framing in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\nA\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        for leave in DEPARTURES {
            let mut client = Client::connect(edge);
            client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}"));
            expected += 1;
            eventually("the backend has the half", || {
                let received = backend.received();
                received.len() == expected && received[expected - 1].contains("half")
            });
            leave(client);
            eventually("the backend is released", || {
                backend.received()[expected - 1].ends_with(" reset")
            });
        }
    }
    let without = builder.next().without("web", 1);
    assert!(setup.change(&builder.0, &without.0).is_empty());
}

#[test]
fn a_client_that_leaves_in_mid_answer_releases_the_backend() {
    let backend = Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while connection.try_send([b'x'; 10_000]) {}
        connection.received_note(" released");
    });
    let edge = free_address();
    let builder = edge_builder(edge, &backend);
    let mut setup = Setup::serving(&builder.0, &[]);
    for leave in DEPARTURES {
        let mut client = Client::connect(edge);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.skip_at_least(100_000);
        leave(client);
    }
    eventually("both are released", || {
        let received = backend.received();
        received.len() == 2 && received.iter().all(|one| one.ends_with(" released"))
    });
    let without = builder.next().without("web", 1);
    assert!(setup.change(&builder.0, &without.0).is_empty());
}

#[test]
fn a_client_that_resets_a_stalled_upload_releases_the_backend_at_once() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let (_setup, address, _backend) = edge_with(move |connection| {
        connection.head();
        // Reads nothing, and so hears of the end only as an error.
        eventually("the connection has failed", || {
            rustix::net::sockopt::socket_error(&connection.stream)
                .unwrap()
                .is_err()
        });
        ended.lock().unwrap().send(()).unwrap();
    });
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n");
    client.send_until_it_stalls(1_000_000_000);
    client.reset();
    end.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_backend_that_resets_before_its_answer_is_asked_again_once_if_that_is_harmless() {
    let cases = [
        ("GET", "", 2),
        ("POST", "", 1),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Le", 1),
    ];
    for (method, begun, times) in cases {
        let (_setup, address, backend) = edge_with(move |connection| {
            connection.head();
            connection.send(begun);
            connection.reset_on_close();
        });
        let mut client = Client::connect(address);
        client.send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("roadbed-reason")),
            (502, Some("backend-closed"))
        );
        assert_eq!(backend.received().len(), times, "{method} after {begun:?}");
        // The client's connection has seen nothing of it.
        assert_eq!(client.get("b.test", "/").status, 404);
    }
}

#[test]
fn a_backend_that_resets_in_mid_answer_is_a_reset_to_the_client() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let (_setup, address, _backend) = edge_with(move |connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\n\r\npart");
        connection.reset_on_close();
        wait.lock().unwrap().recv().unwrap();
    });
    for version in ["1.0", "1.1"] {
        let mut client = Client::connect(address);
        client.send(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n"));
        client.until(b"part");
        go.send(()).unwrap();
        let (rest, end) = client.rest();
        assert_eq!(end, End::Reset, "{rest:?} in {version}");
    }
}

#[test]
fn a_reset_of_a_reused_connection_costs_a_harmless_request_nothing() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.request();
        connection.answer("first");
        connection.request();
        connection.reset_on_close();
    });
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("a.test", "/").text(), "first");
    }
    assert_eq!(backend.received().len(), 3);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        client.answer().field("roadbed-reason"),
        Some("backend-closed")
    );
    assert_eq!(backend.received().concat().matches("POST").count(), 1);
}

#[test]
fn a_reused_connection_that_ends_in_an_answer_is_not_tried_again() {
    let (_setup, address, backend) = edge_with(|connection| {
        connection.request();
        connection.answer("first");
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nConte");
    });
    let mut client = Client::connect(address);
    assert_eq!(client.get("a.test", "/").text(), "first");
    let answer = client.get("a.test", "/second");
    assert_eq!(answer.field("roadbed-reason"), Some("backend-closed"));
    assert_eq!(backend.received().len(), 1);
}
