//! A load counts exactly what a server that fails in known ways does to it.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::support::{Action, Request, Server, answer, ok};
use bench::{BodyCheck, FailureKind, Load, Method, Report};

const LONG: Duration = Duration::from_secs(30);

/// Runs `load` until `requests` are due and all have ended.
fn run(load: Load, requests: u64) -> Report {
    let running = load.start().unwrap();
    assert!(running.wait(LONG, |counts| counts.sent >= requests));
    let report = running.stop();
    assert_eq!(report.sent, report.succeeded + report.failed);
    assert_eq!(report.failed, report.failed_by_kind.values().sum::<u64>());
    assert_eq!(report.failed, report.failures.len() as u64);
    report
}

fn kinds(report: &Report) -> Vec<(FailureKind, u64)> {
    report
        .failed_by_kind
        .iter()
        .map(|(&kind, &count)| (kind, count))
        .collect()
}

#[test]
fn every_request_is_sent_once_and_on_time() {
    let server = Server::start(|request: Request| {
        let head = String::from_utf8(request.bytes).unwrap();
        assert!(head.starts_with("GET /path?query HTTP/1.1\r\nhost: shop.localhost\r\n"));
        Action::Send(ok())
    });
    let mut load = Load::new(server.url(), 500.0);
    load.host = Some("shop.localhost".into());
    let report = run(load, 500);
    assert_eq!(kinds(&report), []);
    assert_eq!(report.sent, server.requests());
    let expected = report.duration.as_secs_f64() * 500.0;
    // One that is due at the very end may or may not be in; a busy machine may be behind.
    let sent = report.sent as f64;
    assert!(
        (expected / 2.0..=expected + 1.0).contains(&sent),
        "{sent} for {expected}"
    );
    assert!(report.latency(0.5) > Duration::ZERO && report.latency(0.5) <= report.latency(1.0));
}

#[test]
fn resets_are_counted_one_by_one() {
    let server = Server::start(|request: Request| match request.number % 10 {
        0 => Action::Reset,
        _ => Action::Send(ok()),
    });
    let report = run(Load::new(server.url(), 1000.0), 300);
    assert_eq!(report.sent, server.requests(), "nothing is tried again");
    assert_eq!(kinds(&report), [(FailureKind::Reset, report.sent / 10)]);
}

#[test]
fn a_connection_that_closes_under_a_request_fails_it() {
    let server = Server::start(|request: Request| match request.on_connection {
        1 => Action::Send(ok()),
        _ => Action::SendAndClose(Vec::new()),
    });
    let mut load = Load::new(server.url(), 200.0);
    load.connections = 1;
    let report = run(load, 100);
    assert_eq!(report.sent, server.requests(), "nothing is tried again");
    assert_eq!(kinds(&report), [(FailureKind::Closed, report.sent / 2)]);
}

#[test]
fn an_answer_cut_short_is_a_failure() {
    let server = Server::start(|request: Request| {
        let whole = match request.number % 2 {
            0 => ok(),
            _ => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec(),
        };
        match request.number {
            n if n % 7 == 0 => Action::SendAndClose(ok()[..ok().len() - 1].to_vec()),
            n if n % 2 == 0 => Action::Send(whole),
            _ => Action::SendAndClose(whole),
        }
    });
    let report = run(Load::new(server.url(), 500.0), 100);
    // Odd ones lack the last chunk, every seventh its last byte.
    let failed = (1..=report.sent)
        .filter(|n| n % 7 == 0 || n % 2 == 1)
        .count() as u64;
    assert_eq!(kinds(&report), [(FailureKind::Closed, failed)]);
}

#[test]
fn a_wrong_status_is_counted_with_the_gateways_reason() {
    let server = Server::start(|request: Request| match request.number % 4 {
        0 => Action::Send(answer(
            502,
            "Roadbed-Reason: connect-failure\r\n",
            "bad gateway",
        )),
        1 => Action::Send(answer(500, "", "")),
        _ => Action::Send(ok()),
    });
    let report = run(Load::new(server.url(), 500.0), 100);
    let (with_500, with_502) = (report.sent.div_ceil(4), report.sent / 4);
    // div_ceil counts 1, 5, 9, …: one more than the multiples of four unless sent is one.
    assert_eq!(
        kinds(&report),
        [
            (FailureKind::Status(500), with_500),
            (FailureKind::Status(502), with_502)
        ]
    );
    let gateway = report
        .failures
        .iter()
        .find(|f| f.kind == FailureKind::Status(502))
        .unwrap();
    assert_eq!(
        gateway.detail,
        "roadbed-reason: connect-failure; body \"bad gateway\""
    );
    assert!(gateway.at >= gateway.due);
}

#[test]
fn a_wrong_body_is_a_failure() {
    let server = Server::start(|request: Request| match request.number {
        3 => Action::Send(answer(200, "", "goodbye")),
        _ => Action::Send(ok()),
    });
    for body in [
        BodyCheck::Contains(b"ell".to_vec()),
        BodyCheck::Accepts(Arc::new(|body: &[u8]| body == b"hello")),
    ] {
        let mut load = Load::new(server.url(), 500.0);
        load.body = body;
        let report = run(load, 20);
        // The third request of all was among the first load's.
        let expected = u64::from(report.sent == server.requests());
        assert_eq!(report.failed, expected, "{:?}", report.failures);
    }
}

