//! Requests that lead to no service, and those that the proxy answers in a service's place, as the
//! proxy counts them.

use std::time::Duration;

use http::Request;
use model::Protocol;
use serde_json::json;

use crate::metrics::{Shown, of_web, value};
use crate::support::backend::Backend;
use crate::support::client::{Client, End};
use crate::support::http2::{self, ask, connect, get, run};
use crate::support::stage::Stage;
use crate::support::{Builder, Setup, eventually, free_address};

/// The sum of what came in at the edge by class of the answer, cut included.
fn at_the_edge(page: &str) -> f64 {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let of = |class| format!("roadbed_proxy_requests_total{{from=\"edge\",code=\"{class}\"}}");
    let answered: f64 = classes.iter().map(|class| value(page, &of(class))).sum();
    answered + value(page, "roadbed_proxy_cut_requests_total{from=\"edge\"}")
}

fn unserved(page: &str, from: &str, reason: &str) -> f64 {
    let labels = format!("from=\"{from}\",reason=\"{reason}\"");
    value(
        page,
        &format!("roadbed_unserved_requests_total{{{labels}}}"),
    )
}

/// Sends bytes that are no request, and returns the status that they are answered with.
fn status_of(edge: std::net::SocketAddr, bytes: &str) -> u16 {
    let mut client = Client::connect(edge);
    client.offer(bytes);
    let status = client.answer().status;
    client.finish();
    client.rest();
    status
}

#[test]
fn what_leads_to_no_service_is_counted_by_its_reason_in_both_versions() {
    let backend = Backend::echo("web");
    let mut shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let edge = shown.stage.edge;
    shown.stage.change(|snapshot| {
        let redirect = json!({
            "host": "old.test", "path": "/", "order": 1,
            "redirect": { "status": 308, "host": "a.test" },
        });
        let route = serde_json::from_value(redirect).unwrap();
        snapshot.routes.insert("old".into(), route);
    });
    let mut client = Client::connect(edge);
    assert_eq!(client.get("a.test", "/").status, 200);
    assert_eq!(client.get("b.test", "/").status, 404);
    assert_eq!(client.get("old.test", "/").status, 308);
    assert_eq!(status_of(edge, "GET / HTTP/1.1\nHost: a.test\n\n"), 400);
    assert_eq!(
        status_of(edge, "GET / HTTP/1.9\r\nHost: a.test\r\n\r\n"),
        505
    );
    run(async {
        let client = connect(edge).await;
        for (host, status) in [("a.test", 200), ("b.test", 404), ("old.test", 308)] {
            let answer = get(&client, &format!("http://{host}/")).await;
            assert_eq!(answer.head.status, status);
        }
        let request = Request::get("http://a.test/").header("expect", "miracles");
        assert_eq!(ask(&client, request, None).await.unwrap().head.status, 417);
    });
    eventually("all are counted", || at_the_edge(&shown.page()) >= 9.0);
    let page = shown.page();
    assert_eq!(at_the_edge(&page), 9.0, "{page}");
    assert_eq!(unserved(&page, "edge", "no-route"), 2.0, "{page}");
    assert_eq!(unserved(&page, "edge", "bad-request"), 3.0, "{page}");
    for (sample, count) in [
        (
            "roadbed_proxy_requests_total{from=\"edge\",code=\"2xx\"}",
            2.0,
        ),
        (
            "roadbed_proxy_requests_total{from=\"edge\",code=\"3xx\"}",
            2.0,
        ),
        (
            "roadbed_proxy_requests_total{from=\"edge\",code=\"4xx\"}",
            4.0,
        ),
        (
            "roadbed_proxy_requests_total{from=\"edge\",code=\"5xx\"}",
            1.0,
        ),
        (
            "roadbed_proxy_redirected_requests_total{from=\"edge\"}",
            2.0,
        ),
        ("roadbed_proxy_requests_in_flight{from=\"edge\"}", 0.0),
        (
            "roadbed_proxy_requests_total{from=\"mesh\",code=\"2xx\"}",
            0.0,
        ),
    ] {
        assert_eq!(value(&page, sample), count, "{sample}: {page}");
    }
}

#[test]
fn a_head_that_does_not_end_is_counted() {
    let backend = Backend::echo("web");
    let metrics = free_address();
    let limits = [&*format!("metrics={metrics}"), "head=200"];
    let endpoints = [(backend.address, Protocol::Http)];
    let stage = Stage::new(&endpoints, &limits);
    let shown = Shown { stage, metrics };
    let mut client = Client::connect(shown.stage.edge);
    client.send("GET / HTTP/1.1\r\nHost: a.te");
    assert_eq!(client.answer().status, 408);
    assert_eq!(client.rest().1, End::Orderly);
    let page = shown.page();
    assert_eq!(unserved(&page, "edge", "slow-request"), 1.0, "{page}");
}

