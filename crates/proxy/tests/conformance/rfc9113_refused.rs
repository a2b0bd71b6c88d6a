//! RFC 9113, HTTP/2: requests that are malformed (section 8.1.1). Nothing of a head reaches a
//! backend, and of content never so much that a request seems whole.

use crate::exchange::{SEEN, Stage};
use crate::frames::{Connection, Outcome};
use crate::rfc9113::{Fields, Row, data, head, headers, owned, run, trailers};

/// A malformed request is an error of its stream (RFC 9113 section 8.1.1).
const MALFORMED: Outcome = Outcome::Reset(1);
const REFUSED: Outcome = Outcome::Status(400);

fn refused(what: &'static str, fields: Fields, outcome: Outcome) -> Row {
    Row {
        what,
        frames: headers(&fields, true),
        received: None,
        outcome,
    }
}

#[test]
fn heads_that_break_rfc_9113_section_8_reach_no_backend() {
    let field = |name, value| head(&[], &[(name, value)]);
    let pseudo = |name, value| head(&[(name, value)], &[]);
    let first = |fields: &[(&str, &str)]| {
        let mut all = owned(fields);
        all.extend(head(&[], &[]));
        all
    };
    run(&[
        refused("8.2.1: a name in upper case", field("A", "b"), MALFORMED),
        refused(
            "8.2.1: a name with one letter in upper case",
            field("x-Y", "b"),
            MALFORMED,
        ),
        refused("8.2.1: an empty name", field("", "b"), MALFORMED),
        refused("8.2.1: a name with a space", field("a b", "c"), MALFORMED),
        refused(
            "8.2.1: a name with CR and LF",
            field("a: b\r\nc", "d"),
            MALFORMED,
        ),
        refused("8.2.1: a name with a colon", field("a:b", "c"), MALFORMED),
        refused("8.2.1: a name above ASCII", field("\u{e9}", "c"), MALFORMED),
        refused(
            "8.2.1: a value with CR and LF",
            field("a", "b\r\nc: d"),
            MALFORMED,
        ),
        refused("8.2.1: a value with LF", field("a", "b\nc: d"), MALFORMED),
        refused("8.2.1: a value with CR", field("a", "b\rc"), MALFORMED),
        refused("8.2.1: a value with NUL", field("a", "b\0c"), MALFORMED),
        refused(
            "8.2.1: a value with a control character (strict)",
            field("a", "b\u{1}c"),
            MALFORMED,
        ),
        refused(
            "8.2.1: a value with a whole request",
            field(
                "a",
                "b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
            ),
            MALFORMED,
        ),
        refused("8.2.1: space before a value", field("a", " b"), MALFORMED),
        refused("8.2.1: a tab after a value", field("a", "b\t"), MALFORMED),
        refused("8.2.2: connection", field("connection", "close"), MALFORMED),
        refused("8.2.2: keep-alive", field("keep-alive", "1"), MALFORMED),
        refused(
            "8.2.2: proxy-connection",
            field("proxy-connection", "close"),
            MALFORMED,
        ),
        refused("8.2.2: upgrade", field("upgrade", "websocket"), MALFORMED),
        refused(
            "8.2.2: h2.TE, transfer-encoding",
            field("transfer-encoding", "chunked"),
            MALFORMED,
        ),
        refused(
            "8.2.2: h2.TE, an empty one",
            field("transfer-encoding", ""),
            MALFORMED,
        ),
        refused(
            "8.2.2: te that is not trailers",
            field("te", "gzip"),
            MALFORMED,
        ),
        refused(
            "8.2.2: te that is more than trailers",
            field("te", "trailers, gzip"),
            MALFORMED,
        ),
        refused(
            "8.3: an unknown pseudo-field",
            pseudo(":new", "1"),
            MALFORMED,
        ),
        refused(
            "8.3: a pseudo-field of answers",
            pseudo(":status", "200"),
            MALFORMED,
        ),
        refused(
            "8.3: a pseudo-field after a field",
            first(&[("a", "b")]),
            MALFORMED,
        ),
        refused("8.3: two methods", first(&[(":method", "POST")]), MALFORMED),
        refused("8.3: two schemes", first(&[(":scheme", "http")]), MALFORMED),
        refused(
            "8.3: two authorities",
            first(&[(":authority", "a.test")]),
            MALFORMED,
        ),
        refused("8.3: two paths", first(&[(":path", "/")]), MALFORMED),
        refused("8.3.1: no method", pseudo(":method", "-"), MALFORMED),
        refused("8.3.1: no scheme", pseudo(":scheme", "-"), MALFORMED),
        refused("8.3.1: no path", pseudo(":path", "-"), MALFORMED),
        refused("8.3.1: an empty path", pseudo(":path", ""), MALFORMED),
        refused("8.3.1: an empty method", pseudo(":method", ""), MALFORMED),
        refused(
            "8.3.1: neither :authority nor Host",
            pseudo(":authority", "-"),
            REFUSED,
        ),
        refused(
            "8.3.1: an empty :authority",
            pseudo(":authority", ""),
            REFUSED,
        ),
        refused(
            "8.3.1: Host names another",
            field("host", "b.test"),
            REFUSED,
        ),
        refused(
            "8.3.1: two Hosts",
            head(
                &[(":authority", "-")],
                &[("host", "a.test"), ("host", "a.test")],
            ),
            REFUSED,
        ),
        refused(
            "8.3.1: a Host that is none",
            head(&[(":authority", "-")], &[("host", "a.test/x")]),
            REFUSED,
        ),
        refused(
            "8.3.1: user information in :authority",
            pseudo(":authority", "u@a.test"),
            REFUSED,
        ),
        refused(
            "8.3.1: a path in :authority",
            pseudo(":authority", "a.test/x"),
            REFUSED,
        ),
        refused(
            "8.3.1: CR and LF in :authority",
            pseudo(":authority", "a.test\r\nb: c"),
            MALFORMED,
        ),
        refused(
            "8.3.1: CR and LF in :path",
            pseudo(":path", "/ HTTP/1.1\r\nHost: b.test\r\n\r\nGET /smuggled"),
            MALFORMED,
        ),
        refused(
            "8.3.1: a space in :path",
            pseudo(":path", "/ HTTP/1.1"),
            REFUSED,
        ),
        refused(
            "8.3.1: CR and LF in :method",
            pseudo(":method", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET"),
            MALFORMED,
        ),
        refused(
            "8.3.1: a space in :method",
            pseudo(":method", "GET /smuggled"),
            MALFORMED,
        ),
        refused(
            "8.3.1: CR and LF in :scheme",
            pseudo(":scheme", "http\r\na: b"),
            MALFORMED,
        ),
        refused(
            "8.3.1: a path without its slash",
            pseudo(":path", "a"),
            REFUSED,
        ),
        refused(
            "8.3.1: a whole URL as path",
            pseudo(":path", "http://b.test/"),
            REFUSED,
        ),
        refused(
            "8.3.1: a fragment (strict)",
            pseudo(":path", "/a#b"),
            REFUSED,
        ),
        refused("8.3.1: * for another method", pseudo(":path", "*"), REFUSED),
        refused(
            "8.3.1: a path that would lead out of its route (strict)",
            pseudo(":path", "/a/%2e%2e/b"),
            REFUSED,
        ),
        refused(
            "8.5: CONNECT is for forward proxies",
            head(
                &[(":method", "CONNECT"), (":scheme", "-"), (":path", "-")],
                &[],
            ),
            Outcome::Status(501),
        ),
        refused(
            "8.5: CONNECT with a path is not CONNECT",
            pseudo(":method", "CONNECT"),
            MALFORMED,
        ),
        refused(
            "8441 4: :protocol without CONNECT",
            pseudo(":protocol", "websocket"),
            MALFORMED,
        ),
        refused(
            "8441 4: CONNECT to another protocol",
            head(&[(":method", "CONNECT"), (":protocol", "connect-udp")], &[]),
            Outcome::Status(501),
        ),
        refused(
            "9110 10.1.1: other expectations",
            field("expect", "miracles"),
            Outcome::Status(417),
        ),
        refused(
            "9110 7.4: a host that nobody has here",
            pseudo(":authority", "b.test"),
            Outcome::Status(404),
        ),
        refused(
            "10.5: fields of more than 32 KiB",
            head(&[], &[("a", &"b".repeat(32_000)), ("c", &"d".repeat(800))]),
            Outcome::Status(431),
        ),
    ]);
}

/// What it is, fields of the head, the head as the backend has it, the frames that follow, and the
/// content that may reach the backend.
type Cut<'a> = (&'a str, &'a [(&'a str, &'a str)], String, Vec<u8>, &'a str);

