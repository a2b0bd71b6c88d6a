//! The context of traces (W3C), as clients and backends see it. That spans arrive and form a tree
//! is tested with a receiver that others wrote, in `tests/conformance`.

use http::Request;
use model::Protocol;
use proxy::telemetry::trace_context::TraceParent;

use crate::metrics::{Shown, value};
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::http2::{self, ask, connect, run};
use crate::support::stage::Stage;
use crate::support::{Builder, Setup, eventually, free_address};

const KNOWN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A collector that takes everything, and nothing else.
fn collector() -> Backend {
    Backend::start(|connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    })
}

fn following(snapshot: &mut model::Snapshot, collector: std::net::SocketAddr, share: &str) {
    snapshot.telemetry.tracing = Some(model::Tracing {
        collector: format!("http://{collector}").parse().unwrap(),
        share: share.parse().unwrap(),
    });
}

/// Answers with the fields of a request that are about traces.
fn tells_its_context() -> Backend {
    Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            let is_of_trace = |line: &&str| line.to_ascii_lowercase().starts_with("trace");
            let lines: Vec<&str> = head.lines().filter(is_of_trace).collect();
            connection.answer(&lines.join("\n"));
        }
    })
}

/// The one context in what a backend was told, and its state.
#[track_caller]
fn context(told: &str) -> (TraceParent, Vec<&str>) {
    let field = |line: &'_ str| {
        line.split_once(": ")
            .map(|(name, _)| name.to_ascii_lowercase())
    };
    let (parents, states): (Vec<&str>, Vec<&str>) = told
        .lines()
        .partition(|line| field(line).as_deref() == Some("traceparent"));
    assert_eq!(parents.len(), 1, "{told}");
    let value = parents[0].split_once(": ").unwrap().1;
    let parent = TraceParent::parse(value.as_bytes());
    (parent.unwrap_or_else(|| panic!("{told}")), states)
}

/// What a backend is told, by a client of either version, with these fields.
fn told(address: std::net::SocketAddr, fields: &[(&str, &str)]) -> [String; 2] {
    let mut client = Client::connect(address);
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
    let old = client.answer().text().to_owned();
    let mut new = String::new();
    run(async {
        let client = connect(address).await;
        let mut request = Request::get("http://a.test/");
        for (name, value) in fields {
            request = request.header(name.to_ascii_lowercase(), *value);
        }
        new = ask(&client, request, None).await.unwrap().text().to_owned();
    });
    [old, new]
}

#[test]
fn without_a_collector_what_a_request_says_is_passed_on_as_it_came() {
    let backend = tells_its_context();
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let fields = [("traceparent", "anything"), ("tracestate", "a=1")];
    for told in told(shown.stage.edge, &fields) {
        assert_eq!(told, "traceparent: anything\ntracestate: a=1");
    }
}

#[test]
fn at_the_edge_a_trace_begins_whatever_its_client_says() {
    let (backend, collector) = (tells_its_context(), collector());
    for (share, is_sampled) in [("100%", true), ("0.0001%", false)] {
        let stage = Stage::prepared(&[(backend.address, Protocol::Http)], &[], |snapshot| {
            following(snapshot, collector.address, share);
        });
        let mut seen = std::collections::HashSet::new();
        for fields in [
            &[][..],
            &[("Traceparent", KNOWN), ("Tracestate", "a=1")],
            &[("traceparent", "x"), ("tracestate", "a=1")],
        ] {
            for told in told(stage.edge, fields) {
                let (parent, states) = context(&told);
                assert_eq!(states, [""; 0], "{told}");
                assert_eq!(parent.is_sampled, is_sampled, "{told}");
                assert_ne!(parent.trace[..2], [0x0a, 0xf7], "{told}");
                assert!(seen.insert(parent.trace), "a trace was given twice");
            }
        }
    }
}

/// A listener between services, in front of a backend that tells its context.
fn mesh(
    backend: std::net::SocketAddr,
    protocol: Protocol,
    share: &str,
) -> (Setup, Backend, std::net::SocketAddr) {
    let (mesh, collector) = (free_address(), collector());
    let timeout = std::time::Duration::from_secs(5);
    let mut builder =
        Builder::generation(1)
            .mesh(mesh, "web")
            .upstream("web", protocol, timeout, &[backend]);
    following(&mut builder.0, collector.address, share);
    (Setup::serving(&builder.0, &[]), collector, mesh)
}

