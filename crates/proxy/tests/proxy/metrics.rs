//! What the proxy measures, next to what clients know, as Prometheus reads it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use model::Protocol;
use proxy::protocol::{FromProxy, MetricsListener, ToProxy};

use crate::support::backend::Backend;
use crate::support::client::{Answer, Client, End};
use crate::support::http2::{self, ask, connect, run};
use crate::support::prometheus::{Prometheus, program};
use crate::support::stage::Stage;
use crate::support::{Setup, eventually, free_address};

/// The labels of the one service.
const WEB: &str = r#"app="app",service="web""#;

/// A proxy, and where it shows what it measures.
pub(crate) struct Shown {
    pub(crate) stage: Stage,
    pub(crate) metrics: SocketAddr,
}

impl Shown {
    pub(crate) fn new(endpoints: &[(SocketAddr, Protocol)]) -> Self {
        let metrics = free_address();
        let stage = Stage::new(endpoints, &[&format!("metrics={metrics}")]);
        Self { stage, metrics }
    }

    pub(crate) fn page(&self) -> String {
        let answer = get(self.metrics, "/metrics");
        assert_eq!(answer.status, 200);
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(answer.field("content-type"), Some(kind));
        answer.text().to_owned()
    }

    /// The value of a sample; 0 where there is none.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        value(&self.page(), sample)
    }

    /// Waits until the proxy has seen what its clients have done.
    fn answered(&self, count: u64) {
        eventually("the requests are counted", || {
            let page = self.page();
            let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
            let of = |class| format!("roadbed_requests_total{{{WEB},code=\"{class}\"}}");
            let total: f64 = classes.iter().map(|class| value(&page, &of(class))).sum();
            assert!(total <= count as f64, "{page}");
            total == count as f64 && value(&page, &of_web("roadbed_requests_in_flight")) == 0.0
        });
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let answer = client.answer();
    assert_eq!(client.rest(), (vec![], End::Orderly));
    answer
}

pub(crate) fn value(page: &str, sample: &str) -> f64 {
    let of = |line: &str| Some(line.strip_prefix(sample)?.strip_prefix(' ')?.to_owned());
    let found = page.lines().find_map(of);
    found.map_or(0.0, |value| value.parse().unwrap())
}

pub(crate) fn of_web(name: &str) -> String {
    format!("{name}{{{WEB}}}")
}

