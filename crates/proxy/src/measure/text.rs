//! What was measured, as Prometheus reads it: its text format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use model::{Protocol, Snapshot, UpstreamId};

use super::histogram::Histogram;
use super::process::Process;
use super::totals::{GRPC_STATUSES, Totals};

/// Half a millisecond is doubled so often for the bounds of the buckets, up to 65.536 s.
const LAST_BOUND: u32 = 17;

/// All that is shown.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) upstreams: &'a BTreeMap<UpstreamId, Totals>,
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

/// Writes the page.
pub(crate) fn page(report: &Report<'_>) -> String {
    let mut page = Page::default();
    requests(&mut page, report);
    latency(&mut page, report);
    traffic(&mut page, report);
    proxy(&mut page, report);
    process(&mut page, &report.process);
    page.0
}

/// The services to which there are requests, which TCP does not know.
fn services<'a>(report: &'a Report<'_>) -> impl Iterator<Item = (&'a UpstreamId, &'a Totals)> {
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
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
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
            "roadbed_service_refusals_total",
            "Requests that were refused since the service had too many.",
            |of| of.refused,
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

#[derive(Default)]
struct Page(String);

impl Page {
    /// Begins a family of samples.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A family of one sample.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A family with a sample for each service.
    fn each(
        &mut self,
        report: &Report<'_>,
        name: &str,
        kind: &str,
        help: &str,
        number: impl Fn(&Totals) -> u64,
    ) {
        self.family(name, kind, help);
        for (id, totals) in services(report) {
            self.of(name, id, None, number(totals));
        }
    }

    /// A family of histograms, of the services that had requests.
    fn histograms(
        &mut self,
        report: &Report<'_>,
        name: &str,
        help: &str,
        histogram: impl Fn(&Totals) -> &Histogram,
    ) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (id, totals) in services(report) {
            let histogram = histogram(totals);
            let total = histogram.count();
            if total == 0 {
                continue;
            }
            for doublings in 0..=LAST_BOUND {
                // Half a millisecond is the 2,000th part of a second.
                let bound = (1_u64 << doublings) as f64 / 2000.0;
                let bound = bound.to_string();
                let label = Some(("le", bound.as_str()));
                self.of(&bucket, id, label, histogram.within(doublings));
            }
            self.of(&bucket, id, Some(("le", "+Inf")), total);
            self.of(
                &format!("{name}_sum"),
                id,
                None,
                histogram.sum().as_secs_f64(),
            );
            self.of(&format!("{name}_count"), id, None, total);
        }
    }

    /// A sample of a service.
    fn of(
        &mut self,
        name: &str,
        id: &UpstreamId,
        label: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let of = [("app", id.app.as_str()), ("service", id.service.as_str())];
        match label {
            None => self.sample(name, &of, value),
            Some(label) => self.sample(name, &[of[0], of[1], label], value),
        }
    }

    /// A sample. Names of apps and services have no character that would have to be escaped.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, text) in labels {
            self.write(format_args!("{before}{label}=\"{text}\""));
            before = ',';
        }
        self.line(format_args!("}} {value}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.write(text);
        self.0.push('\n');
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(text);
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
        let text = page(&Report {
            upstreams: &BTreeMap::from([(id, totals)]),
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
            "roadbed_proxy_connections 2".to_owned(),
            "roadbed_proxy_server_connected 0".to_owned(),
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.contains("roadbed_response_head_seconds_"), "{text}");
    }
}