#[test]
fn answers_in_place_of_a_service_are_its_own_by_their_reason() {
    let backend = Backend::start(|connection| {
        while connection.request().is_some() {
            // It takes a request and says nothing.
            std::thread::park();
        }
    });
    let nobody = free_address();
    for protocol in [Protocol::Http, Protocol::Http2] {
        let mut shown = Shown::new(&[(nobody, protocol)]);
        let mut client = Client::connect(shown.stage.edge);
        assert_eq!(client.get("a.test", "/").status, 502);
        shown.stage.lead_to(&[]);
        run(async {
            let client = connect(shown.stage.edge).await;
            assert_eq!(get(&client, "http://a.test/").await.head.status, 503);
        });
        shown.stage.change(|snapshot| {
            for route in snapshot.routes.values_mut() {
                route.treatment.body_limit = Some(3);
                route.treatment.timeout = Some(Duration::from_millis(50));
            }
        });
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nfour");
        assert_eq!(client.answer().status, 413);
        shown.stage.lead_to(&[(backend.address, Protocol::Http)]);
        let mut client = Client::connect(shown.stage.edge);
        assert_eq!(client.get("a.test", "/").status, 504);
        let reasons = [
            "connect-failed",
            "no-healthy-endpoint",
            "body-too-large",
            "timeout",
        ];
        let of = |reason: &str| {
            let service = of_web("roadbed_refused_requests_total");
            service.replace('}', &format!(",reason=\"{reason}\"}}"))
        };
        eventually("all are counted", || {
            let page = shown.page();
            reasons
                .iter()
                .all(|reason| value(&page, &of(reason)) == 1.0)
        });
        let page = shown.page();
        assert_eq!(at_the_edge(&page), 4.0, "{page}");
        assert!(!page.contains("roadbed_unserved_requests_total{"), "{page}");
    }
}

#[test]
fn calls_between_services_are_told_from_those_from_outside() {
    let (edge, mesh, bytes) = (free_address(), free_address(), free_address());
    let backend = Backend::echo("web");
    let metrics = free_address();
    let builder = Builder::generation(1)
        .edge(edge)
        .mesh(mesh, "web")
        .http("web", &[backend.address])
        .tcp("bytes", &[bytes])
        .route("a.test", "/", "web")
        .route("bytes.test", "/", "bytes");
    let setup = Setup::serving(&builder.0, &[&format!("metrics={metrics}")]);
    assert_eq!(Client::connect(mesh).get("anything", "/").status, 200);
    assert_eq!(status_of(mesh, "no request\r\n\r\n"), 400);
    assert_eq!(Client::connect(edge).get("bytes.test", "/").status, 502);
    let stage = Stage {
        setup,
        edge,
        builder,
    };
    let shown = Shown { stage, metrics };
    eventually("all are counted", || {
        let page = shown.page();
        let sample = "roadbed_proxy_requests_total{from=\"mesh\",code=\"2xx\"}";
        value(&page, sample) == 1.0 && unserved(&page, "mesh", "bad-request") == 1.0
    });
    let page = shown.page();
    assert_eq!(unserved(&page, "edge", "wrong-protocol"), 1.0, "{page}");
    assert_eq!(at_the_edge(&page), 1.0, "{page}");
}

#[test]
fn each_endpoint_has_its_own_numbers_while_it_is_in_use() {
    let modern = http2::echo();
    let backend = Backend::start(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let endpoints = [(modern, Protocol::Http2), (backend.address, Protocol::Http)];
    let mut shown = Shown::new(&endpoints);
    let mut client = Client::connect(shown.stage.edge);
    let of = |name: &str, ordinal: u32| {
        let labels = "app=\"app\",service=\"web\"";
        format!("{name}{{{labels},instance=\"app.web.1.{ordinal}\",release=\"1\"}}")
    };
    let (mut asked, mut page) = (0.0, String::new());
    while value(&page, &of("roadbed_endpoint_failures_total", 2)) == 0.0 {
        asked += 1.0;
        assert!(asked < 500.0, "the second of two is never chosen: {page}");
        // What it says is asked of the first once more.
        assert_eq!(client.get("a.test", "/").status, 200);
        page = shown.page();
    }
    let number = |name: &str, ordinal| value(&page, &of(name, ordinal));
    let failed = number("roadbed_endpoint_failures_total", 2);
    assert_eq!(
        number("roadbed_endpoint_requests_total", 2),
        failed,
        "{page}"
    );
    assert_eq!(
        number("roadbed_endpoint_requests_total", 1),
        asked,
        "{page}"
    );
    assert_eq!(number("roadbed_endpoint_failures_total", 1), 0.0, "{page}");
    assert!(
        number("roadbed_endpoint_pooled_connections", 1) >= 1.0,
        "{page}"
    );
    let retries = value(&page, &of_web("roadbed_service_retries_total"));
    assert_eq!(retries, failed, "{page}");
    shown.stage.lead_to(&endpoints[..1]);
    let page = shown.page();
    assert!(
        page.contains(&of("roadbed_endpoint_requests_total", 1)),
        "{page}"
    );
    assert!(!page.contains("app.web.1.2"), "{page}");
}

#[test]
fn a_call_of_grpc_that_is_refused_before_its_service_is_asked_is_counted_by_its_status() {
    let backend = Backend::echo("web");
    let mut shown = Shown::new(&[(backend.address, Protocol::Http)]);
    shown.stage.change(|snapshot| {
        let limit = json!({"requests": 1, "per": "hour", "burst": 1, "by": "route"});
        let route = snapshot.routes.values_mut().next().unwrap();
        route.treatment.rate_limit = Some(serde_json::from_value(limit).unwrap());
    });
    run(async {
        let client = connect(shown.stage.edge).await;
        assert_eq!(get(&client, "http://a.test/").await.head.status, 200);
        let call = Request::post("http://a.test/shop.Catalog/Get");
        let call = call.header("content-type", "application/grpc");
        let answer = ask(&client, call, Some(b"")).await.unwrap();
        assert_eq!(answer.field("grpc-status"), Some("8"));
        assert_eq!(get(&client, "http://a.test/").await.head.status, 429);
    });
    let labels = "app=\"app\",service=\"web\",grpc_status=\"8\"";
    let sample = format!("roadbed_grpc_requests_total{{{labels}}}");
    eventually("it is counted", || shown.value(&sample) == 1.0);
    let page = shown.page();
    let refused = "app=\"app\",service=\"web\",reason=\"rate-limited\"";
    let refused = format!("roadbed_refused_requests_total{{{refused}}}");
    assert_eq!(value(&page, &refused), 2.0, "{page}");
}