/// Answers with the status and the number of bytes that the path says.
fn as_asked() -> Backend {
    Backend::start(|connection| {
        while let Some((head, _)) = connection.request() {
            let path = head.split(' ').nth(1).unwrap();
            let mut numbers = path.trim_matches('/').split('/');
            let mut number = || numbers.next().unwrap().parse::<usize>().unwrap();
            let (status, length) = (number(), number());
            let body = "x".repeat(length);
            connection.send(format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

#[test]
fn requests_and_bytes_are_counted_as_their_client_counted_them() {
    let backend = as_asked();
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let edge = shown.stage.edge;
    let asked = [
        (200, 10_000),
        (204, 0),
        (301, 5),
        (404, 7),
        (500, 11),
        (503, 1),
        (200, 3),
    ];
    let mut client = Client::connect(edge);
    for (status, length) in asked {
        let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
        client.send(format!(
            "POST /{status}/{length} HTTP/1.1\r\nHost: a.test\r\n{chunked}"
        ));
        // One without content says no length.
        if status != 204 {
            assert_eq!(client.answer().body.len(), length);
        } else {
            client.head();
        }
    }
    run(async {
        let client = connect(edge).await;
        for (status, length) in asked {
            let request = Request::post(format!("http://a.test/{status}/{length}"));
            let answer = ask(&client, request, Some(b"12345")).await.unwrap();
            assert_eq!(answer.body.len(), length);
        }
    });
    shown.answered(14);
    let page = shown.page();
    for (class, count) in [("1xx", 0), ("2xx", 6), ("3xx", 2), ("4xx", 2), ("5xx", 4)] {
        let sample = format!("roadbed_requests_total{{{WEB},code=\"{class}\"}}");
        assert_eq!(value(&page, &sample), f64::from(count), "{class}");
    }
    let sent: usize = asked.iter().map(|(_, length)| length).sum();
    for (name, expected) in [
        ("roadbed_failed_requests_total", 4),
        ("roadbed_cut_requests_total", 0),
        ("roadbed_request_body_bytes_total", 7 * (4 + 5)),
        ("roadbed_response_body_bytes_total", 2 * sent),
        ("roadbed_request_duration_seconds_count", 14),
        ("roadbed_response_head_seconds_count", 14),
    ] {
        assert_eq!(value(&page, &of_web(name)), expected as f64, "{name}");
    }
    let opened = value(&page, &of_web("roadbed_service_connections_opened_total"));
    let reused = value(&page, &of_web("roadbed_service_connections_reused_total"));
    assert!(opened >= 1.0 && opened + reused == 14.0, "{page}");
}

#[test]
fn calls_of_grpc_are_counted_by_their_status() {
    let backend = http2::backend(
        h2::server::Builder::new(),
        |request, mut respond| async move {
            let kind = Response::builder().header("content-type", "application/grpc");
            let mut stream = respond
                .send_response(kind.body(()).unwrap(), false)
                .unwrap();
            let mut trailers = HeaderMap::new();
            let status = request.uri().path().trim_start_matches('/');
            trailers.insert("grpc-status", HeaderValue::from_str(status).unwrap());
            stream
                .send_data(Bytes::from_static(b"four"), false)
                .unwrap();
            stream.send_trailers(trailers).unwrap();
        },
    );
    let shown = Shown::new(&[(backend, Protocol::Grpc)]);
    run(async {
        let client = connect(shown.stage.edge).await;
        for status in [0, 0, 5, 14] {
            let request = Request::post(format!("http://a.test/{status}"));
            let request = request.header("content-type", "application/grpc");
            let answer = ask(&client, request, Some(b"abc")).await.unwrap();
            assert_eq!(answer.trailers.unwrap()["grpc-status"], status.to_string());
        }
    });
    shown.answered(4);
    let page = shown.page();
    for (status, count) in [(0, 2.0), (5, 1.0), (14, 1.0), (2, 0.0)] {
        let sample = format!("roadbed_grpc_requests_total{{{WEB},grpc_status=\"{status}\"}}");
        assert_eq!(value(&page, &sample), count, "{status}");
    }
    for (name, expected) in [
        ("roadbed_failed_requests_total", 1.0),
        ("roadbed_request_body_bytes_total", 12.0),
        ("roadbed_response_body_bytes_total", 16.0),
        ("roadbed_service_connections_opened_total", 1.0),
        ("roadbed_service_connections_reused_total", 3.0),
    ] {
        assert_eq!(value(&page, &of_web(name)), expected, "{name}");
    }
}

#[test]
fn a_websocket_is_in_flight_until_it_ends_and_its_bytes_are_counted() {
    let backend = Backend::start(|connection| {
        connection.head();
        connection.send("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        while connection.exactly(5).is_some() {
            connection.send("pong");
        }
    });
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let mut client = Client::connect(shown.stage.edge);
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    client.send("pings");
    assert_eq!(client.exactly(4), b"pong");
    let page = shown.page();
    assert_eq!(
        value(&page, &of_web("roadbed_requests_in_flight")),
        1.0,
        "{page}"
    );
    assert_eq!(value(&page, "roadbed_proxy_connections"), 1.0, "{page}");
    client.finish();
    client.rest();
    shown.answered(1);
    let page = shown.page();
    let first = format!("roadbed_requests_total{{{WEB},code=\"1xx\"}}");
    assert_eq!(value(&page, &first), 1.0, "{page}");
    for (name, expected) in [
        ("roadbed_request_body_bytes_total", 5.0),
        ("roadbed_response_body_bytes_total", 4.0),
        ("roadbed_response_head_seconds_count", 1.0),
        ("roadbed_request_duration_seconds_count", 0.0),
        ("roadbed_cut_requests_total", 0.0),
    ] {
        assert_eq!(value(&page, &of_web(name)), expected, "{name}: {page}");
    }
}

#[test]
fn times_are_in_the_buckets_that_a_client_would_put_them_in() {
    const PAUSE: Duration = Duration::from_millis(50);
    let backend = Backend::start(|connection| {
        while connection.request().is_some() {
            std::thread::sleep(PAUSE);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
            std::thread::sleep(PAUSE);
            connection.send("bc");
        }
    });
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let mut client = Client::connect(shown.stage.edge);
    let start = Instant::now();
    assert_eq!(client.get("a.test", "/").body, b"abc");
    shown.answered(1);
    let (took, page) = (start.elapsed(), shown.page());
    for (name, least) in [
        ("roadbed_response_head_seconds", PAUSE),
        ("roadbed_request_duration_seconds", PAUSE * 2),
    ] {
        let sum = value(&page, &of_web(&format!("{name}_sum")));
        assert!(
            sum >= least.as_secs_f64() && sum <= took.as_secs_f64(),
            "{name}: {sum}"
        );
        let mut bounds = 0;
        let bucket = format!("{name}_bucket{{{WEB},le=\"");
        for line in page.lines().filter_map(|line| line.strip_prefix(&bucket)) {
            let (bound, count) = line.split_once("\"} ").unwrap();
            bounds += 1;
            let bound = bound.replace("+Inf", "inf").parse::<f64>().unwrap();
            assert_eq!(count == "1", sum <= bound, "{name} {bound}: {count}");
        }
        assert_eq!(bounds, 19);
    }
}

#[test]
fn what_is_cut_is_counted_and_has_no_time() {
    let backend = Backend::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    });
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let mut client = Client::connect(shown.stage.edge);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.rest().1, End::Reset);
    eventually("it is counted", || {
        shown.value(&of_web("roadbed_cut_requests_total")) == 1.0
    });
    let page = shown.page();
    assert_eq!(value(&page, &of_web("roadbed_requests_in_flight")), 0.0);
    assert_eq!(
        value(&page, &of_web("roadbed_request_duration_seconds_count")),
        0.0
    );
}

#[test]
fn the_page_is_there_without_a_server_and_after_a_crash() {
    let backend = as_asked();
    let mut shown = Shown::new(&[(backend.address, Protocol::Http)]);
    let page = shown.page();
    assert_eq!(value(&page, "roadbed_proxy_server_connected"), 1.0);
    assert_eq!(value(&page, "roadbed_proxy_workers"), 2.0);
    let release = format!("roadbed_service_endpoints{{{WEB},release=\"1\"}}");
    assert_eq!(value(&page, &release), 1.0, "{page}");
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
    ] {
        assert!(value(&page, name) > 0.0, "{name}: {page}");
    }
    shown
        .stage
        .setup
        .link
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    eventually("the server is missed", || {
        shown.value("roadbed_proxy_server_connected") == 0.0
    });
    shown.stage.setup.crash_and_restart();
    eventually("the proxy is back", || {
        std::net::TcpStream::connect(shown.metrics).is_ok()
            && shown.value("roadbed_proxy_snapshot_generation") == 1.0
    });
    assert_eq!(get(shown.metrics, "/healthz").text(), "ok\n");
}

#[test]
fn nothing_but_two_paths_is_answered_and_nobody_can_hold_it_up() {
    let shown = Shown::new(&[]);
    for path in ["/", "/metrics/", "/debug"] {
        assert_eq!(get(shown.metrics, path).status, 404, "{path}");
    }
    let ask = |bytes: &str| {
        let mut client = Client::connect(shown.metrics);
        client.offer(bytes);
        client.answer().status
    };
    assert_eq!(
        ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        404
    );
    assert_eq!(ask("GET /metrics HTTP/1.1\nHost: a\n\n"), 400);
    assert_eq!(ask("GET /metrics HTTP/1.1\r\n\r\n"), 400);
    let long = "x".repeat(9000);
    assert_eq!(
        ask(&format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n"
        )),
        400
    );
    // Those who say nothing leave room, and are many more than have any.
    let silent: Vec<_> = (0..15).map(|_| Client::connect(shown.metrics)).collect();
    assert_eq!(get(shown.metrics, "/healthz").status, 200);
    drop(silent);
}

