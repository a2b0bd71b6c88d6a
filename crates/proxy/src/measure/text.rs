//! What was measured, as Prometheus reads it: its text format, version 0.0.4.

use std::collections::BTreeMap;

use model::{Protocol, Snapshot, UpstreamId};

use super::arrivals::{ArrivalTotals, SideTotals};
use super::endpoints::{self, Endpoints};
use super::page::Page;
use super::process::Process;
use super::totals::{GRPC_STATUSES, Totals};

/// All that is shown.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) upstreams: &'a BTreeMap<UpstreamId, Totals>,
    pub(crate) endpoints: &'a Endpoints,
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

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes the page.
pub(crate) fn page(report: &Report<'_>) -> String {
    let mut page = Page::default();
    requests(&mut page, report);
    latency(&mut page, report);
    traffic(&mut page, report);
    endpoints::write(&mut page, report.endpoints);
    sides(&mut page, report.sides);
    telemetry(&mut page, report.telemetry);
    proxy(&mut page, report);
    process(&mut page, &report.process);
    page.0
}

/// What became of lines or spans.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivered {
    /// Those that are where they belong.
    pub(crate) delivered: u64,
    /// Those that never will be.
    pub(crate) dropped: u64,
}

/// The services to which there are requests, which TCP does not know.
pub(super) fn services<'a>(
    report: &'a Report<'_>,
) -> impl Iterator<Item = (&'a UpstreamId, &'a Totals)> {
    let is_tcp = |id: &UpstreamId| {
        let upstream = report.snapshot.upstreams.get(id);
        upstream.is_some_and(|upstream| upstream.protocol == Protocol::Tcp)
    };
    let all = report.upstreams.iter();
    all.filter(move |(id, _)| !is_tcp(id))
}

fn requests(page: &mut Page, report: &Report<'_>) {
    let help = "Requests that got a whole answer, by the first digit of its status.";
    page.family("roadbed_requests_total", "counter", help);
    for (id, totals) in services(report) {
        for (class, count) in CLASSES.iter().zip(totals.by_class) {
            page.of("roadbed_requests_total", id, Some(("code", class)), count);
        }
    }
    let help = "Calls of gRPC that got a status, by that.";
    page.family("roadbed_grpc_requests_total", "counter", help);
    for (id, totals) in services(report) {
        for (status, count) in totals.by_grpc.iter().enumerate() {
            if *count > 0 {
                let status = match status {
                    _ if status == GRPC_STATUSES - 1 => "other".to_owned(),
                    _ => status.to_string(),
                };
                let label = Some(("grpc_status", status.as_str()));
                page.of("roadbed_grpc_requests_total", id, label, count);
            }
        }
    }
    let help = "Answers that say that the service failed: 5xx, or a status of gRPC that means it.";
    page.each(
        report,
        "roadbed_failed_requests_total",
        "counter",
        help,
        |of| of.failed,
    );
    let help = "Requests that the proxy itself answered in place of the service, by the reason.";
    page.family("roadbed_refused_requests_total", "counter", help);
    for (id, totals) in services(report) {
        for (reason, count) in &totals.refused {
            let label = Some(("reason", *reason));
            page.of("roadbed_refused_requests_total", id, label, count);
        }
    }
    let help = "Requests without a whole answer, since client or service went away.";
    page.each(
        report,
        "roadbed_cut_requests_total",
        "counter",
        help,
        |of| of.cut,
    );
    let help = "Requests, streams and tunnels that are being served.";
    page.each(report, "roadbed_requests_in_flight", "gauge", help, |of| {
        of.in_flight
    });
}

fn latency(page: &mut Page, report: &Report<'_>) {
    let help = "Time from the end of a request's head to the head of its answer.";
    page.histograms(report, "roadbed_response_head_seconds", help, |of| &of.head);
    let help = "Time from the end of a request's head to the end of its answer.";
    page.histograms(report, "roadbed_request_duration_seconds", help, |of| {
        &of.whole
    });
}

