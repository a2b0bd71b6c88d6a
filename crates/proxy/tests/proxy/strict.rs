//! Requests that break the rules: each is refused, the connection closed, and nothing of it
//! reaches the backend, least of all what was smuggled behind it.

use std::time::{Duration, Instant};

use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::{PATIENCE, Setup, edge_to};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn proxy(limits: &[&str]) -> (Setup, std::net::SocketAddr, Backend) {
    let backend = Backend::echo("web");
    let (setup, edge) = edge_to(&backend, limits);
    (setup, edge, backend)
}

#[test]
fn heads_that_break_a_rule_are_refused_and_nothing_is_smuggled() {
    let (_setup, edge, backend) = proxy(&["linger=200"]);
    let long_field = format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nA: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    let many_fields = format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n",
        "A: b\r\n".repeat(100)
    );
    let long_target = format!(
        "GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "a".repeat(40_000)
    );
    let cases: &[(u16, &str)] = &[
        // RFC 9112 section 2.2: line ends.
        (400, "GET / HTTP/1.1\nHost: a.test\n\n"),
        (400, "GET / HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n"),
        (400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        // Section 3: request line.
        (400, "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET /\r\nHost: a.test\r\n\r\n"),
        (400, " GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "G\u{0}T / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET /\u{0} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET /\u{e9} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET a HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (400, "GET * HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (501, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (505, "GET / HTTP/1.2\r\nHost: a.test\r\n\r\n"),
        (505, "PRI * HTTP/2.0\r\n\r\n"),
        (414, &long_target),
        // Section 3.2: Host.
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
        ),
        (400, "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a.test\u{0}\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        (400, "GET http://a.test/ HTTP/1.1\r\n\r\n"),
        // Section 5: fields.
        (400, "GET / HTTP/1.1\r\nHost: a.test\r\nA : b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a.test\r\nA: b\r\n c\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a.test\r\nA: b\u{0}c\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a.test\r\nno colon\r\n\r\n"),
        (
            400,
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: host\r\n\r\n",
        ),
        (
            417,
            "GET / HTTP/1.1\r\nHost: a.test\r\nExpect: miracles\r\n\r\n",
        ),
        (431, &long_field),
        (431, &many_fields),
        // Section 6: framing.
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4, 4\r\n\r\nabcd",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +4\r\n\r\nabcd",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length:\r\n\r\n",
        ),
        (
            400,
            "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            501,
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        ),
    ];
    for (status, request) in cases {
        let mut client = Client::connect(edge);
        client.send(format!("{request}{SMUGGLED}"));
        let answer = client.answer();
        assert_eq!(answer.status, *status, "{request:?} gave {answer:?}");
        assert_eq!(
            answer.field("roadbed-reason"),
            Some("bad-request"),
            "{request:?}"
        );
        assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
        assert_eq!(client.rest().0, b"", "a second answer to {request:?}");
    }
    assert_eq!(backend.received(), Vec::<String>::new());
    assert_eq!(
        Client::connect(edge).get("a.test", "/well").text(),
        "web /well "
    );
}

#[test]
fn chunks_that_break_a_rule_end_the_request_without_its_end_reaching_the_backend() {
    let (_setup, edge, backend) = proxy(&["linger=200"]);
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "e".repeat(300));
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nA: b\n\r\n",
        &long_extension,
    ] {
        let mut client = Client::connect(edge);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("connection")),
            (400, Some("close")),
            "{body:?}"
        );
        assert_eq!(client.rest().0, b"", "a second answer to {body:?}");
    }
    for received in backend.received() {
        assert!(
            !received.contains("smuggled") && !received.ends_with("0\r\n\r\n"),
            "{received}"
        );
    }
}

#[test]
fn one_empty_line_before_a_request_is_forgiven() {
    let (_setup, edge, _backend) = proxy(&[]);
    let mut client = Client::connect(edge);
    client.send("\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().text(), "web /x ");
}

#[test]
fn a_head_sent_a_byte_at_a_time_is_timed_out_and_silence_is_closed() {
    let (_setup, edge, backend) = proxy(&["head=300", "keep-alive=600", "linger=10000"]);
    let start = Instant::now();
    let mut silent = Client::connect(edge);
    let mut slow = Client::connect(edge);
    let mut head = b"GET / HTTP/1.1\r\nHost: a.test\r\nA: ".iter();
    loop {
        slow.offer([*head.next().unwrap_or(&b'a')]);
        if slow.hears_within(Duration::from_millis(5)) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "a head may take for ever");
    }
    let answer = slow.answer();
    assert_eq!(
        (answer.status, answer.field("roadbed-reason")),
        (408, Some("slow-request"))
    );
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(silent.rest(), (vec![], End::Orderly));
    assert!(start.elapsed() >= Duration::from_millis(600));
    assert!(backend.received().is_empty());
}

#[test]
fn a_body_that_falls_silent_is_given_up() {
    let (_setup, edge, backend) = proxy(&["body-idle=100", "linger=50"]);
    let mut client = Client::connect(edge);
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf");
    client.rest();
    assert!(backend.received()[0].ends_with("\r\n\r\nhalf"));
}

#[test]
fn a_client_that_speaks_tls_is_told_at_once() {
    let (_setup, address, _backend) = proxy(&[]);
    let mut client = Client::connect(address);
    // The beginning of a ClientHello, without any byte that could end a line.
    client.send("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}");
    assert_eq!(client.answer().status, 400);
}
