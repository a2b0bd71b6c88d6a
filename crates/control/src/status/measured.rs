//! What the proxies measured, in what users are shown.

use std::collections::BTreeMap;

use model::Protocol;
use proxy::measure::Histogram;
use proxy::protocol::Counts;

use super::{AppStatus, Latency, MetricsStatus, RequestCounts, Status};
use crate::proxies::Counted;

impl Status {
    /// Adds what the proxies counted.
    pub(crate) fn add(&mut self, counted: &Counted) {
        self.server.connections = counted.connections;
        let metrics = counted.metrics.iter();
        self.server.metrics = metrics
            .map(|listener| MetricsStatus {
                address: listener.address.to_string(),
                failure: listener.failure.clone(),
            })
            .collect();
        for app in &mut self.apps {
            app.add(counted);
        }
    }
}

impl AppStatus {
    /// Adds what the proxies counted.
    pub(crate) fn add(&mut self, counted: &Counted) {
        let of_app = counted.upstreams.iter();
        let of_app: BTreeMap<&str, &Counts> = of_app
            .filter(|(id, _)| id.app.as_str() == self.app)
            .map(|(id, counts)| (id.service.as_str(), counts))
            .collect();
        for service in &mut self.services {
            let counts = of_app.get(service.service.as_str());
            let counts = counts.filter(|_| service.protocol != Protocol::Tcp.name());
            service.requests = counts.map(|counts| RequestCounts {
                answered: counts.answered,
                failed: counts.failed,
                cut: counts.cut,
                refused: counts.refused,
                retried: counts.retried,
                ejected: counts.ejected,
            });
            service.latency = counts.and_then(|counts| latency(&counts.latency));
        }
    }
}

fn latency(times: &Histogram) -> Option<Latency> {
    let microseconds = |share| {
        let time = times.quantile(share)?;
        Some(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    };
    Some(Latency {
        p50_microseconds: microseconds(0.5)?,
        p99_microseconds: microseconds(0.99)?,
    })
}
