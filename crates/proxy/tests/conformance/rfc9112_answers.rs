//! RFC 9110 and 9112 for answers: how the backend's bytes reach the client, byte by byte.

use crate::exchange::{OK, Row, run};

#[test]
fn answers_are_passed_on_as_the_rfcs_say() {
    let close = "Connection: close\r\n";
    let answer =
        |what, sent: &str, heard: &str| Row::answer(what, &sent.replace("CLOSE", close), heard);
    let same = |what, head: &str, body: &str| {
        let heard = format!("{head}\r\n{body}");
        Row::answer(what, &format!("{head}{close}\r\n{body}"), &heard)
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    run(
        "9110 and 9112",
        &[
            same(
                "9112 4: any reason, none, and bytes above ASCII pass",
                "HTTP/1.1 200 Tr\u{e8}s bien\r\nContent-Length: 2\r\n",
                "ok",
            ),
            same(
                "9112 4: no reason",
                "HTTP/1.1 200 \r\nContent-Length: 2\r\n",
                "ok",
            ),
            same(
                "9110 15: a status that nobody knows",
                "HTTP/1.1 299 New\r\nContent-Length: 2\r\n",
                "ok",
            ),
            same(
                "9110 5.3: fields as they are",
                "HTTP/1.1 200 OK\r\nB: 1\r\na:2 \r\nSet-Cookie: a\r\n\
Set-Cookie: b\r\nContent-Length: 2\r\n",
                "ok",
            ),
            same(
                "9110 6.6.1: Date is the backend's where it gives one",
                "HTTP/1.1 200 OK\r\nDate: Tue, 25 Nov 2025 00:00:00 GMT\r\n\
Server: x\r\nContent-Length: 0\r\n",
                "",
            ),
            answer(
                "9110 7.6.1: fields for the connection to us",
                "HTTP/1.1 200 OK\r\nConnection: close, X-A\r\nX-A: 1\r\n\
Keep-Alive: timeout=1\r\nProxy-Connection: close\r\n\
Content-Length: 2\r\n\r\nok",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ),
            answer(
                "9110 7.8: Upgrade in an answer that does not switch",
                "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\
Content-Length: 2\r\n\r\nok",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ),
            answer(
                "9112 6.3: an answer up to the connection's end gets chunks",
                "HTTP/1.1 200 OK\r\nCLOSE\r\nok",
                &format!("{chunked}2\r\nok\r\n0\r\n\r\n"),
            ),
            answer(
                "9112 6.3: the same in HTTP/1.0",
                "HTTP/1.0 200 OK\r\n\r\nok",
                &format!("{chunked}2\r\nok\r\n0\r\n\r\n"),
            ),
            answer(
                "9112 2.3: the version is our own",
                "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            ),
            answer(
                "9112 7.1: chunks, without extensions",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCLOSE\r\n\
002;a=b\r\nok\r\n0;c\r\n\r\n",
                &format!("{chunked}2\r\nok\r\n0\r\n\r\n"),
            ),
            answer(
                "9112 7.1.2: trailers and what announces them",
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\
CLOSE\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\ntransfer-encoding: chunked\r\n\
\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
            answer(
                "9110 15.2: informational answers pass before the final one",
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\
Content-Length: 2\r\nCLOSE\r\nok",
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\
Content-Length: 2\r\n\r\nok",
            ),
            same(
                "9110 15.3.5: 204 has no content",
                "HTTP/1.1 204 No Content\r\n",
                "",
            ),
            answer(
                "9110 8.6: a length in 204 is left out",
                "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nCLOSE\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
            ),
            answer(
                "9112 6.1: so is a coding, and content is no answer of its own",
                "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nCLOSE\r\n\
2\r\nok\r\n0\r\n\r\n",
                "HTTP/1.1 204 No Content\r\n\r\n",
            ),
            same(
                "9110 15.3.7: parts of content pass unread",
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\n\
Content-Length: 2\r\n",
                "ok",
            ),
            same(
                "9110 15.4.5: 304 keeps the length of what it has not",
                "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 99\r\n",
                "",
            ),
            same(
                "9110 15.5.17: 416 is passed on",
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */9\r\n\
Content-Length: 0\r\n",
                "",
            ),
            same(
                "9110 15.6: errors of the backend are its own",
                "HTTP/1.1 503 Gone Fishing\r\nRetry-After: 1\r\nContent-Length: 2\r\n",
                "no",
            ),
            Row::answer_to(
                "HEAD",
                "9110 9.3.2: HEAD has a length and no content",
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
            ),
            Row::answer_to(
                "HEAD",
                "9110 9.3.2: content that comes all the same is dropped",
                OK,
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            ),
            Row::answer_to(
                "HEAD",
                "9112 6.1: HEAD with a coding has no content",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
Connection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\n\r\n",
            ),
            Row::passes(
                "9110 15.2: HTTP/1.0 has no informational answers",
                "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            )
            .answered(
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\
Content-Length: 2\r\nConnection: close\r\n\r\nok",
            )
            .heard("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"),
            Row::passes(
                "9112 7.1: HTTP/1.0 has no chunks",
                "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            )
            .answered(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
Connection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            )
            .heard("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok"),
            Row::passes(
                "9112 9.3: HTTP/1.0 that keeps its connection is told so",
                "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            )
            .heard(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: keep-alive\r\n\
\r\nok",
            ),
            Row::passes(
                "9112 9.6: a client that closes is told that we do",
                "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a.test\r\nSEEN\r\n",
            )
            .heard("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"),
        ],
    );
}

#[test]
fn answers_that_two_readers_may_understand_differently_become_a_bad_gateway() {
    let bad = |what, fields: &str| {
        let answered = format!("HTTP/1.1 200 OK\r\n{fields}Connection: close\r\n\r\nok");
        Row::bad_answer(what, &answered)
    };
    run(
        "9110 and 9112",
        &[
            bad(
                "9112 6.3: a length and a coding (strict)",
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            ),
            bad(
                "9112 6.3: two lengths",
                "Content-Length: 2\r\nContent-Length: 3\r\n",
            ),
            bad("9112 6.3: a list of lengths", "Content-Length: 2, 2\r\n"),
            bad(
                "9112 6.3: a length that is no number",
                "Content-Length: two\r\n",
            ),
            bad(
                "9112 6.1: another coding",
                "Transfer-Encoding: gzip, chunked\r\n",
            ),
            bad(
                "9112 6.1: chunked twice",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            ),
            bad("9112 5.1: space before a colon (strict)", "A : b\r\n"),
            bad("9112 5.2: a folded line (strict)", "A: b\r\n c\r\n"),
            bad("9112 2.2: a bare LF (strict)", "A: b\nB: c\r\n"),
            bad("9110 5.5: NUL in a value", "A: b\0c\r\n"),
            bad(
                "9112 6.3: Connection may not remove the framing",
                "Content-Length: 2\r\nConnection: content-length\r\n",
            ),
            Row::bad_answer("9112 4: not HTTP", "ICY 200 OK\r\n\r\n"),
            Row::bad_answer("9112 2.3: another major version", "HTTP/2.0 200 OK\r\n\r\n"),
            Row::bad_answer("9112 4: a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
            Row::bad_answer("9110 15: a status above 599", "HTTP/1.1 600 OK\r\n\r\n"),
            Row::bad_answer(
                "9112 2.2: an empty line before an answer",
                "\r\nHTTP/1.1 200 OK\r\n\r\n",
            ),
            Row::bad_answer(
                "9110 15.2.2: protocols are switched only where that was asked for",
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
Upgrade: x\r\n\r\n",
            ),
            Row::bad_answer("9110 15.6.3: no answer at all", ""),
            Row::bad_answer("9112 8: half a head", "HTTP/1.1 200 OK\r\nContent-"),
            Row::bad_answer(
                "9110 5.4: fields of more than 32 KiB",
                &format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(33_000)),
            ),
        ],
    );
}

#[test]
fn an_answer_that_rfc_9112_section_8_calls_incomplete_never_looks_whole() {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    run(
        "9112",
        &[
            Row::answer(
                "8: less than its length",
                &format!("{head}Content-Length: 4\r\n\r\nok"),
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok",
            )
            .or_less(),
            Row::answer(
                "8: a chunk is missing",
                &format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"),
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            )
            .or_less(),
            Row::answer(
                "8: half a chunk",
                &format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nok"),
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            )
            .or_less(),
            Row::answer(
                "7.1: a chunk that breaks a rule",
                &format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"),
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            )
            .or_less(),
            Row::answer(
                "7.1.2: a trailer that frames",
                &format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\
Content-Length: 1\r\n\r\n"
                ),
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            )
            .or_less(),
        ],
    );
}

#[test]
fn no_more_informational_answers_are_passed_on_than_anyone_sends() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let most = interim.repeat(16);
    let heard = format!(
        "{most}{interim}HTTP/1.1 502 Bad Gateway\r\nroadbed-reason: bad-response\r\n\
         content-type: text/plain; charset=utf-8\r\ncontent-length: 115\r\n\r\n\
         bad-response: the service's answer breaks the rules of HTTP: malformed head: it has too \
         many informational answers\n"
    );
    run(
        "9110",
        &[
            Row::answer(
                "15.2: sixteen",
                &format!("{most}{OK}"),
                &format!("{most}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ),
            Row::answer(
                "15.2: more than sixteen (strict)",
                &interim.repeat(17),
                &heard,
            ),
        ],
    );
}