#[test]
fn a_request_without_answer_times_out_alone() {
    let server = Server::start(|request: Request| match request.number {
        5 => Action::Send(Vec::new()),
        6 => Action::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec()),
        _ => Action::Send(ok()),
    });
    let mut load = Load::new(server.url(), 100.0);
    load.timeout = Duration::from_millis(300);
    load.connections = 8;
    let report = run(load, 50);
    assert_eq!(kinds(&report), [(FailureKind::Timeout, 2)]);
    let details: Vec<&str> = report.failures.iter().map(|f| f.detail.as_str()).collect();
    assert_eq!(
        details,
        [
            "300ms were up while waiting for the answer",
            "300ms were up while reading the body"
        ]
    );
    for failure in &report.failures {
        assert!(failure.at - failure.due >= Duration::from_millis(300));
    }
}

#[test]
fn waiting_for_a_connection_counts_as_latency() {
    let stall = Duration::from_millis(500);
    let server = Server::start(move |request: Request| match request.number {
        20 => Action::Delay(stall, ok()),
        _ => Action::Send(ok()),
    });
    let mut load = Load::new(server.url(), 200.0);
    load.connections = 1;
    let report = run(load, 200);
    assert_eq!(kinds(&report), []);
    // One answer of 200 was slow, but 100 requests came due meanwhile and users felt it.
    assert!(report.latency(1.0) >= stall.mul_f64(0.99));
    assert!(
        report.latency(0.7) >= stall / 10,
        "{:?}",
        report.latency(0.7)
    );
    assert!(report.longest_gap.length >= stall.mul_f64(0.9));
    assert!(report.longest_gap.at < Duration::from_secs(5));
}

#[test]
fn requests_that_never_got_a_connection_time_out() {
    let server = Server::start(|_| Action::Send(Vec::new()));
    // Each has less than a millisecond left when the one before it has timed out.
    let mut load = Load::new(server.url(), 5000.0);
    load.connections = 1;
    load.timeout = Duration::from_millis(100);
    let report = run(load, 900);
    assert_eq!(kinds(&report), [(FailureKind::Timeout, report.sent)]);
    let queued = report
        .failures
        .iter()
        .filter(|f| f.detail.ends_with("for a free connection"));
    let queued = queued.count() as u64;
    assert!(
        queued > 0 && server.requests() <= report.sent - queued,
        "{queued}"
    );
}

#[test]
fn nobody_listening_is_a_connect_failure_each() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let report = run(Load::new(url, 500.0), 50);
    assert_eq!(kinds(&report), [(FailureKind::Connect, report.sent)]);
    assert_eq!(report.longest_gap.length, report.duration);
}

#[test]
fn every_framing_of_an_answer_is_read() {
    let server = Server::start(|request: Request| match request.number % 6 {
        0 => Action::Send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n\
              0\r\ntrailer: 1\r\n\r\n"
                .to_vec(),
        ),
        1 => Action::SendAndClose(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec()),
        2 => Action::SendAndClose(answer(200, "connection: close\r\n", "hello")),
        3 => Action::Send([&b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"[..], &ok()].concat()),
        4 => Action::SendAndClose(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec()),
        _ => Action::Send(ok()),
    });
    let mut load = Load::new(server.url(), 500.0);
    load.body = BodyCheck::Accepts(Arc::new(|body: &[u8]| body == b"hello"));
    let report = run(load, 120);
    assert_eq!(kinds(&report), [], "{:?}", report.failures);
}

#[test]
fn what_is_not_http_is_a_failure() {
    let server = Server::start(|request: Request| match request.number % 3 {
        0 => Action::Send(b"220 mail.example ESMTP\r\n".to_vec()),
        1 => Action::Send(answer(200, "content-length: 4\r\n", "hello")),
        _ => Action::Send(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n\r\n"
                .to_vec(),
        ),
    });
    let report = run(Load::new(server.url(), 500.0), 30);
    assert_eq!(kinds(&report), [(FailureKind::Malformed, report.sent)]);
}

#[test]
fn a_body_is_posted() {
    let seen = Arc::new(AtomicU64::new(0));
    let count = seen.clone();
    let server = Server::start(move |request: Request| {
        let text = String::from_utf8(request.bytes).unwrap();
        assert!(text.starts_with("POST /path?query HTTP/1.1\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n{\"item\":1}"), "{text}");
        count.fetch_add(1, Ordering::SeqCst);
        Action::Send(answer(201, "", ""))
    });
    let mut load = Load::new(server.url(), 500.0);
    load.method = Method::Post(b"{\"item\":1}".to_vec());
    load.status = 201;
    let report = run(load, 50);
    assert_eq!(
        (report.failed, report.succeeded),
        (0, seen.load(Ordering::SeqCst))
    );
}
