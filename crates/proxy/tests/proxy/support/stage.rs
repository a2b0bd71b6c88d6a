//! A proxy whose edge leads requests for `a.test` to endpoints of any kind.

use std::net::SocketAddr;
use std::time::Duration;

use model::{Endpoint, Protocol, Snapshot, Upstream};
use proxy::protocol::{FromProxy, ToProxy};

use super::{Builder, Setup, free_address, upstream_id};

/// What every request of these tests asks for.
pub(crate) const URL: &str = "http://a.test/x";

/// A proxy, its edge, and what it serves from.
pub(crate) struct Stage {
    pub(crate) setup: Setup,
    pub(crate) edge: SocketAddr,
    pub(crate) builder: Builder,
}

impl Stage {
    pub(crate) fn new(endpoints: &[(SocketAddr, Protocol)], limits: &[&str]) -> Self {
        Self::with_timeout(endpoints, limits, Duration::from_secs(5))
    }

    pub(crate) fn with_timeout(
        endpoints: &[(SocketAddr, Protocol)],
        limits: &[&str],
        timeout: Duration,
    ) -> Self {
        Self::prepared(endpoints, limits, |snapshot| {
            let web = snapshot.upstreams.get_mut(&upstream_id("web"));
            web.unwrap().timeout = timeout;
        })
    }

    /// A proxy that serves from what `prepare` makes of the usual.
    pub(crate) fn prepared(
        endpoints: &[(SocketAddr, Protocol)],
        limits: &[&str],
        prepare: impl FnOnce(&mut Snapshot),
    ) -> Self {
        let edge = free_address();
        let upstream = upstream(endpoints, Duration::from_secs(5));
        let mut builder = Builder::generation(1)
            .edge(edge)
            .route("a.test", "/", "web");
        builder.0.upstreams.insert(upstream_id("web"), upstream);
        prepare(&mut builder.0);
        let setup = Setup::serving(&builder.0, limits);
        Self {
            setup,
            edge,
            builder,
        }
    }

    /// Has the proxy serve from what `change` makes of the present, and returns what is busy.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Snapshot)) -> Vec<(String, u32)> {
        let mut next = self.builder.next();
        change(&mut next.0);
        let delta = self.builder.0.delta_to(&next.0);
        self.builder = next;
        let mut answer = self.setup.offer(ToProxy::Delta(delta));
        loop {
            match answer {
                FromProxy::Acknowledged { busy, .. } => {
                    let busy = busy.into_iter();
                    return busy
                        .map(|(name, count)| (name.to_string(), count))
                        .collect();
                }
                // It crossed the change.
                FromProxy::Drained { .. } => answer = self.setup.receive(),
                other => panic!("expected an acknowledgement, not {other:?}"),
            }
        }
    }

    /// Gives the service other endpoints, and returns what is still busy.
    pub(crate) fn lead_to(&mut self, endpoints: &[(SocketAddr, Protocol)]) -> Vec<(String, u32)> {
        self.change(|snapshot| {
            let web = snapshot.upstreams.get_mut(&upstream_id("web")).unwrap();
            *web = upstream(endpoints, web.timeout);
        })
    }

    /// Removes all endpoints; nothing may be in flight to them.
    pub(crate) fn nothing_is_in_flight(&mut self) {
        assert_eq!(self.lead_to(&[]), []);
    }

    /// Removes all endpoints, and waits until nothing is in flight to them.
    pub(crate) fn soon_nothing_is_in_flight(&mut self) {
        let mut busy = self.lead_to(&[]);
        while !busy.is_empty() {
            self.setup.receive();
            busy = self.lead_to(&[]);
        }
    }

    /// Removes the edge.
    pub(crate) fn close_edge(&mut self) {
        self.change(|snapshot| snapshot.listeners.clear());
    }
}

/// Instances are named `app.web.1.N`, N counting from 1.
fn upstream(endpoints: &[(SocketAddr, Protocol)], timeout: Duration) -> Upstream {
    let endpoints = endpoints
        .iter()
        .enumerate()
        .map(|(index, &(address, protocol))| {
            let instance = format!("app.web.1.{}", index + 1).parse().unwrap();
            let tls = None;
            let endpoint = Endpoint {
                address,
                protocol,
                tls,
            };
            (instance, endpoint)
        });
    Upstream {
        files: None,
        protocol: Protocol::Http,
        timeout,
        resilience: model::Resilience::default(),
        endpoints: endpoints.collect(),
    }
}
