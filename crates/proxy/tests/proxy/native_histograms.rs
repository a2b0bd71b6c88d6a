//! Native histograms as the real Prometheus reads them, next to what a client knows.

use std::time::{Duration, Instant};

use model::Protocol;

use crate::metrics::{Shown, get};
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::prometheus::Prometheus;

/// How far a time that is read back is off at most, as the documentation says.
const BOUND: f64 = 0.077;

/// Answers after so many milliseconds as the path says.
fn as_slow_as_asked() -> Backend {
    Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            let path = head.split(' ').nth(1).unwrap();
            let pause = path.trim_start_matches('/').parse().unwrap();
            std::thread::sleep(Duration::from_millis(pause));
            connection.answer("x");
        }
    })
}

#[test]
fn quantiles_of_native_histograms_are_what_the_client_has_seen() {
    let backend = as_slow_as_asked();
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let mut client = Client::connect(shown.stage.edge);
    let mut times = Vec::new();
    for pause in std::iter::repeat_n(20, 30).chain(std::iter::repeat_n(150, 10)) {
        let start = Instant::now();
        client.get("a.test", &format!("/{pause}"));
        times.push((pause as f64 / 1e3, start.elapsed().as_secs_f64()));
    }
    let arguments = ["--enable-feature=native-histograms"];
    let Some(prometheus) = Prometheus::reading(shown.metrics, &arguments) else {
        return;
    };
    for (name, labels) in [
        (
            "roadbed_request_duration_seconds",
            r#"app="app",service="web""#,
        ),
        (
            "roadbed_response_head_seconds",
            r#"app="app",service="web""#,
        ),
        (
            "roadbed_route_response_head_seconds",
            r#"host="a.test",route="a.test/""#,
        ),
        (
            "roadbed_release_response_seconds",
            r#"service="web",release="1""#,
        ),
        (
            "roadbed_endpoint_response_seconds",
            r#"exported_instance="app.web.1.1""#,
        ),
    ] {
        let series = format!("{name}{{{labels}}}");
        prometheus.expect(&format!("histogram_count({series})"), times.len() as f64);
        let sum = prometheus
            .number(&format!("histogram_sum({series})"))
            .unwrap();
        let [least, most] =
            [0, 1].map(|end| -> f64 { times.iter().map(|time| [time.0, time.1][end]).sum() });
        assert!(
            (least..=most).contains(&sum),
            "{series}: {least} {sum} {most}"
        );
        for share in [0.5, 0.9] {
            // The instance has slept for so long, and the client has not waited for longer.
            let [least, most] = [0, 1].map(|end| {
                let mut times: Vec<f64> = times.iter().map(|time| [time.0, time.1][end]).collect();
                times.sort_by(f64::total_cmp);
                times[(share * times.len() as f64).ceil() as usize - 1]
            });
            let query = format!("histogram_quantile({share}, {series})");
            let found = prometheus.number(&query).unwrap();
            assert!(
                (least * (1.0 - BOUND)..=most * (1.0 + BOUND)).contains(&found),
                "{query}: {least} {found} {most}"
            );
        }
    }
    // Those with native buckets are read without the others.
    assert_eq!(
        prometheus
            .query("roadbed_request_duration_seconds_bucket")
            .len(),
        0
    );
    let count = r#"roadbed_requests_total{code="2xx",service="web"}"#;
    prometheus.expect(count, times.len() as f64);
    prometheus.expect("roadbed_proxy_workers", 2.0);
}

#[test]
fn the_form_is_negotiated_and_text_is_for_all_who_do_not_ask() {
    let backend = Backend::echo("web");
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let ask = |accept: &str| {
        let mut client = Client::connect(shown.metrics);
        client.send(format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.field("vary")), (200, Some("accept")));
        (
            answer.field("content-type").unwrap().to_owned(),
            answer.body,
        )
    };
    let family = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
    let ours = format!("{family}; encoding=delimited");
    let (kind, body) = ask(&format!("{ours};q=0.7,text/plain;q=0.5,*/*;q=0.1"));
    assert_eq!(kind, ours);
    // It begins with the length of a family, which has a name.
    let name = b"roadbed_requests_total";
    let start = body.windows(name.len()).position(|part| part == name);
    assert!(start.is_some_and(|start| start <= 5), "{:?}", &body[..32]);
    assert_eq!(
        get(shown.metrics, "/metrics").field("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for accept in [
        "*/*",
        "application/json",
        family,
        "text/plain;version=0.0.4",
        ";;,=",
    ] {
        let (kind, body) = ask(accept);
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        assert!(body.starts_with(b"# HELP "), "{accept}");
    }
}
