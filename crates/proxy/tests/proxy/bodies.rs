//! Bodies: framed anew, streamed at the slower side's pace, never gathered.

use std::time::Duration;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::{edge_to, edge_with, eventually};

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
fn an_upload_stops_at_a_backend_that_does_not_read() {
    const BYTES: usize = 2 << 30;
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::start(move |connection| {
        connection.head();
        let taken: usize = wait.lock().unwrap().recv().unwrap();
        let received = connection.skip(taken);
        connection.answer(&received.to_string());
    });
    let (setup, address) = edge_to(&backend, &[]);
    let mut client = Client::connect(address);
    let before = setup.proxy.resident();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {BYTES}\r\n\r\n"
    ));
    let taken = client.send_until_it_stalls(BYTES);
    // The kernel's buffers of two connections, and one of the proxy's.
    assert!(
        taken < 64 << 20,
        "{taken} bytes were taken and not delivered"
    );
    let grown = setup.proxy.resident().saturating_sub(before);
    assert!(grown < 1024, "the proxy grew by {grown} KiB");
    go.send(taken).unwrap();
    assert_eq!(client.answer().text(), taken.to_string());
}

#[test]
fn a_download_stops_at_a_client_that_does_not_read() {
    let (setup, address, backend) = edge_with(|connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let stall = Some(Duration::from_millis(300));
        connection.stream.set_write_timeout(stall).unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut sent = 0;
        while connection.try_send(&chunk) {
            sent += chunk.len();
        }
        connection.received_note(&format!(" sent {sent}"));
    });
    let mut client = Client::connect(address);
    let before = setup.proxy.resident();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    eventually("the stream has stalled", || {
        backend.received().concat().contains(" sent ")
    });
    let received = backend.received().concat();
    let sent: usize = received.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken and not delivered");
    let grown = setup.proxy.resident().saturating_sub(before);
    assert!(grown < 1024, "the proxy grew by {grown} KiB");
}
