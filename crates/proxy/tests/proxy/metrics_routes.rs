//! What the proxy measures of each route, release and instance, next to what clients know.

use std::net::SocketAddr;
use std::time::Duration;

use model::Protocol;
use serde_json::json;

use crate::metrics::{Shown, get, of_web, value};
use crate::routing::Edge;
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::stage::Stage;
use crate::support::{Setup, eventually, free_address, upstream_id};

/// The value of a sample, once the page has it.
#[track_caller]
fn expect(metrics: SocketAddr, sample: &str, expected: f64) {
    let mut page = String::new();
    let mut is_there = || {
        page = get(metrics, "/metrics").text().to_owned();
        value(&page, sample) == expected
    };
    eventually(&format!("{sample} {expected}"), &mut is_there);
}

#[test]
fn requests_are_counted_by_their_route_in_both_versions() {
    let edge = Edge::new()
        .rule("a.test", json!({"upstream": "app/web"}))
        .rule(
            "a.test",
            json!({"path": {"template": "/users/{id}"}, "upstream": "app/modern"}),
        )
        .rule(
            "a.test",
            json!({"path": "/old", "redirect": {"status": 308, "path": {"whole": "/"}}}),
        )
        .rule("*.b.test", json!({"upstream": "app/web"}))
        .rule(
            "a.test",
            json!({"path": "/small", "upstream": "app/web", "body_limit": 1}),
        )
        .rule("unused.test", json!({"upstream": "app/web"}));
    let metrics = free_address();
    let argument = format!("metrics={metrics}");
    let _setup = Setup::serving(&edge.builder.0, &[&argument]);
    let mut bytes = 0;
    for _ in 0..3 {
        for (status, _, text) in edge.asked("GET a.test /any", "x") {
            assert_eq!(status, 200);
            bytes += text.len();
        }
    }
    edge.expect("GET c.b.test /y", "web /y");
    edge.asked("GET a.test /users/7", "x");
    edge.asked("GET a.test /old", "x");
    edge.expect_error("GET nowhere.test /", 404, "no-route");
    let mut client = Client::connect(edge.address);
    client.send("POST /small HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(client.answer().status, 413);

    let of = |key: &str| format!(r#"{{app="app",host="a.test",route="{key}""#);
    let requests = "roadbed_route_requests_total";
    for (labels, class, count) in [
        (of("000"), "2xx", 6.0),
        (of("000"), "5xx", 0.0),
        (of("001"), "2xx", 2.0),
        // It leads to no service, so to none of any app.
        (r#"{host="a.test",route="002""#.into(), "3xx", 2.0),
        (
            r#"{app="app",host="*.b.test",route="003""#.into(),
            "2xx",
            2.0,
        ),
        (of("004"), "4xx", 1.0),
    ] {
        expect(
            metrics,
            &format!(r#"{requests}{labels},code="{class}"}}"#),
            count,
        );
    }
    let page = get(metrics, "/metrics").text().to_owned();
    let head = "roadbed_route_response_head_seconds";
    for (sample, count) in [
        (format!("{head}_count{}}}", of("000")), 6),
        (format!(r#"{head}_bucket{},le="+Inf"}}"#, of("001")), 2),
        (format!("{head}_count{}}}", of("004")), 1),
        (
            format!("roadbed_route_response_body_bytes_total{}}}", of("000")),
            bytes,
        ),
        (
            format!("roadbed_route_cut_requests_total{}}}", of("000")),
            0,
        ),
    ] {
        assert_eq!(value(&page, &sample), count as f64, "{sample}\n{page}");
    }
    assert!(
        !page.contains("unused.test") && !page.contains("nowhere.test"),
        "{page}"
    );
    // Each request of the edge is one of a route, but for those that no rule is for.
    let sum = |start: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(start));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    let edge = sum(r#"roadbed_proxy_requests_total{from="edge""#);
    assert_eq!(sum(&format!("{requests}{{")), edge - 2.0, "{page}");
}

#[test]
fn what_is_cut_and_what_a_tunnel_moves_is_counted_for_the_route() {
    let backend = Backend::start(|connection| {
        let head = connection.head().unwrap();
        if !head.contains("Upgrade") {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            return;
        }
        connection.send("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while connection.exactly(5).is_some() {
            connection.send("pong");
        }
    });
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let mut client = Client::connect(shown.stage.edge);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.rest();
    let mut client = Client::connect(shown.stage.edge);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\n{upgrade}\r\n\r\n"
    ));
    client.head();
    client.send("pings");
    assert_eq!(client.exactly(4), b"pong");
    client.finish();
    client.rest();
    let of = r#"{app="app",host="a.test",route="a.test/""#;
    for (sample, expected) in [
        (format!("roadbed_route_cut_requests_total{of}}}"), 1.0),
        (
            format!(r#"roadbed_route_requests_total{of},code="1xx"}}"#),
            1.0,
        ),
        (format!("roadbed_route_request_body_bytes_total{of}}}"), 5.0),
        (
            format!("roadbed_route_response_body_bytes_total{of}}}"),
            8.0,
        ),
        (
            format!("roadbed_route_response_head_seconds_count{of}}}"),
            1.0,
        ),
    ] {
        expect(shown.metrics, &sample, expected);
    }
}

#[test]
fn a_route_that_changes_or_goes_keeps_its_numbers() {
    let backend = Backend::echo("web");
    let mut shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let mut client = Client::connect(shown.stage.edge);
    client.get("a.test", "/");
    let sample =
        r#"roadbed_route_requests_total{app="app",host="a.test",route="a.test/",code="2xx"}"#;
    expect(shown.metrics, sample, 1.0);
    let route = shown.stage.builder.0.routes["a.test/"].clone();
    shown.stage.change(|snapshot| {
        let route = snapshot.routes.get_mut("a.test/").unwrap();
        route.treatment.timeout = Some(Duration::from_secs(3));
    });
    client.get("a.test", "/");
    expect(shown.metrics, sample, 2.0);
    shown.stage.change(|snapshot| snapshot.routes.clear());
    assert_eq!(client.get("a.test", "/").status, 404);
    expect(shown.metrics, sample, 2.0);
    shown
        .stage
        .change(|snapshot| drop(snapshot.routes.insert("a.test/".into(), route)));
    client.get("a.test", "/");
    expect(shown.metrics, sample, 3.0);
}

/// Answers with the status that the path says, some time after the request.
fn slow(pause: Duration) -> Backend {
    Backend::start(move |connection| {
        while let Some((head, _)) = connection.request() {
            std::thread::sleep(pause);
            let status = head.split(' ').nth(1).unwrap().trim_start_matches('/');
            connection.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        }
    })
}

#[test]
fn each_instance_and_release_has_its_own_times_and_answers() {
    const PAUSE: Duration = Duration::from_millis(40);
    let (fast, slow) = (slow(Duration::ZERO), slow(PAUSE));
    let metrics = free_address();
    let ends = [
        (fast.address, Protocol::Http),
        (slow.address, Protocol::Http),
    ];
    let stage = Stage::prepared(&ends, &[&format!("metrics={metrics}")], |snapshot| {
        let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
        web.resilience.balance = model::Balance::RoundRobin;
        let old: model::InstanceId = "app.web.1.2".parse().unwrap();
        let endpoint = web.endpoints.remove(&old).unwrap();
        web.endpoints
            .insert("app.web.2.1".parse().unwrap(), endpoint);
    });
    let mut stage = stage;
    let mut client = Client::connect(stage.edge);
    for status in [200, 200, 404, 404] {
        assert_eq!(client.get("a.test", &format!("/{status}")).status, status);
    }
    let release = |number: u32| format!(r#"{{app="app",service="web",release="{number}""#);
    let instance = |name: &str, number: u32| {
        format!(r#"{{app="app",service="web",instance="{name}",release="{number}"}}"#)
    };
    let check = |page: &str| {
        for number in [1, 2] {
            for class in ["2xx", "4xx"] {
                let of = release(number);
                let sample = format!(r#"roadbed_release_responses_total{of},code="{class}"}}"#);
                assert_eq!(value(page, &sample), 1.0, "{page}");
            }
        }
        let name = "roadbed_release_response_seconds";
        let [fast, slow] =
            [1, 2].map(|number| value(page, &format!("{name}_sum{}}}", release(number))));
        assert!(slow >= 2.0 * PAUSE.as_secs_f64() && fast < slow, "{page}");
        let bucket = format!(r#"{name}_bucket{},le="0.032"}}"#, release(2));
        assert!(page.contains(&format!("{bucket} 0")), "{page}");
    };
    expect(metrics, &of_web("roadbed_requests_in_flight"), 0.0);
    let page = get(metrics, "/metrics").text().to_owned();
    check(&page);
    let name = "roadbed_endpoint_response_seconds";
    for (instance, number) in [("app.web.1.1", 1), ("app.web.2.1", 2)] {
        let of = |what: &str, labels: String| value(&page, &format!("{name}_{what}{labels}"));
        let release = |what: &str| {
            value(
                &page,
                &format!(
                    "roadbed_release_response_seconds_{what}{}}}",
                    release(number)
                ),
            )
        };
        let labels =
            || format!(r#"{{app="app",service="web",instance="{instance}",release="{number}"}}"#);
        assert_eq!(of("count", labels()), 2.0, "{page}");
        assert_eq!(of("sum", labels()), release("sum"), "{page}");
    }
    assert!(!page.contains(&format!("{name}_bucket")), "{page}");
    // The release stays when its instance goes, and the instance does not.
    stage.lead_to(&[]);
    let page = get(metrics, "/metrics").text().to_owned();
    check(&page);
    assert!(!page.contains(&instance("app.web.2.1", 2)), "{page}");
}
