//! Copies of requests through the real proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use model::Protocol;
use proxy::limits::MIRRORS_AT_ONCE;
use serde_json::{Value, json};

use crate::metrics;
use crate::routing::Edge;
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{ask, backend, connect, read, run};
use crate::support::{PATIENCE, Setup, eventually, free_address};

/// A rule that leads to `to`, of whose requests `mirror` gets copies.
fn rule(to: &str, mirror: &str, unsafe_methods: bool, body_limit: u32) -> Value {
    json!({
        "upstream": to,
        "request_headers": {"set": {"x-told": "1"}},
        "rewrite": {"prefix": "/seen"},
        "mirror": {"service": mirror, "percent": 100, "unsafe_methods": unsafe_methods,
                   "body_limit": body_limit},
    })
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A service of HTTP/2 that notes what it is asked, and by its mark whether that is a copy.
fn noting() -> (Seen, SocketAddr) {
    let seen = Seen::default();
    let noted = seen.clone();
    let address = backend(h2::server::Builder::new(), move |request, mut respond| {
        let noted = noted.clone();
        async move {
            let (head, body) = request.into_parts();
            let (body, _) = read(body).await.unwrap_or_default();
            let body = String::from_utf8(body).unwrap();
            let field = |name: &str| {
                head.headers
                    .get(name)
                    .map_or("none", |v| v.to_str().unwrap())
            };
            let (mark, told) = (field("roadbed-mirror"), field("x-told"));
            let path = head.uri.path_and_query().unwrap();
            let note = format!("{} {path} mark {mark} told {told} {body}", head.method);
            noted.lock().unwrap().push(note);
            let _ = respond
                .send_response(Response::new(()), false)
                .and_then(|mut stream| stream.send_data(Bytes::from_static(b"unseen"), true));
        }
    });
    (seen, address)
}

/// An edge, its proxy, and where that shows what it counts.
struct Shown {
    edge: Edge,
    metrics: SocketAddr,
    _setup: Setup,
}

impl Shown {
    fn new(edge: Edge) -> Self {
        let metrics = free_address();
        let setup = Setup::serving(&edge.builder.0, &[&format!("metrics={metrics}")]);
        Self {
            edge,
            metrics,
            _setup: setup,
        }
    }

    fn count(&self, what: &str, service: &str) -> usize {
        let page = metrics::get(self.metrics, "/metrics");
        let name = format!("roadbed_service_{what}_requests_total");
        let sample = format!("{name}{{app=\"app\",service=\"{service}\"}}");
        metrics::value(page.text(), &sample) as usize
    }
}

#[test]
fn another_service_gets_copies_and_clients_see_nothing_of_it() {
    let (seen, address) = noting();
    let mut edge = Edge::new()
        .rule("a.test", rule("app/web", "app/shadow", false, 1024))
        .rule("d.test", rule("app/modern", "app/shadow", false, 1024));
    edge.builder = edge
        .builder
        .upstream("shadow", Protocol::Http2, PATIENCE, &[address]);
    let shown = Shown::new(edge);
    let asked = "GET a.test /x?y\nRoadbed-Mirror: forged\nExpect: 100-continue";
    for (status, mark, text) in shown.edge.asked(asked, "roadbed-mirror") {
        assert_eq!(
            (status, &*mark, text.trim_end()),
            (200, "", "web /seen/x?y")
        );
    }
    for request in shown.edge.web.received() {
        assert!(
            !request.to_ascii_lowercase().contains("roadbed-mirror"),
            "{request}"
        );
    }
    // What comes back from there is what it was asked.
    for (_, mark, text) in shown
        .edge
        .asked("GET d.test /x\nroadbed_mirror: forged", "roadbed-mirror")
    {
        assert_eq!((&*mark, text.trim_end()), ("", "GET http://d.test/seen/x"));
    }
    eventually("all four are copied", || seen.lock().unwrap().len() == 4);
    let mut notes = seen.lock().unwrap().clone();
    notes.sort();
    let expected = ["GET /seen/x mark 1 told 1 ", "GET /seen/x?y mark 1 told 1 "];
    assert_eq!(notes, [expected[0], expected[0], expected[1], expected[1]]);
    assert_eq!(shown.count("mirrored", "shadow"), 4);
    assert_eq!(shown.count("unmirrored", "shadow"), 0);
}

#[test]
fn what_may_change_something_is_copied_only_where_that_is_asked_for() {
    let (seen, address) = noting();
    let mut edge = Edge::new()
        .rule("a.test", rule("app/web", "app/shadow", false, 1024))
        .rule("b.test", rule("app/web", "app/shadow", true, 4))
        .rule("d.test", rule("app/modern", "app/shadow", true, 4));
    edge.builder = edge
        .builder
        .upstream("shadow", Protocol::Http2, PATIENCE, &[address]);
    let shown = Shown::new(edge);
    for host in ["a.test", "b.test", "d.test"] {
        for (framing, body) in [
            ("Content-Length: 4", "four"),
            ("Content-Length: 5", "fives"),
            ("Transfer-Encoding: chunked", "4\r\nmore\r\n0\r\n\r\n"),
            (
                "Transfer-Encoding: chunked",
                "3\r\ntoo\r\n4\r\nmuch\r\n0\r\n\r\n",
            ),
        ] {
            let mut client = Client::connect(shown.edge.address);
            client.send(format!(
                "POST /x HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n{body}"
            ));
            assert_eq!(client.answer().status, 200, "{host} {framing}");
        }
        run(async {
            let client = connect(shown.edge.address).await;
            for body in [&b"h2"[..], b"too much"] {
                let post = Request::post(format!("http://{host}/x"));
                let answer = ask(&client, post, Some(body)).await.unwrap();
                assert_eq!(answer.head.status.as_u16(), 200);
            }
        });
    }
    eventually("what is short is copied", || {
        seen.lock().unwrap().len() == 6
    });
    let mut notes = seen.lock().unwrap().clone();
    notes.sort();
    let of = |body: &str| format!("POST /seen/x mark 1 told 1 {body}");
    let expected = ["four", "four", "h2", "h2", "more", "more"].map(of);
    assert_eq!(notes, expected);
    assert_eq!(shown.count("unmirrored", "shadow"), 6);
}

#[test]
fn a_service_that_does_not_answer_its_copies_delays_nobody() {
    let silent = Backend::start(|connection| connection.drain());
    let mut edge = Edge::new()
        .rule("a.test", rule("app/web", "app/silent", false, 0))
        .rule("b.test", rule("app/web", "app/nobody", false, 0));
    edge.builder = edge
        .builder
        .http("silent", &[silent.address])
        .http("nobody", &[free_address()]);
    let shown = Shown::new(edge);
    // One connection is one worker.
    let mut client = Client::connect(shown.edge.address);
    for _ in 0..MIRRORS_AT_ONCE + 10 {
        assert_eq!(client.get("a.test", "/").text(), "web /seen/ ");
    }
    assert_eq!(shown.count("mirrored", "silent"), MIRRORS_AT_ONCE);
    assert_eq!(shown.count("unmirrored", "silent"), 10);
    // Another worker has its own; what cannot be sent ends at once, and is no failure of the route.
    let mut client = Client::connect(shown.edge.address);
    for _ in 0..10 {
        assert_eq!(client.get("b.test", "/").text(), "web /seen/ ");
    }
    assert_eq!(
        shown.count("mirrored", "nobody") + shown.count("unmirrored", "nobody"),
        10
    );
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let (seen, address) = noting();
    let mut half = rule("app/web", "app/shadow", false, 0);
    half["mirror"]["percent"] = 50.into();
    let mut edge = Edge::new().rule("a.test", half);
    edge.builder = edge
        .builder
        .upstream("shadow", Protocol::Http2, PATIENCE, &[address]);
    let shown = Shown::new(edge);
    let mut client = Client::connect(shown.edge.address);
    for _ in 0..400 {
        assert_eq!(client.get("a.test", "/").status, 200);
    }
    let copied = shown.count("mirrored", "shadow") + shown.count("unmirrored", "shadow");
    // Five standard deviations on either side.
    assert!((150..=250).contains(&copied), "{copied} of 400");
    eventually("they arrive", || {
        seen.lock().unwrap().len() == shown.count("mirrored", "shadow")
    });
}