#[test]
fn an_address_that_is_taken_stops_nothing_and_is_had_as_soon_as_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut setup = Setup::new(&[&format!("metrics={address}")]);
    let mut state = || match setup.offer(ToProxy::Count) {
        FromProxy::Counted { metrics, .. } => metrics.unwrap(),
        other => panic!("{other:?}"),
    };
    let MetricsListener { failure, .. } = state();
    assert!(failure.unwrap().contains("in use"));
    drop(taken);
    let free = MetricsListener {
        address,
        failure: None,
    };
    eventually("the address is had", || state() == free);
    assert_eq!(get(address, "/healthz").status, 200);
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let backend = as_asked();
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    Client::connect(shown.stage.edge).get("a.test", "/200/5");
    shown.answered(1);
    let Some(mut command) = program("the format of metrics", "promtool") else {
        return;
    };
    let command = command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = command
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(shown.page().as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn a_prometheus_reads_the_page() {
    let backend = as_asked();
    let shown = Shown::new(&[(backend.address, Protocol::Http)]);
    Client::connect(shown.stage.edge).get("a.test", "/200/5");
    shown.answered(1);
    let Some(prometheus) = Prometheus::reading(shown.metrics, &[]) else {
        return;
    };
    let of_web = of_web("roadbed_request_duration_seconds_count");
    prometheus.expect(&of_web, 1.0);
    // Not asked for native histograms, it reads the buckets that anybody knows.
    let bucket = format!("roadbed_request_duration_seconds_bucket{{{WEB},le=\"+Inf\"}}");
    prometheus.expect(&bucket, 1.0);
}
