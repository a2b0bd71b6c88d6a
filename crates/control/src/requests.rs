//! What became of requests, as the API says it: numbers that only grow, so that whoever asks twice
//! knows what was in between.

use proxy::protocol::Counts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::proxies::Counted;

/// What became of all requests since the proxies were started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Requests {
    /// By the service that was asked, in the order of apps and services.
    pub services: Vec<ServiceRequests>,
}

/// What became of the requests to one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceRequests {
    /// The app.
    pub app: String,
    /// The service.
    pub service: String,
    /// Those that got a whole answer.
    pub answered: u64,
    /// Those of them whose answer says that the service failed.
    pub failed: u64,
    /// Those that got no answer or a part of one.
    pub cut: u64,
    /// Those that are being served at this moment.
    pub in_flight: u64,
    /// Second attempts.
    pub retried: u64,
    /// How often an instance was taken out of the choice for a while.
    pub ejected: u64,
    /// How long answers took, shortest first.
    pub times: Vec<TimeCount>,
}

/// How many answers took about as long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TimeCount {
    /// How long, to 3.2 %. These are the same for all services at all times.
    pub nanoseconds: u64,
    /// How many.
    pub count: u64,
}

impl From<&Counted> for Requests {
    fn from(counted: &Counted) -> Self {
        let upstreams = counted.upstreams.iter();
        let services = upstreams.map(|(id, counts)| {
            let (app, service) = (id.app.to_string(), id.service.to_string());
            ServiceRequests::new(app, service, counts)
        });
        Self {
            services: services.collect(),
        }
    }
}

impl ServiceRequests {
    fn new(app: String, service: String, counts: &Counts) -> Self {
        let times = counts.latency.times().map(|(time, count)| TimeCount {
            nanoseconds: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            count,
        });
        Self {
            app,
            service,
            answered: counts.answered,
            failed: counts.failed,
            cut: counts.cut,
            in_flight: counts.in_flight,
            retried: counts.retried,
            ejected: counts.ejected,
            times: times.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_apart_and_counted() {
        let mut counts = Counts {
            answered: 3,
            in_flight: 2,
            ..Counts::default()
        };
        for milliseconds in [50, 50, 1] {
            counts.latency.record(Duration::from_millis(milliseconds));
        }
        let id = "shop/web".to_owned().try_into().unwrap();
        let counted = Counted {
            upstreams: [(id, counts)].into(),
            ..Counted::default()
        };
        let requests = Requests::from(&counted);
        let [web] = &requests.services[..] else {
            panic!("{requests:?}");
        };
        assert_eq!((&*web.app, &*web.service), ("shop", "web"));
        assert_eq!((web.answered, web.in_flight), (3, 2));
        let counts: Vec<u64> = web.times.iter().map(|time| time.count).collect();
        assert_eq!(counts, [1, 2]);
        assert!(web.times[1].nanoseconds.abs_diff(50_000_000) < 1_600_000);
    }
}