#[test]
fn between_services_a_trace_goes_on_with_another_span_and_its_state() {
    let backend = tells_its_context();
    let (_setup, _collector, mesh) = mesh(backend.address, Protocol::Http, "0.0001%");
    for (value, is_sampled) in [(KNOWN, true), (UNSAMPLED, false)] {
        let known = TraceParent::parse(value.as_bytes()).unwrap();
        let fields = [
            ("traceparent", value),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ];
        for told in told(mesh, &fields) {
            let (parent, states) = context(&told);
            assert_eq!(parent.trace, known.trace);
            assert_ne!(parent.span, known.span);
            assert_eq!(parent.is_sampled, is_sampled);
            assert_eq!(states, ["tracestate: a=1", "tracestate: b=2"], "{told}");
        }
    }
}

#[test]
fn between_services_what_is_no_context_begins_a_trace_and_loses_its_state() {
    let backend = tells_its_context();
    let (_setup, _collector, mesh) = mesh(backend.address, Protocol::Http, "100%");
    let twice = [
        ("traceparent", KNOWN),
        ("traceparent", KNOWN),
        ("tracestate", "a=1"),
    ];
    let upper = KNOWN.to_uppercase();
    let wrong = [("traceparent", &*upper), ("tracestate", "a=1")];
    for fields in [&twice[..], &wrong, &[("tracestate", "a=1")]] {
        for told in told(mesh, fields) {
            let (parent, states) = context(&told);
            assert_eq!(states, [""; 0], "{told}");
            assert!(parent.is_sampled && parent.text() != KNOWN.as_bytes());
        }
    }
}

#[test]
fn a_backend_of_http2_is_told_too() {
    let backend = http2::backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let values = request.headers().get_all("traceparent");
            let values: Vec<_> = values.iter().map(|value| value.to_str().unwrap()).collect();
            let text = format!("traceparent: {}", values.join(" and "));
            let mut stream = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            stream.send_data(text.into(), true).unwrap();
        },
    );
    let (_setup, _collector, mesh) = mesh(backend, Protocol::Http2, "100%");
    let known = TraceParent::parse(KNOWN.as_bytes()).unwrap();
    for told in told(mesh, &[("traceparent", KNOWN)]) {
        assert_eq!(context(&told).0.trace, known.trace);
    }
}

#[test]
fn spans_are_sent_or_counted_as_dropped_and_no_request_waits() {
    let (backend, metrics) = (tells_its_context(), free_address());
    let collector = collector();
    let limits = [&*format!("metrics={metrics}")];
    // At first nobody is there to take them.
    let nobody = free_address();
    let stage = Stage::prepared(&[(backend.address, Protocol::Http)], &limits, |snapshot| {
        following(snapshot, nobody, "100%");
    });
    let mut shown = Shown { stage, metrics };
    let mut client = Client::connect(shown.stage.edge);
    for _ in 0..50 {
        assert_eq!(client.get("a.test", "/").status, 200);
    }
    eventually("they are lost", || {
        shown.value("roadbed_trace_dropped_spans_total") == 50.0
    });
    shown
        .stage
        .change(|snapshot| following(snapshot, collector.address, "100%"));
    for _ in 0..70 {
        assert_eq!(client.get("a.test", "/").status, 200);
    }
    eventually("they are taken", || {
        shown.value("roadbed_trace_spans_total") == 70.0
    });
    let page = shown.page();
    assert_eq!(value(&page, "roadbed_trace_dropped_spans_total"), 50.0);
    let received = collector.received();
    assert!(!received.is_empty());
    for request in received {
        let head = "POST /v1/traces HTTP/1.1\r\nhost: ";
        assert!(request.starts_with(head), "{request}");
        assert!(request.contains("content-type: application/x-protobuf\r\n"));
    }
}

#[test]
fn the_access_log_names_the_trace() {
    let (backend, collector) = (tells_its_context(), collector());
    let stage = Stage::prepared(&[(backend.address, Protocol::Http)], &[], |snapshot| {
        snapshot.telemetry.access_log = "all".parse().unwrap();
        following(snapshot, collector.address, "100%");
    });
    let [old, _] = told(stage.edge, &[]);
    let text = String::from_utf8(context(&old).0.text().to_vec()).unwrap();
    let parts: Vec<&str> = text.split('-').collect();
    let folder = stage.setup.home.path().join("access-logs");
    eventually("the line is written", || {
        let file = folder.join("000000000001.jsonl");
        let log = std::fs::read_to_string(file).unwrap_or_default();
        let named = [("trace_id", parts[1]), ("span_id", parts[2])];
        let is_there = |(name, id)| log.contains(&format!("\"{name}\":\"{id}\""));
        named.into_iter().all(is_there)
    });
}
