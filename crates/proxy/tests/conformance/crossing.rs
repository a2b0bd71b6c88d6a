//! What crosses from HTTP/1.1 to HTTP/2 as RFC 9113 section 8 says: requests to a backend, and
//! answers of one, field by field.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use model::Protocol;

use crate::exchange::Stage;
use crate::support::attested::{SEEN, pinned};
use crate::support::client::Client;
use crate::support::http2::{ask, backend, connect, read, run};
use crate::support::{Builder, Setup, free_address};

/// A message in one line: what it begins with, its fields, its content and its trailers.
fn text(begin: &str, headers: &HeaderMap, body: &[u8], trailers: Option<&HeaderMap>) -> String {
    let mut text = begin.to_owned();
    // The proxy adds a date and a name, which are others with every message.
    let added = ["date", "x-request-id"];
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| !added.contains(&name.as_str()))
    {
        let value = String::from_utf8_lossy(value.as_bytes());
        write!(text, " | {name}: {value}").unwrap();
    }
    write!(text, " || {}", String::from_utf8_lossy(body)).unwrap();
    for (name, value) in trailers.into_iter().flatten() {
        write!(text, " | {name}: {}", value.to_str().unwrap()).unwrap();
    }
    text
}

/// A backend that speaks HTTP/2 and remembers what it was asked.
fn remembering() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembered = asked.clone();
    let address = backend(h2::server::Builder::new(), move |request, mut respond| {
        let asked = asked.clone();
        async move {
            let (head, body) = request.into_parts();
            let (body, trailers) = read(body).await.unwrap();
            let begin = format!("{} {}", head.method, head.uri);
            let text = text(&begin, &head.headers, &body, trailers.as_ref());
            // A field a line, as it would be in HTTP/1.1.
            let lines = text.replace(" || ", "\n|| ").replace(" | ", "\n");
            let text = pinned(&lines).replace("\n|| ", " || ").replace('\n', " | ");
            asked.lock().unwrap().push(text);
            // The proxy may be gone at the end of a test.
            let _ = respond.send_response(Response::new(()), true);
        }
    });
    (address, remembered)
}

