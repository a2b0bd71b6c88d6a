//! What is known of each endpoint that is in use, for the page. There are as many as there are
//! instances, and one that goes takes its numbers along.

use std::collections::BTreeMap;

use model::{InstanceId, UpstreamId};

use super::page::Page;

/// What one endpoint has had to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    }
}

/// Writes the families of endpoints.
pub(super) fn write(page: &mut Page, endpoints: &Endpoints) {
    for (name, kind, help, number) in [
        (
            "roadbed_endpoint_requests_total",
            "counter",
            "Requests and streams that were sent to an instance, second attempts among them.",
            (|of| of.requests) as fn(&EndpointTotals) -> u64,
        ),
        (
            "roadbed_endpoint_failures_total",
            "counter",
            "Connections and requests that failed in a way for which an instance is ejected.",
            |of| of.failures,
        ),
        (
            "roadbed_endpoint_requests_in_flight",
            "gauge",
            "Requests and streams that an instance is serving.",
            |of| of.in_flight,
        ),
        (
            "roadbed_endpoint_pooled_connections",
            "gauge",
            "Connections that are kept: of HTTP/1.1 those that wait for a request, of HTTP/2 all.",
            |of| of.pooled,
        ),
        (
            "roadbed_endpoint_ejected_workers",
            "gauge",
            "Threads of the proxy that pass an instance over, since it failed again and again.",
            |of| of.ejected,
        ),
    ] {
        page.family(name, kind, help);
        for ((id, instance), totals) in endpoints {
            let (release, instance) = (instance.release.to_string(), instance.to_string());
            let labels = [
                ("app", id.app.as_str()),
                ("service", id.service.as_str()),
                ("instance", &instance),
                ("release", &release),
            ];
            page.sample(name, &labels, number(totals));
        }
    }
}

#[cfg(test)]
mod tests {
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
        let mut page = Page::default();
        let instance = "shop.web.7.2".parse().unwrap();
        write(&mut page, &[((id, instance), totals)].into());
        let of = r#"{app="shop",service="web",instance="shop.web.7.2",release="7"}"#;
        for line in [
            format!("roadbed_endpoint_requests_total{of} 7"),
            format!("roadbed_endpoint_ejected_workers{of} 1"),
            format!("roadbed_endpoint_pooled_connections{of} 0"),
        ] {
            assert!(
                page.0.lines().any(|have| have == line),
                "{line}\n{}",
                page.0
            );
        }
    }
}
