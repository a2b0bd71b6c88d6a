//! Limits of rates through the real proxy, which has two workers.

use http::Request;
use serde_json::{Value, json};

use crate::routing::Edge;
use crate::support::client::Client;
use crate::support::http2::{ask, connect, run};

/// A rule that lets so many requests through at once, and then hardly any for hours.
fn limited(to: &str, burst: u32, by: Value) -> Value {
    json!({
        "upstream": to,
        "rate_limit": {"requests": 1, "per": "hour", "burst": burst, "by": by},
    })
}

#[test]
fn a_client_has_its_burst_and_is_then_told_how_long_to_wait() {
    let edge = Edge::new()
        .rule("a.test", limited("app/web", 3, json!("address")))
        .rule("d.test", limited("app/modern", 3, json!("address")));
    let _setup = edge.serve();
    for host in ["a.test", "d.test"] {
        let mut client = Client::connect(edge.address);
        for _ in 0..3 {
            assert_eq!(client.get(host, "/").status, 200);
        }
        for _ in 0..2 {
            let answer = client.get(host, "/");
            assert_eq!(answer.status, 429);
            assert_eq!(answer.field("roadbed-reason"), Some("rate-limited"));
            let wait: u32 = answer.field("retry-after").unwrap().parse().unwrap();
            assert!((3500..=3600).contains(&wait), "{wait}");
            assert!(answer.text().starts_with("rate-limited: "));
        }
        run(async {
            let client = connect(edge.address).await;
            let get = Request::get(format!("http://{host}/"));
            let answer = ask(&client, get, None).await.unwrap();
            assert_eq!(answer.head.status.as_u16(), 429);
            assert_eq!(answer.field("roadbed-reason"), Some("rate-limited"));
            assert!(answer.field("retry-after").is_some());
            // Callers of gRPC are told in their own way.
            let call = Request::post(format!("http://{host}/"));
            let call = call.header("content-type", "application/grpc");
            let answer = ask(&client, call, Some(b"")).await.unwrap();
            assert_eq!(answer.head.status.as_u16(), 200);
            assert_eq!(answer.field("grpc-status"), Some("8"));
            assert_eq!(answer.field("roadbed-reason"), Some("rate-limited"));
        });
    }
}

#[test]
fn workers_do_not_each_have_a_burst() {
    let edge = Edge::new().rule("a.test", limited("app/web", 50, json!("route")));
    let _setup = edge.serve();
    let address = edge.address;
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                // Connections come to either worker.
                let served = (0..5).map(|_| {
                    let mut client = Client::connect(address);
                    let statuses = (0..5).map(|_| client.get("a.test", "/").status);
                    statuses.filter(|status| *status == 200).count()
                });
                served.sum::<usize>()
            })
        })
        .collect();
    let served: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(served, 50);
}

#[test]
fn a_field_or_a_cookie_tells_clients_apart() {
    let edge = Edge::new()
        .rule("a.test", limited("app/web", 1, json!({"header": "x-key"})))
        .rule(
            "b.test",
            limited("app/web", 1, json!({"cookie": "session"})),
        );
    let _setup = edge.serve();
    // Each is asked over HTTP/1.1 first, which takes the only token, and then over HTTP/2.
    let statuses = |request: &str| edge.asked(request, "x").map(|(status, ..)| status);
    for (one, other) in [
        ("GET a.test /\nX-Key: one", "GET a.test /\nX-Key: two"),
        (
            "GET b.test /\nCookie: a=b; session=1",
            "GET b.test /\nCookie: session=2",
        ),
    ] {
        assert_eq!(statuses(one), [200, 429]);
        assert_eq!(statuses(other), [200, 429]);
    }
    // Who has none is known by address.
    assert_eq!(statuses("GET a.test /"), [200, 429]);
    assert_eq!(statuses("GET b.test /\nCookie: xsession=3"), [200, 429]);
}

#[test]
fn a_new_snapshot_fills_no_bucket_unless_it_has_another_limit() {
    let edge = Edge::new().rule("a.test", limited("app/web", 1, json!("address")));
    let mut setup = edge.serve();
    let status = |edge: &Edge| Client::connect(edge.address).get("a.test", "/").status;
    assert_eq!([status(&edge), status(&edge)], [200, 429]);
    let mut next = edge.builder.0.clone();
    next.generation.0 += 1;
    let route = next.routes.values_mut().next().unwrap();
    route.treatment.body_limit = Some(1);
    setup.change(&edge.builder.0, &next);
    assert_eq!(status(&edge), 429);
    let mut other = next.clone();
    other.generation.0 += 1;
    let route = other.routes.values_mut().next().unwrap();
    route.treatment.rate_limit.as_mut().unwrap().burst = 2.try_into().unwrap();
    setup.change(&next, &other);
    assert_eq!(
        [status(&edge), status(&edge), status(&edge)],
        [200, 200, 429]
    );
}

#[test]
fn a_request_that_is_not_let_through_reaches_no_service_with_none_of_its_body() {
    let edge = Edge::new().rule("a.test", limited("app/web", 1, json!("address")));
    let _setup = edge.serve();
    let mut client = Client::connect(edge.address);
    assert_eq!(client.get("a.test", "/").status, 200);
    // A body that comes with it is not taken for the next request.
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (429, Some("close"))
    );
    assert_eq!(edge.web.received().len(), 1);
}
