//! The families of services: what became of requests to each of them.

use std::collections::BTreeMap;

use model::{Protocol, Snapshot, UpstreamId};

use super::page::Page;
use super::sample::Kind;
use super::totals::{CLASSES, GRPC_STATUSES, Totals};

/// What is known of services.
#[derive(Clone, Copy)]
pub(super) struct Services<'a> {
    pub(super) upstreams: &'a BTreeMap<UpstreamId, Totals>,
    pub(super) snapshot: &'a Snapshot,
}

/// A number of a service: its family's name and help, and where it is.
type Counted = (&'static str, &'static str, fn(&Totals) -> u64);

const REQUESTS: [Counted; 2] = [
    (
        "roadbed_failed_requests_total",
        "Answers that say that the service failed: 5xx, or a status of gRPC that means it.",
        |of| of.failed,
    ),
    (
        "roadbed_cut_requests_total",
        "Requests without a whole answer, since client or service went away.",
        |of| of.cut,
    ),
];

const TRAFFIC: [Counted; 10] = [
    (
        "roadbed_request_body_bytes_total",
        "Content that was passed on to instances.",
        |of| of.received,
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
        "roadbed_service_ejections_total",
        "How often an instance was taken out of the choice for a while.",
        |of| of.ejected,
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
];

/// Writes them.
pub(super) fn write(page: &mut Page, services: Services<'_>) {
    requests(page, services);
    grpc(page, services);
    refused(page, services);
    latency(page, services);
    for (name, help, number) in TRAFFIC {
        page.family(name, Kind::Counter, help);
        for (id, totals) in services.upstreams {
            page.sample(&labels(id), number(totals));
        }
    }
    endpoints(page, services.snapshot);
}

/// The labels of a service.
pub(super) fn labels(id: &UpstreamId) -> [(&'static str, &str); 2] {
    [("app", id.app.as_str()), ("service", id.service.as_str())]
}

/// The labels of a service, and one more.
pub(super) fn labels_and<'a>(
    id: &'a UpstreamId,
    label: (&'a str, &'a str),
) -> [(&'a str, &'a str); 3] {
    let [app, service] = labels(id);
    [app, service, label]
}

impl<'a> Services<'a> {
    /// Those to which there are requests, which TCP does not know.
    fn with_requests(self) -> impl Iterator<Item = (&'a UpstreamId, &'a Totals)> {
        let is_tcp = move |id: &UpstreamId| {
            let upstream = self.snapshot.upstreams.get(id);
            upstream.is_some_and(|upstream| upstream.protocol == Protocol::Tcp)
        };
        let all = self.upstreams.iter();
        all.filter(move |(id, _)| !is_tcp(id))
    }
}

fn requests(page: &mut Page, services: Services<'_>) {
    let help = "Requests that got a whole answer, by the first digit of its status.";
    page.family("roadbed_requests_total", Kind::Counter, help);
    for (id, totals) in services.with_requests() {
        for (class, count) in CLASSES.iter().zip(totals.by_class) {
            page.sample(&labels_and(id, ("code", class)), count);
        }
    }
    for (name, help, number) in REQUESTS {
        page.family(name, Kind::Counter, help);
        for (id, totals) in services.with_requests() {
            page.sample(&labels(id), number(totals));
        }
    }
    let help = "Requests, streams and tunnels that are being served.";
    page.family("roadbed_requests_in_flight", Kind::Gauge, help);
    for (id, totals) in services.with_requests() {
        page.sample(&labels(id), totals.in_flight);
    }
}

fn grpc(page: &mut Page, services: Services<'_>) {
    let help = "Calls of gRPC that got a status, by that.";
    page.family("roadbed_grpc_requests_total", Kind::Counter, help);
    for (id, totals) in services.with_requests() {
        for (status, count) in totals.by_grpc.iter().enumerate() {
            if *count > 0 {
                let status = match status {
                    _ if status == GRPC_STATUSES - 1 => "other".to_owned(),
                    _ => status.to_string(),
                };
                page.sample(&labels_and(id, ("grpc_status", &status)), *count);
            }
        }
    }
}

fn refused(page: &mut Page, services: Services<'_>) {
    let help = "Requests that the proxy itself answered in place of the service, by the reason.";
    page.family("roadbed_refused_requests_total", Kind::Counter, help);
    for (id, totals) in services.with_requests() {
        for (reason, count) in &totals.refused {
            page.sample(&labels_and(id, ("reason", reason)), *count);
        }
    }
}

fn latency(page: &mut Page, services: Services<'_>) {
    let help = "Time from the end of a request's head to the head of its answer.";
    page.family("roadbed_response_head_seconds", Kind::Histogram, help);
    for (id, totals) in services.with_requests() {
        page.histogram(&labels(id), &totals.head);
    }
    let help = "Time from the end of a request's head to the end of its answer.";
    page.family("roadbed_request_duration_seconds", Kind::Histogram, help);
    for (id, totals) in services.with_requests() {
        page.histogram(&labels(id), &totals.whole);
    }
}

fn endpoints(page: &mut Page, snapshot: &Snapshot) {
    let help = "Instances that requests may go to, by release.";
    page.family("roadbed_service_endpoints", Kind::Gauge, help);
    for (id, upstream) in &snapshot.upstreams {
        let mut releases = BTreeMap::new();
        for instance in upstream.endpoints.keys() {
            *releases.entry(instance.release).or_insert(0_u64) += 1;
        }
        for (release, count) in releases {
            page.sample(&labels_and(id, ("release", &release.to_string())), count);
        }
    }
}
