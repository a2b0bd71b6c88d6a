//! The page of all that is measured.

use std::collections::BTreeMap;

use model::{Snapshot, UpstreamId};

use super::arrivals::{ArrivalTotals, SideTotals};
use super::endpoints::{self, Endpoints};
use super::page::{Form, Page};
use super::process::Process;
use super::releases::{self, Releases};
use super::routes::{self, Routes};
use super::sample::Kind;
use super::services::{self, Services};
use super::totals::{CLASSES, Totals};

/// All that is shown.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) upstreams: &'a BTreeMap<UpstreamId, Totals>,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) releases: &'a Releases,
    pub(crate) routes: &'a Routes,
    pub(crate) sides: &'a SideTotals,
    /// What became of lines of the access log, and of spans.
    pub(crate) telemetry: [Delivered; 2],
    pub(crate) snapshot: &'a Snapshot,
    /// Clients' connections that are open.
    pub(crate) connections: u64,
    /// Clients' connections that ever were.
    pub(crate) accepted: u64,
    pub(crate) workers: usize,
    /// Whether a server is connected.
    pub(crate) has_server: bool,
    pub(crate) process: Process,
}

/// What became of lines or spans.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivered {
    /// Those that are where they belong.
    pub(crate) delivered: u64,
    /// Those that never will be.
    pub(crate) dropped: u64,
}

/// Writes the page.
pub(crate) fn page(report: &Report<'_>, form: Form) -> Vec<u8> {
    let mut page = Page::new(form);
    let services = Services {
        upstreams: report.upstreams,
        snapshot: report.snapshot,
    };
    services::write(&mut page, services);
    releases::write(&mut page, report.releases);
    endpoints::write(&mut page, report.endpoints);
    routes::write(&mut page, report.routes);
    sides(&mut page, report.sides);
    telemetry(&mut page, report.telemetry);
    proxy(&mut page, report);
    process(&mut page, &report.process);
    page.finish()
}

/// What came in from outside and what from other services, wherever it led.
fn sides(page: &mut Page, sides: &SideTotals) {
    let sides = || ["edge", "mesh"].into_iter().zip(sides);
    let help =
        "Requests from outside and from other services, whether or not they led to a service.";
    page.family("roadbed_proxy_requests_total", Kind::Counter, help);
    for (from, totals) in sides() {
        for (class, count) in CLASSES.iter().zip(totals.by_class) {
            page.sample(&[("from", from), ("code", class)], count);
        }
    }
    for (name, kind, help, number) in [
        (
            "roadbed_proxy_cut_requests_total",
            Kind::Counter,
            "Requests without a whole answer, since client or service went away.",
            (|of| of.cut) as fn(&ArrivalTotals) -> u64,
        ),
        (
            "roadbed_proxy_redirected_requests_total",
            Kind::Counter,
            "Requests whose route told the client to ask elsewhere.",
            |of| of.redirected,
        ),
        (
            "roadbed_proxy_requests_in_flight",
            Kind::Gauge,
            "Requests, streams and tunnels that are being served.",
            |of| of.in_flight,
        ),
    ] {
        page.family(name, kind, help);
        for (from, totals) in sides() {
            page.sample(&[("from", from)], number(totals));
        }
    }
    let help = "Requests that led to no service, by the reason.";
    page.family("roadbed_unserved_requests_total", Kind::Counter, help);
    for (from, totals) in sides() {
        for (reason, count) in &totals.unserved {
            page.sample(&[("from", from), ("reason", *reason)], *count);
        }
    }
}

/// What was said of single requests.
fn telemetry(page: &mut Page, [lines, spans]: [Delivered; 2]) {
    for (name, help, value) in [
        (
            "roadbed_access_log_lines_total",
            "Lines of the access log that were written.",
            lines.delivered,
        ),
        (
            "roadbed_access_log_dropped_lines_total",
            "Lines of the access log that were not, for want of room or since writing failed.",
            lines.dropped,
        ),
        (
            "roadbed_trace_spans_total",
            "Spans that the collector has taken.",
            spans.delivered,
        ),
        (
            "roadbed_trace_dropped_spans_total",
            "Spans that it has not, for want of room or since sending failed.",
            spans.dropped,
        ),
    ] {
        page.one(name, Kind::Counter, help, value);
    }
}

