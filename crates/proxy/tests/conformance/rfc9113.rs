//! RFC 9113, HTTP/2: what requests by frames reach a backend that speaks HTTP/1.1, and as which
//! bytes. Above all, nothing that HTTP/2 carries in one field becomes two in HTTP/1.1.

use crate::exchange::{OK, SEEN, Stage};
use crate::frames::{
    CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, PADDED, PRIORITY,
    block, frame,
};

pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) frames: Vec<u8>,
    pub(crate) received: Option<String>,
    pub(crate) outcome: Outcome,
}

pub(crate) type Fields = Vec<(String, String)>;

pub(crate) fn owned(fields: &[(&str, &str)]) -> Fields {
    let owned = |text: &&str| (*text).to_owned();
    fields
        .iter()
        .map(|(name, value)| (owned(name), owned(value)))
        .collect()
}

/// The pseudo-fields of a GET with those changes: a value of "-" leaves one out.
pub(crate) fn head(changes: &[(&str, &str)], fields: &[(&str, &str)]) -> Fields {
    let mut all = owned(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/"),
    ]);
    for (name, value) in owned(changes) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1 = value,
            None => all.push((name, value)),
        }
    }
    all.retain(|(_, value)| value != "-");
    all.extend(owned(fields));
    all
}

pub(crate) fn headers(fields: &Fields, ends: bool) -> Vec<u8> {
    let (block, end_stream) = (block(fields), if ends { END_STREAM } else { 0 });
    let mut pieces = block.chunks(16 * 1024).peekable();
    let (mut kind, mut flags, mut frames) = (HEADERS, end_stream, Vec::new());
    while let Some(piece) = pieces.next() {
        flags |= if pieces.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        frames.extend(frame(kind, flags, 1, piece));
        (kind, flags) = (CONTINUATION, 0);
    }
    frames
}

/// A request without content.
pub(crate) fn get(what: &'static str, fields: Fields, received: &str) -> Row {
    let received = received.replace("SEEN", SEEN);
    Row {
        what,
        frames: headers(&fields, true),
        received: Some(received),
        outcome: Outcome::Status(200),
    }
}

/// A request with content, as frames that follow its head.
pub(crate) fn post(
    what: &'static str,
    fields: &[(&str, &str)],
    rest: &[Vec<u8>],
    received: &str,
) -> Row {
    let mut frames = headers(&head(&[(":method", "POST")], fields), false);
    frames.extend(rest.concat());
    let received = Some(received.replace("SEEN", SEEN));
    Row {
        what,
        frames,
        received,
        outcome: Outcome::Status(200),
    }
}

pub(crate) fn data(content: &str, ends: bool) -> Vec<u8> {
    frame(
        DATA,
        if ends { END_STREAM } else { 0 },
        1,
        content.as_bytes(),
    )
}

pub(crate) fn trailers(fields: &[(&str, &str)]) -> Vec<u8> {
    headers(&owned(fields), true)
}

