//! RFC 9112, HTTP/1.1: what requests reach the backend and as what. Where the RFC leaves a choice,
//! ours is to refuse, and the row says so ("strict").

use crate::exchange::{Row, run};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn heads_are_read_as_rfc_9112_sections_2_to_5_say() {
    let get = |sent: &str| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{sent}\r\n");
    let passed = "GET / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n";
    let refused =
        |what, head: &str, status| Row::refused(what, &format!("{head}{SMUGGLED}"), status);
    run(
        "9112",
        &[
            Row::passes(
                "2.2: an empty line before a request is ignored",
                &format!("\r\n{}", get("")),
                passed,
            ),
            refused(
                "2.2: a bare LF ends a line for others (strict)",
                "GET / HTTP/1.1\nHost: a.test\n\n",
                400,
            ),
            refused(
                "2.2: a bare LF after a field (strict)",
                "GET / HTTP/1.1\r\nHost: a.test\nA: b\r\n\r\n",
                400,
            ),
            refused(
                "2.2: a bare CR within a field",
                "GET / HTTP/1.1\r\nHost: a.test\r\nA: b\rC: d\r\n\r\n",
                400,
            ),
            refused(
                "2.2: a bare CR within the target",
                "GET /a\rb HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "2.2: whitespace before the first field",
                "GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
                400,
            ),
            refused(
                "2.2: whitespace before the request line",
                " GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "2.3: a higher minor version (strict)",
                "GET / HTTP/1.2\r\nHost: a.test\r\n\r\n",
                505,
            ),
            refused(
                "2.3: a major version that we do not speak",
                "GET / HTTP/3.0\r\nHost: a.test\r\n\r\n",
                505,
            ),
            refused(
                "2.3: the name of the protocol is in upper case",
                "GET / http/1.1\r\nHost: a.test\r\n\r\n",
                505,
            ),
            refused(
                "2.3: a version of two digits",
                "GET / HTTP/1.10\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused("2.3: no version, as in HTTP/0.9", "GET /\r\n\r\n", 400),
            Row::passes(
                "2.3: a request in HTTP/1.0 is passed on in our own version",
                "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
                passed,
            ),
            refused(
                "3: two spaces in the request line (strict)",
                "GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3: a tab in the request line (strict)",
                "GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3: space after the version (strict)",
                "GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3: a target with a space: what follows it is no version",
                "GET /a b HTTP/1.1\r\nHost: a.test\r\n\r\n",
                505,
            ),
            refused(
                "3: a target of 16 KiB and more",
                &format!(
                    "GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n",
                    "a".repeat(16 * 1024)
                ),
                414,
            ),
            Row::passes(
                "3: a target of 8,000 bytes is not too long",
                &format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(8000)),
                &format!(
                    "GET /{} HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
                    "a".repeat(8000)
                ),
            ),
            Row::passes(
                "3.1: an unknown method is passed on",
                "BREW /pot HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "BREW /pot HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "3.1: methods are case-sensitive and passed on as they are",
                "get / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "get / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            refused(
                "3.1: a method that is no token",
                "G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            Row::passes(
                "3.2.1: path and query are passed on byte by byte",
                "GET //a/./%7E;b=c/?d=/../e&%00 HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "GET //a/./%7E;b=c/?d=/../e&%00 HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "3.2.1: an empty query is not no query",
                "GET /? HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "GET /? HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            refused(
                "3.2.1: a fragment",
                "GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2.1: a path without its slash",
                "GET a HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2.1: a path that would lead out of its route (strict)",
                "GET /a/%2e%2e/b HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            Row::passes(
                "3.2.2: an absolute target's host replaces Host",
                "GET http://a.test/x HTTP/1.1\r\nHost: evil.test\r\n\r\n",
                "GET /x HTTP/1.1\r\nhost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "3.2.2: an absolute target without path asks for the root",
                "GET HTTP://a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "GET / HTTP/1.1\r\nhost: a.test:80\r\nSEEN\r\n",
            ),
            refused(
                "3.2.2: an absolute target of another scheme",
                "GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2.2: an absolute target with user information",
                "GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2.3: CONNECT is for forward proxies",
                "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
                501,
            ),
            Row::passes(
                "3.2.4: OPTIONS * is passed on",
                "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "3.2.4: OPTIONS with an absolute target of no path (choice: \"*\" is for proxies)",
                "OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "OPTIONS / HTTP/1.1\r\nhost: a.test\r\nSEEN\r\n",
            ),
            refused(
                "3.2.4: * for another method",
                "GET * HTTP/1.1\r\nHost: a.test\r\n\r\n",
                400,
            ),
            refused("3.2: HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n", 400),
            refused(
                "3.2: two Hosts",
                "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2: two Hosts that are the same",
                "GET / HTTP/1.1\r\nHost: a.test\r\nhost: a.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2: a Host that is none",
                "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
                400,
            ),
            refused(
                "3.2: a Host that is a list",
                "GET / HTTP/1.1\r\nHost: a.test,b.test\r\n\r\n",
                400,
            ),
            refused(
                "3.2: an empty Host (strict: there is no such host)",
                "GET / HTTP/1.1\r\nHost:\r\n\r\n",
                400,
            ),
            refused(
                "3.2: an absolute target does not replace a missing Host",
                "GET http://a.test/ HTTP/1.1\r\n\r\n",
                400,
            ),
            refused("5: a line without a colon", &get("A\r\n"), 400),
            refused("5: an empty name", &get(": b\r\n"), 400),
            refused("5: a name that is no token", &get("A(: b\r\n"), 400),
            refused("5.1: space between name and colon", &get("A : b\r\n"), 400),
            refused(
                "5.1: a tab between name and colon",
                &get("Transfer-Encoding\t: chunked\r\n"),
                400,
            ),
            Row::fields(
                "5.1: space around a value is no part of it and passes",
                "A:\t b  c \t\r\n",
                "A:\t b  c \t\r\n",
            ),
            Row::fields(
                "5.1: no space and no value pass",
                "A:\r\nB:c\r\n",
                "A:\r\nB:c\r\n",
            ),
            refused("5.2: a folded line (strict)", &get("A: b\r\n c\r\n"), 400),
            refused(
                "5.2: a line folded by a tab (strict)",
                &get("A: b\r\n\tc\r\n"),
                400,
            ),
        ],
    );
}