fn proxy(page: &mut Page, report: &Report<'_>) {
    let help = "The version of Roadbed.";
    page.family("roadbed_build_info", Kind::Gauge, help);
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    for (name, kind, help, value) in [
        (
            "roadbed_proxy_connections",
            Kind::Gauge,
            "Connections that clients have open.",
            report.connections,
        ),
        (
            "roadbed_proxy_connections_accepted_total",
            Kind::Counter,
            "Connections that clients have opened.",
            report.accepted,
        ),
        (
            "roadbed_proxy_workers",
            Kind::Gauge,
            "Threads that serve requests.",
            report.workers as u64,
        ),
        (
            "roadbed_proxy_snapshot_generation",
            Kind::Gauge,
            "The number of the snapshot that is served from.",
            report.snapshot.generation.0,
        ),
        (
            "roadbed_proxy_server_connected",
            Kind::Gauge,
            "Whether a server is connected.",
            report.has_server.into(),
        ),
    ] {
        page.one(name, kind, help, value);
    }
}

/// The names are those that clients of Prometheus use for any process.
fn process(page: &mut Page, process: &Process) {
    let cpu = process.cpu.as_secs_f64();
    let help = "Processor time of the proxy.";
    page.one("process_cpu_seconds_total", Kind::Counter, help, cpu);
    let started = process.started.as_secs_f64();
    let help = "When the proxy began, since the Unix epoch.";
    page.one("process_start_time_seconds", Kind::Gauge, help, started);
    if let Some(resident) = process.resident {
        let help = "Memory of the proxy.";
        page.one("process_resident_memory_bytes", Kind::Gauge, help, resident);
    }
    if let Some(descriptors) = process.descriptors {
        let help = "Descriptors that the proxy has open.";
        let descriptors = descriptors as u64;
        page.one("process_open_fds", Kind::Gauge, help, descriptors);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::totals::GRPC_STATUSES;
    use super::*;

    #[test]
    fn the_page_is_in_the_text_format() {
        let id: UpstreamId = "shop/web".to_owned().try_into().unwrap();
        let mut totals = Totals {
            by_class: [0, 3, 0, 0, 1],
            failed: 1,
            received: 7,
            ..Totals::default()
        };
        totals.by_grpc[GRPC_STATUSES - 1] = 2;
        totals.whole.record(Duration::from_millis(50));
        totals.whole.record(Duration::from_micros(500));
        let mut sides = SideTotals::default();
        sides[0].by_class[3] = 5;
        sides[1].unserved.insert("wrong-protocol", 6);
        totals.refused.insert("timeout", 1);
        let report = Report {
            upstreams: &BTreeMap::from([(id, totals)]),
            endpoints: &Endpoints::new(),
            releases: &Releases::new(),
            routes: &Routes::new(),
            sides: &sides,
            telemetry: Default::default(),
            snapshot: &Snapshot::default(),
            connections: 2,
            accepted: 9,
            workers: 4,
            has_server: false,
            process: Process::default(),
        };
        let text = String::from_utf8(page(&report, Form::Text)).unwrap();
        let of = r#"app="shop",service="web""#;
        for line in [
            "# TYPE roadbed_requests_total counter".to_owned(),
            format!(r#"roadbed_requests_total{{{of},code="2xx"}} 3"#),
            format!(r#"roadbed_grpc_requests_total{{{of},grpc_status="other"}} 2"#),
            format!("roadbed_failed_requests_total{{{of}}} 1"),
            format!(r#"roadbed_request_duration_seconds_bucket{{{of},le="0.0005"}} 1"#),
            format!(r#"roadbed_request_duration_seconds_bucket{{{of},le="0.032"}} 1"#),
            format!(r#"roadbed_request_duration_seconds_bucket{{{of},le="0.064"}} 2"#),
            format!(r#"roadbed_request_duration_seconds_bucket{{{of},le="65.536"}} 2"#),
            format!(r#"roadbed_request_duration_seconds_bucket{{{of},le="+Inf"}} 2"#),
            format!("roadbed_request_duration_seconds_sum{{{of}}} 0.0505"),
            format!("roadbed_request_duration_seconds_count{{{of}}} 2"),
            format!("roadbed_request_body_bytes_total{{{of}}} 7"),
            format!(r#"roadbed_refused_requests_total{{{of},reason="timeout"}} 1"#),
            r#"roadbed_proxy_requests_total{from="edge",code="4xx"} 5"#.to_owned(),
            r#"roadbed_unserved_requests_total{from="mesh",reason="wrong-protocol"} 6"#.to_owned(),
            "roadbed_proxy_connections 2".to_owned(),
            "roadbed_proxy_server_connected 0".to_owned(),
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.contains("roadbed_response_head_seconds_"), "{text}");
    }
}