fn traffic(page: &mut Page, report: &Report<'_>) {
    let all = report.upstreams;
    for (name, help, number) in [
        (
            "roadbed_request_body_bytes_total",
            "Content that was passed on to instances.",
            (|of| of.received) as fn(&Totals) -> u64,
        ),
        (
            "roadbed_response_body_bytes_total",
            "Content that was passed on from instances.",
            |of| of.sent,
        ),
        (
            "roadbed_service_connections_opened_total",
            "Connections to instances that were opened.",
            |of| of.opened,
        ),
        (
            "roadbed_service_connections_reused_total",
            "Requests for which a connection to an instance was there.",
            |of| of.reused,
        ),
        (
            "roadbed_service_retries_total",
            "Second attempts at another instance.",
            |of| of.retried,
        ),
        (
            "roadbed_service_ejections_total",
            "How often an instance was taken out of the choice for a while.",
            |of| of.ejected,
        ),
        (
            "roadbed_service_hedges_total",
            "Requests that were sent to another instance too while they waited for an answer.",
            |of| of.hedged,
        ),
        (
            "roadbed_service_hedges_won_total",
            "Those of them that the other instance was the first to answer.",
            |of| of.hedges_won,
        ),
        (
            "roadbed_service_mirrored_requests_total",
            "Copies of other services' requests that were sent to this one.",
            |of| of.mirrored,
        ),
        (
            "roadbed_service_unmirrored_requests_total",
            "Requests that were too large, or one too many, to be copied.",
            |of| of.not_mirrored,
        ),
    ] {
        page.family(name, "counter", help);
        for (id, totals) in all {
            page.of(name, id, None, number(totals));
        }
    }
    let help = "Instances that requests may go to, by release.";
    page.family("roadbed_service_endpoints", "gauge", help);
    for (id, upstream) in &report.snapshot.upstreams {
        let mut releases = BTreeMap::new();
        for instance in upstream.endpoints.keys() {
            *releases.entry(instance.release).or_insert(0_u64) += 1;
        }
        for (release, count) in releases {
            let release = release.to_string();
            let label = Some(("release", release.as_str()));
            page.of("roadbed_service_endpoints", id, label, count);
        }
    }
}

/// What came in from outside and what from other services, wherever it led.
fn sides(page: &mut Page, sides: &SideTotals) {
    let sides = || ["edge", "mesh"].into_iter().zip(sides);
    let help =
        "Requests from outside and from other services, whether or not they led to a service.";
    page.family("roadbed_proxy_requests_total", "counter", help);
    for (from, totals) in sides() {
        for (class, count) in CLASSES.iter().zip(totals.by_class) {
            let labels = [("from", from), ("code", class)];
            page.sample("roadbed_proxy_requests_total", &labels, count);
        }
    }
    for (name, kind, help, number) in [
        (
            "roadbed_proxy_cut_requests_total",
            "counter",
            "Requests without a whole answer, since client or service went away.",
            (|of| of.cut) as fn(&ArrivalTotals) -> u64,
        ),
        (
            "roadbed_proxy_redirected_requests_total",
            "counter",
            "Requests whose route told the client to ask elsewhere.",
            |of| of.redirected,
        ),
        (
            "roadbed_proxy_requests_in_flight",
            "gauge",
            "Requests, streams and tunnels that are being served.",
            |of| of.in_flight,
        ),
    ] {
        page.family(name, kind, help);
        for (from, totals) in sides() {
            page.sample(name, &[("from", from)], number(totals));
        }
    }
    let help = "Requests that led to no service, by the reason.";
    page.family("roadbed_unserved_requests_total", "counter", help);
    for (from, totals) in sides() {
        for (reason, count) in &totals.unserved {
            let labels = [("from", from), ("reason", *reason)];
            page.sample("roadbed_unserved_requests_total", &labels, count);
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
        page.one(name, "counter", help, value);
    }
}

fn proxy(page: &mut Page, report: &Report<'_>) {
    page.family("roadbed_build_info", "gauge", "The version of Roadbed.");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.sample("roadbed_build_info", &version, 1);
    let help = "Connections that clients have open.";
    page.one(
        "roadbed_proxy_connections",
        "gauge",
        help,
        report.connections,
    );
    let help = "Connections that clients have opened.";
    page.one(
        "roadbed_proxy_connections_accepted_total",
        "counter",
        help,
        report.accepted,
    );
    let help = "Threads that serve requests.";
    page.one("roadbed_proxy_workers", "gauge", help, report.workers);
    let help = "The number of the snapshot that is served from.";
    let generation = report.snapshot.generation.0;
    page.one(
        "roadbed_proxy_snapshot_generation",
        "gauge",
        help,
        generation,
    );
    let help = "Whether a server is connected.";
    let has_server = u8::from(report.has_server);
    page.one("roadbed_proxy_server_connected", "gauge", help, has_server);
}

/// The names are those that clients of Prometheus use for any process.
fn process(page: &mut Page, process: &Process) {
    let cpu = process.cpu.as_secs_f64();
    let help = "Processor time of the proxy.";
    page.one("process_cpu_seconds_total", "counter", help, cpu);
    let started = process.started.as_secs_f64();
    let help = "When the proxy began, since the Unix epoch.";
    page.one("process_start_time_seconds", "gauge", help, started);
    if let Some(resident) = process.resident {
        let help = "Memory of the proxy.";
        page.one("process_resident_memory_bytes", "gauge", help, resident);
    }
    if let Some(descriptors) = process.descriptors {
        let help = "Descriptors that the proxy has open.";
        page.one("process_open_fds", "gauge", help, descriptors);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let text = page(&Report {
            upstreams: &BTreeMap::from([(id, totals)]),
            endpoints: &Endpoints::new(),
            sides: &sides,
            telemetry: Default::default(),
            snapshot: &Snapshot::default(),
            connections: 2,
            accepted: 9,
            workers: 4,
            has_server: false,
            process: Process::default(),
        });
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
