//! What apps show in place of errors, to clients of HTTP/1.1 and HTTP/2: for errors of the edge, and
//! for answers of services.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::Response;
use model::{Protocol, Snapshot};
use serde_json::{Value, json};

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::backend_counting;
use crate::support::stage::Stage;
use crate::support::told::told;
use crate::support::{free_address, upstream_id};

const HTML: &str = "text/html; charset=utf-8";
const PAGE: &str = "<h1>{{status}}</h1><p>{{reason}} {{request_id}}</p>";

/// Adds pages of the app `shown`.
fn show(snapshot: &mut Snapshot, pages: Value) {
    let pages = serde_json::from_value(pages).unwrap();
    snapshot.error_pages.insert("shown".into(), pages);
}

/// Adds a rule for `path` of `a.test` that shows them.
fn rule(snapshot: &mut Snapshot, path: &str, mut rule: Value) {
    rule["host"] = "a.test".into();
    rule["path"] = path.into();
    rule["error_pages"] = "shown".into();
    let rule = serde_json::from_value(rule).unwrap();
    snapshot.routes.insert(path.into(), rule);
}

/// An edge where nobody answers at `/down`, `/limited` takes one request a minute of each caller, and
/// `/small` takes no content. There is nothing else on the host.
fn failing() -> Stage {
    Stage::prepared(&[(free_address(), Protocol::Http)], &[], |snapshot| {
        snapshot.routes.clear();
        show(
            snapshot,
            json!({
                "404": { "html": "no {{reason}}" },
                "429": { "json": "{\"slow\": \"{{reason}}\"}" },
                "4xx": { "html": PAGE },
                "5xx": { "html": PAGE, "json": "{\"down\": {{status}}}" },
            }),
        );
        rule(snapshot, "/down", json!({"upstream": "app/web"}));
        let limit = json!({"requests": 1, "per": "minute", "burst": 1, "by": "address"});
        let limited = json!({"upstream": "app/web", "rate_limit": limit});
        rule(snapshot, "/limited", limited);
        rule(
            snapshot,
            "/small",
            json!({"upstream": "app/web", "body_limit": 0}),
        );
    })
}