pub(crate) fn run(rows: &[Row]) {
    let stage = Stage::new();
    let last = get(
        "at the end all is well",
        head(&[], &[]),
        "GET / HTTP/1.1\r\nhost: a.test\r\nSEEN\r\n",
    );
    let mut failures = Vec::new();
    for row in rows.iter().chain([&last]) {
        let expected = row.received.as_deref();
        stage.prepare(expected.map_or(0, str::len), Some(OK));
        let outcome = Connection::open(stage.edge, &row.frames).outcome();
        let received = stage.received(expected.is_some());
        if (outcome, received.as_deref()) != (row.outcome, expected) {
            failures.push(format!(
                "RFC 9113 section {}: {outcome:?} instead of {:?}, and the backend received\n  \
                 {received:?}\ninstead of\n  {expected:?}",
                row.what, row.outcome
            ));
        }
    }
    eprintln!("RFC 9113: {} rows, {} failed", rows.len(), failures.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn heads_in_http2_become_heads_in_http1_as_rfc_9113_section_8_says() {
    let plain = "GET / HTTP/1.1\r\nhost: a.test\r\nSEEN\r\n";
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nhost: a.test\r\n{fields}SEEN\r\n");
    let line =
        |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\nSEEN\r\n");
    let in_pieces = |cut: usize| {
        let block = block(&head(&[], &[("a", "b")]));
        let mut frames = frame(HEADERS, END_STREAM, 1, &block[..cut]);
        frames.extend(frame(CONTINUATION, 0, 1, &[]));
        frames.extend(frame(CONTINUATION, END_HEADERS, 1, &block[cut..]));
        Row {
            what: "6.10: a head in pieces",
            frames,
            received: Some(with("a: b\r\n").replace("SEEN", SEEN)),
            outcome: Outcome::Status(200),
        }
    };
    let padded = {
        let mut payload = vec![3, 0, 0, 0, 0, 7];
        payload.extend(block(&head(&[], &[])));
        payload.extend([0; 3]);
        let flags = END_HEADERS | END_STREAM | PADDED | PRIORITY;
        Row {
            what: "6.2: padding and priority",
            frames: frame(HEADERS, flags, 1, &payload),
            received: Some(plain.replace("SEEN", SEEN)),
            outcome: Outcome::Status(200),
        }
    };
    run(&[
        get("8.3.1: a request", head(&[], &[]), plain),
        in_pieces(1),
        in_pieces(20),
        padded,
        get(
            "8.2: fields that nobody knows",
            head(
                &[],
                &[("x-new", "1"), ("x_new", ""), ("!#$%&'*+-.^_`|~9", "2")],
            ),
            &with("x-new: 1\r\nx_new: \r\n!#$%&'*+-.^_`|~9: 2\r\n"),
        ),
        get(
            "RFC 9110 7.6.2: Max-Forwards is one less",
            head(
                &[(":method", "OPTIONS")],
                &[("max-forwards", "3"), ("a", "b")],
            ),
            "OPTIONS / HTTP/1.1\r\nhost: a.test\r\na: b\r\nmax-forwards: 2\r\nSEEN\r\n",
        ),
        Row {
            what: "RFC 9110 7.6.2: TRACE that is to go no further",
            frames: headers(
                &head(&[(":method", "TRACE")], &[("max-forwards", "0")]),
                true,
            ),
            received: None,
            outcome: Outcome::Status(501),
        },
        get(
            "8.2: fields that are repeated",
            head(&[], &[("a", "1"), ("b", "2"), ("a", "3")]),
            &with("a: 1\r\nb: 2\r\na: 3\r\n"),
        ),
        get(
            "8.2.1: bytes above ASCII in a value",
            head(&[], &[("a", "\u{e9}")]),
            &with("a: \u{e9}\r\n"),
        ),
        get(
            "8.2.2: te: trailers is for us",
            head(&[], &[("te", "trailers")]),
            plain,
        ),
        get(
            "8.2.3: cookies in crumbs become one",
            head(
                &[],
                &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")],
            ),
            &format!(
                "GET / HTTP/1.1\r\nhost: a.test\r\nx: y\r\n{SEEN}cookie: a=1; b=2; c=3\r\n\r\n"
            ),
        ),
        get(
            "8.3.1: Host and :authority that agree",
            head(&[], &[("host", "a.test")]),
            plain,
        ),
        get(
            "8.3.1: Host in place of :authority",
            head(&[(":authority", "-")], &[("host", "A.test:80")]),
            "GET / HTTP/1.1\r\nhost: A.test:80\r\nSEEN\r\n",
        ),
        get(
            "8.3.1: a method that nobody knows",
            head(&[(":method", "BREW")], &[]),
            &line("BREW", "/"),
        ),
        get(
            "8.3.1: methods are case-sensitive",
            head(&[(":method", "get")], &[]),
            &line("get", "/"),
        ),
        get(
            "8.3.1: path and query byte by byte",
            head(&[(":path", "//a/./%7E;b/?d=/../e&%00?")], &[]),
            &line("GET", "//a/./%7E;b/?d=/../e&%00?"),
        ),
        get(
            "8.3.1: OPTIONS *",
            head(&[(":method", "OPTIONS"), (":path", "*")], &[]),
            &line("OPTIONS", "*"),
        ),
        get(
            "8.3.1: the scheme says nothing of how it came (choice)",
            head(&[(":scheme", "https")], &[]),
            plain,
        ),
        get(
            "8.1: HEAD",
            head(&[(":method", "HEAD")], &[]),
            &line("HEAD", "/"),
        ),
        get(
            "9110 7.6.1: Keep-Alive and its like are named nowhere in HTTP/2",
            head(
                &[],
                &[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1")],
            ),
            plain,
        ),
        get(
            "9110 14.2: ranges pass unread",
            head(&[], &[("range", "bytes=0-1,-3"), ("if-range", "\"a\"")]),
            &with("range: bytes=0-1,-3\r\nif-range: \"a\"\r\n"),
        ),
        get(
            "9218 4: priority passes",
            head(&[], &[("priority", "u=1, i")]),
            &with("priority: u=1, i\r\n"),
        ),
        get(
            "9110 10.1.1: Expect without content is left out",
            head(&[], &[("expect", "100-continue")]),
            plain,
        ),
        get(
            "8.1.1: a length of nothing",
            head(&[], &[("content-length", "0")]),
            &with("content-length: 0\r\n"),
        ),
    ]);
}

#[test]
fn content_in_http2_is_framed_in_http1_as_rfc_9113_section_8_1_says() {
    let begin = "POST / HTTP/1.1\r\nhost: a.test\r\n";
    let padded = frame(DATA, END_STREAM | PADDED, 1, b"\x02body\0\0");
    let length = ("content-length", "4");
    run(&[
        post(
            "8.1: a known length",
            &[length],
            &[data("bo", false), data("dy", true)],
            &format!("{begin}content-length: 4\r\nSEEN\r\nbody"),
        ),
        post(
            "8.1: an unknown length",
            &[],
            &[data("body", true)],
            &format!("{begin}SEENtransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
        ),
        post(
            "6.1: padding is no content",
            &[length],
            &[padded],
            &format!("{begin}content-length: 4\r\nSEEN\r\nbody"),
        ),
        post(
            "8.1: content that ends with an empty frame",
            &[length],
            &[data("body", false), data("", true)],
            &format!("{begin}content-length: 4\r\nSEEN\r\nbody"),
        ),
        post(
            "8.1: no content after all",
            &[],
            &[data("", true)],
            &format!("{begin}SEENtransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        post(
            "8.1: trailers",
            &[],
            &[data("body", false), trailers(&[("x-sum", "1")])],
            &format!(
                "{begin}SEENtransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n"
            ),
        ),
        post(
            "8.1: trailers without content",
            &[],
            &[trailers(&[("x-sum", "1")])],
            &format!("{begin}SEENtransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n"),
        ),
        post(
            "h2.CL: what looks like a request is content",
            &[("content-length", "33")],
            &[data("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n", true)],
            &format!(
                "{begin}content-length: 33\r\nSEEN\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"
            ),
        ),
        post(
            "h2.TE: what looks like the end of chunks is content",
            &[],
            &[data("0\r\n\r\n", true)],
            &format!("{begin}SEENtransfer-encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        ),
    ]);
}
