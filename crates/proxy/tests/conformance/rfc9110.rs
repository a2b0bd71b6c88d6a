//! RFC 9110, the semantics of HTTP: what a gateway passes on, what it leaves out, and what it adds.

use crate::exchange::{Row, run};

#[test]
fn requests_are_passed_on_as_rfc_9110_says() {
    let get = |sent: &str| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{sent}\r\n");
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\n";
    let same = |what, fields: &str| Row::fields(what, fields, fields);
    let none = |what, fields: &str| Row::fields(what, fields, "");
    run(
        "9110",
        &[
            same(
                "5.1: fields that nobody knows",
                "X-New: 1\r\nx_new: 2\r\n!#$%&'*+-.^_`|~: 3\r\n",
            ),
            same(
                "5.3: order, case and repetition of fields",
                "B: 1\r\na: 2\r\nB: 3\r\nb: 4\r\n",
            ),
            same(
                "5.4: a field of 8 KiB",
                &format!("A: {}\r\n", "a".repeat(8192)),
            ),
            Row::refused(
                "5.4: fields of more than 32 KiB",
                &get(&format!("A: {}\r\n", "a".repeat(33_000))),
                431,
            ),
            Row::refused(
                "5.4: more than 100 fields",
                &get(&"A: b\r\n".repeat(100)),
                431,
            ),
            Row::refused("5.5: NUL in a value", &get("A: b\0c\r\n"), 400),
            Row::refused(
                "5.5: a control character in a value (strict)",
                &get("A: b\u{1}c\r\n"),
                400,
            ),
            Row::refused("5.5: DEL in a value (strict)", &get("A: b\u{7f}c\r\n"), 400),
            same(
                "5.5: bytes above ASCII in a value pass unread",
                "A: \u{e9}\u{20ac}\r\n",
            ),
            same(
                "5.6.1: lists with empty elements pass unread",
                "Accept: , a/b ,,\r\n",
            ),
            Row::passes(
                "7.2: Host is passed on as it is",
                "GET / HTTP/1.1\r\nhOST: A.Test:80\r\n\r\n",
                "GET / HTTP/1.1\r\nhOST: A.Test:80\r\nSEEN\r\n",
            ),
            Row::refused(
                "7.4: a host that nobody has here",
                "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n",
                404,
            ),
            none(
                "7.6.1: Connection and the fields that it names",
                "Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\n",
            ),
            none(
                "7.6.1: every line of Connection counts",
                "X-A: 1\r\nConnection: x-a\r\nX-B: 2\r\nConnection: ,x-b,\r\n",
            ),
            none(
                "7.6.1: a field that is named and repeated",
                "X-A: 1\r\nConnection: x-a\r\nx-a: 2\r\n",
            ),
            Row::fields(
                "7.6.1: what is not named stays",
                "Connection: x-a\r\nX-AB: 1\r\n",
                "X-AB: 1\r\n",
            ),
            none(
                "7.6.1: Keep-Alive",
                "Keep-Alive: timeout=5\r\nConnection: keep-alive\r\n",
            ),
            none(
                "7.6.1: Keep-Alive that is not named",
                "Keep-Alive: timeout=5\r\n",
            ),
            none(
                "7.6.1: Proxy-Connection",
                "Proxy-Connection: keep-alive\r\n",
            ),
            none(
                "7.6.1: TE",
                "TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n",
            ),
            none(
                "7.6.1: Upgrade without Connection",
                "Upgrade: websocket\r\n",
            ),
            none(
                "7.8: an upgrade to HTTP/2 would pass unread (strict)",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            Row::refused(
                "7.6.1: Connection may not name Host",
                &get("Connection: host\r\n"),
                400,
            ),
            Row::fields(
                "7.6.1: close is for this connection",
                "Connection: close\r\n",
                "",
            ),
            Row::passes(
                "7.6.2: TRACE is passed on",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "7.6.2: Max-Forwards 5 of TRACE",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 5\r\nA: b\r\n\r\n",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nA: b\r\nSEENmax-forwards: 4\r\n\r\n",
            ),
            Row::passes(
                "7.6.2: Max-Forwards 1 of TRACE",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 1\r\nA: b\r\n\r\n",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nA: b\r\nSEENmax-forwards: 0\r\n\r\n",
            ),
            Row::passes(
                "7.6.2: Max-Forwards 007 of TRACE",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 007\r\nA: b\r\n\r\n",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nA: b\r\nSEENmax-forwards: 6\r\n\r\n",
            ),
            Row::passes(
                "7.6.2: Max-Forwards 5 of OPTIONS",
                "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 5\r\nA: b\r\n\r\n",
                "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nA: b\r\nSEENmax-forwards: 4\r\n\r\n",
            ),
            Row::passes(
                "7.6.2: Max-Forwards 1 of OPTIONS",
                "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 1\r\nA: b\r\n\r\n",
                "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nA: b\r\nSEENmax-forwards: 0\r\n\r\n",
            ),
            Row::passes(
                "7.6.2: Max-Forwards 007 of OPTIONS",
                "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 007\r\nA: b\r\n\r\n",
                "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nA: b\r\nSEENmax-forwards: 6\r\n\r\n",
            ),
            Row::refused(
                "7.6.2: TRACE that is to go no further",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n",
                501,
            ),
            Row::refused(
                "7.6.2: OPTIONS that is to go no further",
                "OPTIONS * HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n",
                200,
            ),
            Row::passes(
                "7.6.2: Max-Forwards that is no number is not understood",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: x\r\n\r\n",
                "TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: x\r\nSEEN\r\n",
            ),
            same(
                "7.6.2: Max-Forwards of other methods may be ignored",
                "Max-Forwards: 0\r\n",
            ),
            same(
                "7.6.3: Via of others passes; none is added (choice)",
                "Via: 1.0 b\r\n",
            ),
            same(
                "7.7: what is transformed is nothing",
                "Cache-Control: no-transform\r\nAccept-Encoding: gzip\r\n",
            ),
            Row::passes(
                "8.6: content without a length stays so",
                &format!(
                    "{post}Content-Type: a/b\r\nContent-Encoding: gzip\r\n\
Content-Length: 2\r\n\r\n\0\r"
                ),
                &format!(
                    "{post}Content-Type: a/b\r\nContent-Encoding: gzip\r\n\
Content-Length: 2\r\nSEEN\r\n\0\r"
                ),
            ),
            Row::passes(
                "9.3.2: HEAD",
                "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "HEAD / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "9.3.5: DELETE with content",
                "DELETE /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\na",
                "DELETE /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nSEEN\r\na",
            ),
            Row::passes(
                "9.3.7: OPTIONS",
                "OPTIONS /a HTTP/1.1\r\nHost: a.test\r\n\r\n",
                "OPTIONS /a HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            ),
            Row::passes(
                "10.1.1: Expect passes with the content that waits for it",
                &format!("{post}Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na"),
                &format!("{post}Expect: 100-Continue\r\nContent-Length: 1\r\nSEEN\r\na"),
            ),
            none(
                "10.1.1: Expect without content is left out",
                "Expect: 100-continue\r\n",
            ),
            Row::refused(
                "10.1.1: other expectations",
                &get("Expect: miracles\r\n"),
                417,
            ),
            Row::passes(
                "10.1.1: HTTP/1.0 has no expectations",
                "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\n\
Content-Length: 1\r\n\r\na",
                &format!("{post}Content-Length: 1\r\nSEEN\r\na"),
            ),
            same(
                "11.7: credentials for proxies before us are not ours",
                "Authorization: Basic YTpi\r\n",
            ),
            same(
                "13.1: preconditions pass unread",
                "If-Match: \"a\"\r\nIf-None-Match: *\r\n\
If-Modified-Since: Tue, 25 Nov 2025 00:00:00 GMT\r\n\
If-Range: \"a\"\r\n",
            ),
            same(
                "14.2: ranges pass unread",
                "Range: bytes=0-1,5-,-3, 9-2\r\n",
            ),
            none(
                "RFC 7239: what a client claims to be forwarded",
                "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\n\
X-Forwarded-Host: b\r\nx_real_ip: 1.1.1.1\r\n",
            ),
            same(
                "RFC 6265: cookies pass as they are",
                "Cookie: a=1; b=2\r\nCookie: c=3\r\n",
            ),
        ],
    );
}