#[test]
fn an_error_of_the_edge_is_shown_as_the_app_wants_it() {
    let stage = failing();
    for answer in told(stage.edge, "GET a.test /down") {
        let id = answer.field("x-request-id");
        assert_eq!(id.len(), 32);
        let page = format!("<h1>502</h1><p>connect-failed {id}</p>");
        assert_eq!((answer.status, &answer.body), (502, &page));
        assert_eq!(answer.field("content-type"), HTML);
        assert_eq!(answer.field("content-length"), page.len().to_string());
        assert_eq!(answer.field("roadbed-reason"), "connect-failed");
        assert_eq!(answer.field("vary"), "accept");
    }
    let mut client = Client::connect(stage.edge);
    client.send("POST /small HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.text().starts_with("<h1>413</h1><p>body-too-large "));
    // No route of the host fits.
    for answer in told(stage.edge, "GET a.test /none") {
        assert_eq!((answer.status, &answer.body[..]), (404, "no no-route"));
    }
    // Nothing is known of the host.
    for answer in told(stage.edge, "GET b.test /none") {
        assert_eq!(answer.status, 404);
        assert!(answer.body.starts_with("no-route: "), "{answer:?}");
    }
}

#[test]
fn what_else_is_told_of_an_error_stays() {
    let stage = failing();
    let request = "GET a.test /limited\nAccept: application/json";
    told(stage.edge, request);
    for answer in told(stage.edge, request) {
        assert_eq!(answer.status, 429);
        assert_eq!(answer.body, "{\"slow\": \"rate-limited\"}");
        assert_eq!(answer.field("content-type"), "application/json");
        assert_eq!(answer.field("roadbed-reason"), "rate-limited");
        let wait: u32 = answer.field("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{answer:?}");
    }
}

#[test]
fn nobody_is_shown_html_who_does_not_read_it() {
    let stage = failing();
    let asked =
        |path: &str, accept: &str| told(stage.edge, &format!("GET a.test {path}\n{accept}"));
    for (path, accept, kind, body) in [
        ("/down", "Accept: */*", HTML, "<h1>"),
        ("/down", "Accept: text/html, */*;q=0.1", HTML, "<h1>"),
        (
            "/down",
            "Accept: application/json",
            "application/json",
            "{\"down\": 502}",
        ),
        (
            "/down",
            "Accept: image/png",
            "text/plain; charset=utf-8",
            "connect-failed: ",
        ),
        // Where the app has no page in JSON there is the usual text in JSON.
        (
            "/none",
            "Accept: application/json",
            "application/json",
            "{\"error\":{",
        ),
    ] {
        for answer in asked(path, accept) {
            assert_eq!(answer.field("content-type"), kind, "{path} {accept}");
            assert!(answer.body.starts_with(body), "{path} {accept}: {answer:?}");
        }
    }
    // There is no gRPC in HTTP/1.1.
    let call = "POST a.test /down\nContent-Type: application/grpc\nTE: trailers";
    let [_, new] = told(stage.edge, call);
    assert_eq!((new.field("grpc-status"), &new.body[..]), ("14", ""));
    assert_eq!(new.field("content-type"), "application/grpc");
}

#[test]
fn head_is_told_how_long_the_page_is() {
    let stage = failing();
    let gets = told(stage.edge, "GET a.test /down");
    let heads = told(stage.edge, "HEAD a.test /down");
    for (get, head) in gets.into_iter().zip(heads) {
        let names = |fields: &std::collections::BTreeMap<String, String>| -> Vec<String> {
            fields.keys().cloned().collect()
        };
        assert_eq!(names(&head.fields), names(&get.fields));
        assert_eq!(head.field("content-length"), get.field("content-length"));
        assert_eq!((head.status, &head.body[..]), (502, ""));
    }
}

#[test]
fn a_new_release_shows_its_own() {
    let mut stage = failing();
    stage.change(|snapshot| {
        let page = json!({ "5xx": { "html": "{{status}} anew" } });
        let page = serde_json::from_value(page).unwrap();
        snapshot.error_pages = [("next".to_owned(), page)].into();
        snapshot.routes.retain(|path, _| path == "/down");
        let route = snapshot.routes.values_mut().next().unwrap();
        route.error_pages = Some("next".into());
    });
    for answer in told(stage.edge, "GET a.test /down") {
        assert_eq!(answer.body, "502 anew");
    }
    // Nor is there anything left of what the old one showed.
    for answer in told(stage.edge, "GET a.test /none") {
        assert!(answer.body.starts_with("no-route: "), "{answer:?}");
    }
    stage.change(|snapshot| {
        snapshot.error_pages.clear();
        snapshot.routes.values_mut().next().unwrap().error_pages = None;
    });
    for answer in told(stage.edge, "GET a.test /down") {
        assert!(answer.body.starts_with("connect-failed: "), "{answer:?}");
    }
}

/// How much content a service has beside its status.
const LONG: usize = 1 << 20;

/// A service that answers with the status that the path says and fields about its content, and how
/// many connections it has had.
fn service(protocol: Protocol) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let content = |path: &str| match path.ends_with("long") {
        true => "x".repeat(LONG),
        false => "own".to_owned(),
    };
    let status = |path: &str| path.split('/').nth(1).unwrap().parse::<u16>().unwrap();
    if protocol == Protocol::Http2 {
        let address = backend_counting(
            h2::server::Builder::new(),
            connections.clone(),
            move |request, mut respond| async move {
                let path = request.uri().path().to_owned();
                let response = Response::builder()
                    .status(status(&path))
                    .header("www-authenticate", "Basic")
                    .header("content-type", "text/plain")
                    .header("etag", "\"a\"")
                    .header("retry-after", "7");
                let is_head = request.method() == http::Method::HEAD;
                let response = response.body(()).unwrap();
                if let Ok(mut stream) = respond.send_response(response, is_head)
                    && !is_head
                {
                    let _ = stream.send_data(Bytes::from(content(&path)), true);
                }
            },
        );
        return (address, connections);
    }
    let counted = connections.clone();
    let backend = Backend::start(move |connection| {
        counted.fetch_add(1, SeqCst);
        while let Some((head, _)) = connection.request() {
            let path = head.split(' ').nth(1).unwrap();
            let content = content(path);
            connection.send(format!(
                "HTTP/1.1 {} X\r\nWWW-Authenticate: Basic\r\nContent-Type: text/plain\r\n\
                 ETag: \"a\"\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n",
                status(path),
                content.len()
            ));
            if !head.starts_with("HEAD") {
                connection.send(content);
            }
        }
    });
    // It lives as long as the process.
    let address = backend.address;
    std::mem::forget(backend);
    (address, connections)
}

