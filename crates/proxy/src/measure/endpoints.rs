//! What is known of each endpoint that is in use, for the page. There are as many as there are
//! instances, and one that goes takes its numbers along.

use std::collections::BTreeMap;

use model::{InstanceId, UpstreamId};

use super::histogram::Histogram;
use super::page::Page;
use super::sample::Kind;
use super::services::labels;

/// What one endpoint has had to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndpointTotals {
    /// Requests and streams that were sent to it, attempts among them.
    pub(crate) requests: u64,
    /// Those of them, and connections, that failed in a way that counts against it.
    pub(crate) failures: u64,
    /// Those that are being served.
    pub(crate) in_flight: u64,
    /// Connections that are kept: those of HTTP/1.1 that wait for a request, and all of HTTP/2.
    pub(crate) pooled: u64,
    /// Workers that pass it over at present, since it has failed again and again.
    pub(crate) ejected: u64,
    /// Times from the end of a request to the head of its answer.
    pub(crate) response: Histogram,
}

/// The numbers of all endpoints.
pub(crate) type Endpoints = BTreeMap<(UpstreamId, InstanceId), EndpointTotals>;

impl std::ops::AddAssign<&Self> for EndpointTotals {
    fn add_assign(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.in_flight += other.in_flight;
        self.pooled += other.pooled;
        self.ejected += other.ejected;
        self.response.merge(&other.response);
    }
}

/// Writes the families of endpoints.
pub(super) fn write(page: &mut Page, endpoints: &Endpoints) {
    for (name, kind, help, number) in [
        (
            "roadbed_endpoint_requests_total",
            Kind::Counter,
            "Requests and streams that were sent to an instance, second attempts among them.",
            (|of| of.requests) as fn(&EndpointTotals) -> u64,
        ),
        (
            "roadbed_endpoint_failures_total",
            Kind::Counter,
            "Connections and requests that failed in a way for which an instance is ejected.",
            |of| of.failures,
        ),
        (
            "roadbed_endpoint_requests_in_flight",
            Kind::Gauge,
            "Requests and streams that an instance is serving.",
            |of| of.in_flight,
        ),
        (
            "roadbed_endpoint_pooled_connections",
            Kind::Gauge,
            "Connections that are kept: of HTTP/1.1 those that wait for a request, of HTTP/2 all.",
            |of| of.pooled,
        ),
        (
            "roadbed_endpoint_ejected_workers",
            Kind::Gauge,
            "Threads of the proxy that pass an instance over, since it failed again and again.",
            |of| of.ejected,
        ),
    ] {
        page.family(name, kind, help);
        for (key, totals) in endpoints {
            with_labels(key, |labels| page.sample(labels, number(totals)));
        }
    }
    let help =
        "Time from the end of a request, as it was sent to an instance, to its answer's head.";
    // There are many instances, and buckets for each would be more than a Prometheus likes to keep.
    let kind = Kind::NativeHistogram;
    page.family("roadbed_endpoint_response_seconds", kind, help);
    for (key, totals) in endpoints {
        with_labels(key, |labels| page.histogram(labels, &totals.response));
    }
}

/// Calls `write` with the labels of an endpoint.
fn with_labels((id, instance): &(UpstreamId, InstanceId), write: impl FnOnce(&[(&str, &str)])) {
    let (release, instance) = (instance.release.to_string(), instance.to_string());
    let [app, service] = labels(id);
    let more = [("instance", instance.as_str()), ("release", &release)];
    write(&[app, service, more[0], more[1]]);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::page::Form;
    use super::*;

    #[test]
    fn each_instance_has_its_numbers_and_its_release() {
        let id: UpstreamId = "shop/web".to_owned().try_into().unwrap();
        let mut totals = EndpointTotals {
            requests: 3,
            ..EndpointTotals::default()
        };
        totals += &EndpointTotals {
            requests: 4,
            ejected: 1,
            ..EndpointTotals::default()
        };
        totals.response.record(Duration::from_millis(500));
        let mut page = Page::new(Form::Text);
        let instance = "shop.web.7.2".parse().unwrap();
        write(&mut page, &[((id, instance), totals)].into());
        let page = String::from_utf8(page.finish()).unwrap();
        let of = r#"{app="shop",service="web",instance="shop.web.7.2",release="7"}"#;
        for line in [
            format!("roadbed_endpoint_requests_total{of} 7"),
            format!("roadbed_endpoint_ejected_workers{of} 1"),
            format!("roadbed_endpoint_pooled_connections{of} 0"),
            format!("roadbed_endpoint_response_seconds_sum{of} 0.5"),
            format!("roadbed_endpoint_response_seconds_count{of} 1"),
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\n{page}");
        }
        assert!(!page.contains("_bucket"), "{page}");
    }
}
