//! RFC 9112 sections 6 and 7, where bodies end: nothing that follows a request is smuggled with it.

use crate::exchange::{Row, run};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn bodies_end_where_rfc_9112_section_6_says_and_nothing_is_smuggled() {
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\n";
    let refused =
        |what, rest: &str, status| Row::refused(what, &format!("{post}{rest}{SMUGGLED}"), status);
    run(
        "9112",
        &[
            Row::passes(
                "6: a POST without framing has no body",
                &format!("{post}\r\n"),
                &format!("{post}SEEN\r\n"),
            ),
            Row::passes(
                "6.2: so many bytes as Content-Length says",
                &format!("{post}Content-Length: 4\r\n\r\nbody"),
                &format!("{post}Content-Length: 4\r\nSEEN\r\nbody"),
            ),
            Row::passes(
                "6.2: a body of no bytes",
                &format!("{post}Content-Length: 0\r\n\r\n"),
                &format!("{post}Content-Length: 0\r\nSEEN\r\n"),
            ),
            Row::passes(
                "6.2: zeros in front of a length",
                &format!("{post}Content-Length: 004\r\n\r\nbody"),
                &format!("{post}Content-Length: 004\r\nSEEN\r\nbody"),
            ),
            Row::passes(
                "6.2: a body of a GET is passed on as framed",
                "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody",
                "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nSEEN\r\nbody",
            ),
            refused(
                "6.3: CL.TE",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused(
                "6.3: TE.CL",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused(
                "6.3: TE.TE, two codings",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n\
0\r\n\r\n",
                400,
            ),
            refused(
                "6.3: TE.TE, chunked twice",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n\
0\r\n\r\n",
                501,
            ),
            refused(
                "6.3: chunked is not last",
                "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused(
                "6.1: chunked behind a coding that we do not know",
                "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                501,
            ),
            refused(
                "6.1: a coding that looks like chunked",
                "Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused(
                "6.1: a coding in quotes",
                "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused(
                "6.1: an empty coding",
                "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused(
                "6.1: a coding with parameters",
                "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
                400,
            ),
            refused("6.1: identity", "Transfer-Encoding: identity\r\n\r\n", 400),
            Row::refused(
                "6.1: Transfer-Encoding in HTTP/1.0 (strict)",
                &format!(
                    "POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\
\r\n0\r\n\r\n{SMUGGLED}"
                ),
                400,
            ),
            Row::passes(
                "6.1: codings are case-insensitive",
                &format!("{post}Transfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
                &format!("{post}SEENtransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
            ),
            refused(
                "6.3: two lengths",
                "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: two lengths that are the same (strict)",
                "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: a list of lengths (strict)",
                "Content-Length: 4, 4\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: a length with a sign",
                "Content-Length: +4\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: a negative length",
                "Content-Length: -1\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: a length in hexadecimal",
                "Content-Length: 0x4\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: a length with space in it",
                "Content-Length: 1 0\r\n\r\nbody",
                400,
            ),
            refused("6.3: a fraction", "Content-Length: 4.0\r\n\r\nbody", 400),
            refused(
                "6.3: a length that no counter holds",
                "Content-Length: 99999999999999999999\r\n\r\n",
                400,
            ),
            refused("6.3: no length", "Content-Length:\r\n\r\n", 400),
            refused(
                "6.3: a name that looks like Content-Length",
                "Content-Length : 4\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: Connection may not remove the framing",
                "Connection: content-length\r\nContent-Length: 4\r\n\r\nbody",
                400,
            ),
            refused(
                "6.3: nor Transfer-Encoding",
                "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n\
0\r\n\r\n",
                400,
            ),
        ],
    );
}

#[test]
fn chunks_are_read_as_rfc_9112_section_7_says() {
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let passed = "POST / HTTP/1.1\r\nHost: a.test\r\n\
SEENtransfer-encoding: chunked\r\n\r\n";
    let passes = |what, sent: &str, received: &str| {
        Row::passes(
            what,
            &format!("{head}{sent}"),
            &format!("{passed}{received}"),
        )
    };
    run(
        "9112",
        &[
            passes("7.1: no chunks", "0\r\n\r\n", "0\r\n\r\n"),
            passes(
                "7.1: chunks are framed anew",
                "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
                "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
            ),
            passes(
                "7.1: sizes in upper case and with zeros in front",
                "000A\r\n0123456789\r\n00\r\n\r\n",
                "a\r\n0123456789\r\n0\r\n\r\n",
            ),
            passes(
                "7.1.1: extensions are not passed on",
                "4;a=\"b\";c\r\nbody\r\n0;d\r\n\r\n",
                "4\r\nbody\r\n0\r\n\r\n",
            ),
            passes(
                "7.1.2: trailers are passed on",
                "0\r\nX-Sum: 1\r\nb:2\r\n\r\n",
                "0\r\nX-Sum: 1\r\nb:2\r\n\r\n",
            ),
            passes(
                "7.1: content that looks like the end",
                "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
                "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            ),
        ],
    );
}

#[test]
fn chunks_that_break_rfc_9112_section_7_are_refused_before_the_backend_sees_an_end() {
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let begun = "POST / HTTP/1.1\r\nHost: a.test\r\n\
SEENtransfer-encoding: chunked\r\n\r\n";
    let content = "2\r\nab\r\n";
    let cut = |what, rest: &str| {
        let sent = format!("{head}{content}{rest}{SMUGGLED}");
        Row::begins(what, &sent, begun, 400)
    };
    run(
        "9112",
        &[
            cut(
                "7.1: a bare LF after a size (strict)",
                "3\nabc\r\n0\r\n\r\n",
            ),
            cut(
                "7.1: content that is longer than its size",
                "3\r\nabcd\r\n0\r\n\r\n",
            ),
            cut(
                "7.1: content that is shorter than its size",
                "5\r\nabc\r\n0\r\n\r\n",
            ),
            cut(
                "7.1: a bare LF after content (strict)",
                "3\r\nabc\n0\r\n\r\n",
            ),
            cut("7.1: a prefix of C", "0x3\r\nabc\r\n0\r\n\r\n"),
            cut("7.1: a sign", "+3\r\nabc\r\n0\r\n\r\n"),
            cut("7.1: a negative size", "-3\r\nabc\r\n0\r\n\r\n"),
            cut("7.1: space before a size", " 3\r\nabc\r\n0\r\n\r\n"),
            cut("7.1: space after a size (strict)", "3 \r\nabc\r\n0\r\n\r\n"),
            cut("7.1: no size", "\r\nabc\r\n0\r\n\r\n"),
            cut("7.1: an underscore", "0_3\r\nabc\r\n0\r\n\r\n"),
            cut(
                "7.1: a size that no counter holds",
                "10000000000000000\r\nabc\r\n0\r\n\r\n",
            ),
            cut(
                "7.1.1: an extension with a bare LF in it",
                "3;a\nb\r\nabc\r\n0\r\n\r\n",
            ),
            cut(
                "7.1.1: an extension with a bare CR in it",
                "3;a\rb\r\nabc\r\n0\r\n\r\n",
            ),
            cut(
                "7.1.1: an extension that has no end",
                &format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(300)),
            ),
            cut(
                "7.1.2: a trailer that frames",
                "0\r\nContent-Length: 5\r\n\r\n",
            ),
            cut(
                "7.1.2: a trailer that frames in another way",
                "0\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            cut("7.1.2: a trailer that routes", "0\r\nHost: b.test\r\n\r\n"),
            cut(
                "7.1.2: a trailer with space before its colon",
                "0\r\nA : b\r\n\r\n",
            ),
            cut("7.1.2: a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
            cut("7.1.2: a bare LF in trailers (strict)", "0\r\nA: b\n\r\n"),
            cut("7.1.2: a bare LF at the end (strict)", "0\r\n\n"),
        ],
    );
}