#[test]
fn requests_in_http1_reach_a_backend_of_http2_as_rfc_9113_section_8_says() {
    let (address, asked) = remembering();
    let edge = free_address();
    let limit = Duration::from_secs(5);
    let builder = Builder::generation(1)
        .edge(edge)
        .upstream("web", Protocol::Http2, limit, &[address])
        .route("a.test", "/", "web");
    let _setup = Setup::serving(&builder.0, &["linger=200"]);
    let (seen, _) = SEEN.split_once("\r\nx-request-id").unwrap();
    let seen = seen.replace("\r\n", " | ");
    let get = format!("GET http://a.test/ | {seen} || ");
    let rows = [
        (
            "8.3.1: a request",
            "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            get.clone(),
        ),
        (
            "8.3.1: Host becomes :authority as it is",
            "GET /x?y HTTP/1.1\r\nhOST: A.test:80\r\n\r\n",
            format!("GET http://A.test:80/x?y | {seen} || "),
        ),
        (
            "8.3.1: an absolute target's host does",
            "GET http://a.test/x HTTP/1.1\r\nHost: evil.test\r\n\r\n",
            format!("GET http://a.test/x | {seen} || "),
        ),
        (
            "8.2.1: names become lower case, and space around values goes",
            "GET / HTTP/1.1\r\nHost: a.test\r\nX-A:  b \t\r\nX-a: c\r\n\r\n",
            format!("GET http://a.test/ | x-a: b | x-a: c | {seen} || "),
        ),
        (
            "8.2.2: fields for the connection to us stay here",
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: x-a, keep-alive\r\nX-A: 1\r\n\
             Keep-Alive: 1\r\nProxy-Connection: a\r\nUpgrade: x\r\nTE: trailers\r\n\r\n",
            get.clone(),
        ),
        (
            "8.2.3: cookies",
            "GET / HTTP/1.1\r\nHost: a.test\r\nCookie: a=1; b=2\r\n\r\n",
            format!("GET http://a.test/ | cookie: a=1; b=2 | {seen} || "),
        ),
        (
            "8.1: content with a length",
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody",
            format!("POST http://a.test/ | content-length: 4 | {seen} || body"),
        ),
        (
            "8.1: content in chunks has none",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;a\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
            format!("POST http://a.test/ | {seen} || body"),
        ),
        (
            "8.1: trailers",
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
            format!("POST http://a.test/ | trailer: X-Sum | {seen} || body | x-sum: 1"),
        ),
        (
            "8.3.1: OPTIONS *",
            "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
            format!("OPTIONS http://a.test* | {seen} || "),
        ),
        (
            "RFC 9110 7.6.2: Max-Forwards",
            "OPTIONS / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 3\r\nA: b\r\n\r\n",
            format!("OPTIONS http://a.test/ | a: b | max-forwards: 2 | {seen} || "),
        ),
        (
            "2.3: HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
            get,
        ),
    ];
    let mut failures = Vec::new();
    for (what, sent, expected) in rows {
        let mut client = Client::connect(edge);
        client.send(sent);
        let status = client.answer().status;
        let seen = std::mem::take(&mut *asked.lock().unwrap());
        if status != 200 || seen != [expected.as_str()] {
            failures.push(format!(
                "{what}: {status}\n  {seen:?}\ninstead of\n  {expected:?}"
            ));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn answers_in_http1_reach_clients_of_http2_as_rfc_9113_section_8_says() {
    // What the backend answers, what the client hears, and whether HEAD was asked.
    let rows = [
        (
            "8.3.2: an answer, without its reason",
            "GET",
            "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok",
            Some("200 | content-length: 2 || ok"),
        ),
        (
            "8.2.2: fields for the connection to us stay here",
            "GET",
            "HTTP/1.1 200 OK\r\nConnection: X-A, close\r\nX-A: 1\r\nKeep-Alive: 1\r\n\
             Proxy-Connection: a\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
            Some("200 | content-length: 2 || ok"),
        ),
        (
            "8.1: chunks are not passed on as such",
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Some("200 || ok"),
        ),
        (
            "8.1: trailers",
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
             2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
            Some("200 | trailer: X-Sum || ok | x-sum: 1"),
        ),
        (
            "8.1: an answer up to the connection's end",
            "GET",
            "HTTP/1.0 200 OK\r\n\r\nok",
            Some("200 || ok"),
        ),
        (
            "8.1: informational answers, 103 and 102, go before",
            "GET",
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Some("200 | content-length: 2 || ok"),
        ),
        (
            "9110 15.3.5: 204",
            "GET",
            "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
            Some("204 | a: b || "),
        ),
        (
            "9110 15.4.5: 304 keeps the length of what it has not",
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Some("304 | content-length: 9 || "),
        ),
        (
            "9110 9.3.2: HEAD",
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            Some("200 | content-length: 9 || "),
        ),
        (
            "8.2.1: names in lower case; bytes above ASCII pass",
            "GET",
            "HTTP/1.1 200 OK\r\nX-A:  \u{e9} \r\nContent-Length: 0\r\n\r\n",
            Some("200 | x-a: \u{e9} | content-length: 0 || "),
        ),
        (
            "9112 8: less than its length is an error of the stream",
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok",
            None,
        ),
        (
            "9112 8: so is a missing chunk",
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
            None,
        ),
        (
            "9112 7.1: and one that breaks a rule",
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0x0\r\n\r\n",
            None,
        ),
    ];
    let stage = Stage::new();
    let mut failures = Vec::new();
    run(async {
        for (what, method, answered, expected) in rows {
            stage.prepare(1, Some(answered));
            let client = connect(stage.edge).await;
            let request = Request::builder().method(method).uri("http://a.test/");
            let whole = ask(&client, request, None).await.ok().map(|answer| {
                let status = answer.head.status.as_str();
                text(
                    status,
                    &answer.head.headers,
                    &answer.body,
                    answer.trailers.as_ref(),
                )
            });
            if whole.as_deref() != expected {
                failures.push(format!("{what}:\n  {whole:?}\ninstead of\n  {expected:?}"));
            }
        }
    });
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}