#[test]
fn content_that_breaks_rfc_9113_section_8_1_never_seems_whole() {
    let begin = "POST / HTTP/1.1\r\nhost: a.test\r\n";
    let length = |length: &'static str| [("content-length", length)];
    let known = |length: &str| format!("{begin}content-length: {length}\r\n{SEEN}\r\n");
    let chunked = format!("{begin}{SEEN}transfer-encoding: chunked\r\n\r\n");
    let rows: &[Cut] = &[
        (
            "8.1.1: h2.CL, more than the length",
            &length("3"),
            known("3"),
            data("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n", true),
            "",
        ),
        (
            "8.1.1: h2.CL, more in a second frame",
            &length("3"),
            known("3"),
            [data("bo", false), data("dy", true)].concat(),
            "bo",
        ),
        (
            "8.1.1: h2.CL, less than the length",
            &length("5"),
            known("5"),
            data("body", true),
            "body",
        ),
        (
            "8.1.1: h2.CL, less than the length, and trailers",
            &length("5"),
            known("5"),
            [data("body", false), trailers(&[("x-sum", "1")])].concat(),
            "body",
        ),
        (
            "9110 6.5.1: a trailer that frames",
            &[],
            chunked.clone(),
            [data("body", false), trailers(&[("content-length", "9")])].concat(),
            "4\r\nbody\r\n",
        ),
        (
            "9110 6.5.1: a trailer that routes",
            &[],
            chunked.clone(),
            [data("body", false), trailers(&[("host", "b.test")])].concat(),
            "4\r\nbody\r\n",
        ),
        (
            "8.1: a pseudo-field in trailers",
            &[],
            chunked.clone(),
            [data("body", false), trailers(&[(":path", "/smuggled")])].concat(),
            "4\r\nbody\r\n",
        ),
        (
            "8.1: trailers that do not end the stream",
            &[],
            chunked,
            headers(&owned(&[("x-sum", "1")]), false),
            "",
        ),
    ];
    let stage = Stage::new();
    let mut failures = Vec::new();
    for (what, fields, begun, rest, most) in rows {
        stage.prepare(begun.len(), None);
        let first = headers(&head(&[(":method", "POST")], fields), false);
        let mut client = Connection::open(stage.edge, &first);
        let head = stage.received(true);
        client.send(rest);
        let outcome = client.outcome();
        let received = stage.received(true).unwrap_or_default();
        let told = matches!(outcome, Outcome::Reset(_) | Outcome::GoAway(_) | REFUSED);
        if head.as_ref() != Some(begun) || !most.starts_with(&received) || !told {
            failures.push(format!(
                "RFC 9113 section {what}: {outcome:?}, {head:?}, {received:?}"
            ));
        }
    }
    eprintln!("RFC 9113: {} rows, {} failed", rows.len(), failures.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn a_length_that_is_none_reaches_no_backend() {
    let length = |what, fields: &[(&str, &str)]| {
        let mut frames = headers(&head(&[(":method", "POST")], fields), false);
        frames.extend(data("", true));
        (what, frames)
    };
    let rows = [
        length(
            "8.1.1: two lengths",
            &[("content-length", "4"), ("content-length", "5")],
        ),
        length(
            "8.1.1: two that are the same",
            &[("content-length", "0"), ("content-length", "0")],
        ),
        length("8.1.1: a list", &[("content-length", "0, 0")]),
        length("8.1.1: a sign", &[("content-length", "+0")]),
        length("8.1.1: no digits", &[("content-length", "")]),
        length(
            "8.1.1: more than a counter holds",
            &[("content-length", "99999999999999999999")],
        ),
    ];
    let stage = Stage::new();
    for (what, frames) in rows {
        let outcome = Connection::open(stage.edge, &frames).outcome();
        assert!(
            [MALFORMED, REFUSED].contains(&outcome),
            "{what}: {outcome:?}"
        );
        assert_eq!(stage.received(false), None, "{what}");
    }
}