/// An edge whose app shows a page in place of what its service answers with 401 and 5xx.
fn in_place_of_answers(protocol: Protocol) -> (Stage, Arc<AtomicUsize>) {
    let (address, connections) = service(protocol);
    let stage = Stage::prepared(&[(address, protocol)], &[], |snapshot| {
        snapshot.routes.clear();
        show(
            snapshot,
            json!({
                "401": { "html": PAGE, "json": "{}", "services": true },
                "404": { "html": "never" },
                "5xx": { "html": PAGE, "services": true },
            }),
        );
        rule(snapshot, "/", json!({"upstream": "app/web"}));
        snapshot
            .upstreams
            .get_mut(&upstream_id("web"))
            .unwrap()
            .protocol = protocol;
    });
    (stage, connections)
}

#[test]
fn a_page_takes_the_place_of_what_a_service_says_where_that_is_declared() {
    for protocol in [Protocol::Http, Protocol::Http2] {
        let (stage, _) = in_place_of_answers(protocol);
        for status in [401, 500] {
            for answer in told(stage.edge, &format!("GET a.test /{status}/x")) {
                let id = answer.field("x-request-id");
                let page = format!("<h1>{status}</h1><p>service {id}</p>");
                assert_eq!((answer.status, &answer.body), (status, &page));
                assert_eq!(answer.field("content-type"), HTML);
                assert_eq!(answer.field("content-length"), page.len().to_string());
                assert_eq!(answer.field("www-authenticate"), "Basic");
                assert_eq!(answer.field("retry-after"), "7");
                assert_eq!(
                    (answer.field("etag"), answer.field("roadbed-reason")),
                    ("", "")
                );
            }
            for answer in told(stage.edge, &format!("HEAD a.test /{status}/x")) {
                let page = format!("<h1>{status}</h1><p>service {}</p>", "x".repeat(32));
                assert_eq!(answer.field("content-length"), page.len().to_string());
                assert_eq!((answer.status, &answer.body[..]), (status, ""));
            }
        }
        for answer in told(stage.edge, "GET a.test /401/x\nAccept: application/json") {
            assert_eq!((answer.status, &answer.body[..]), (401, "{}"));
        }
        // It has none of this kind, nor for this status, nor where all is well.
        for (request, status) in [
            ("GET a.test /500/x\nAccept: application/json", 500),
            ("GET a.test /404/x", 404),
            ("GET a.test /200/x", 200),
        ] {
            for answer in told(stage.edge, request) {
                assert_eq!(
                    (answer.status, &answer.body[..]),
                    (status, "own"),
                    "{request}"
                );
                assert_eq!(answer.field("etag"), "\"a\"");
            }
        }
    }
}

#[test]
fn connections_outlive_answers_that_are_replaced_unless_there_is_much_of_them() {
    let (stage, connections) = in_place_of_answers(Protocol::Http);
    // One connection of a client stays with one worker.
    let mut client = Client::connect(stage.edge);
    for _ in 0..5 {
        assert_eq!(client.get("a.test", "/500/x").status, 500);
    }
    assert_eq!(connections.load(SeqCst), 1);
    let answer = client.get("a.test", "/500/long");
    assert!(answer.text().starts_with("<h1>500</h1>"), "{answer:?}");
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(client.rest().0, b"");
    let mut client = Client::connect(stage.edge);
    assert_eq!(client.get("a.test", "/200/x").text(), "own");
}
