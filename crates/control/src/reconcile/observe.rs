//! What is seen of an app, put together for the planner.

use model::{AppName, ListenerFailure, ListenerId, ObservedApp, ObservedInstance, Phase};
use plan::routes;

use super::Reconciler;
use crate::proxies::View;

impl Reconciler {
    /// Everything known of `app` at this moment; none if it is not desired.
    pub(super) fn observe(&self, app: &AppName, view: &View) -> Option<ObservedApp> {
        let desired = self.state.desired.get(app)?.value.clone();
        let releases = self.state.releases.get(app).cloned().unwrap_or_default();
        let of_app = self
            .state
            .instances
            .values()
            .filter(|record| record.id.app == *app);
        let instances = of_app.map(|record| {
            let facts = self.instances.facts(&record.id);
            let leaving = matches!(record.phase, Phase::Leaving { .. });
            let seen = ObservedInstance {
                hold: leaving
                    .then(|| self.proxies.hold(view, &record.id))
                    .flatten(),
                record: record.clone(),
                process: facts.process,
                probe: facts.probe,
                asked: facts.asked,
            };
            (record.id.clone(), seen)
        });
        let mut seen = ObservedApp {
            desired,
            releases,
            instances: instances.collect(),
            unserved: Default::default(),
            listener_failures: Default::default(),
            edge_failure: None,
            unacknowledged: view.unacknowledged(),
            without_proxy_since: self.without_proxy_since,
        };
        for mesh in routes::mesh_edges(&seen) {
            let (listener, caller) = (mesh.listener_id(), mesh.caller.service);
            if let Some(failure) = self.listener_failure(view, &listener) {
                seen.listener_failures.insert(caller.clone(), failure);
            }
            if let Some(reason) = self.proxies.unserved(view, &listener) {
                seen.unserved.insert(caller, reason);
            }
        }
        let target = seen.releases.get(&seen.desired.target);
        if target.is_some_and(|target| target.app.services.values().any(|s| s.expose.is_some())) {
            let failure = self.listener_failure(view, &routes::EDGE.to_owned());
            seen.edge_failure = failure.map(|failure| ListenerFailure {
                error: format!("the edge: {}", failure.error),
                ..failure
            });
        }
        Some(seen)
    }

    fn listener_failure(&self, view: &View, listener: &ListenerId) -> Option<ListenerFailure> {
        Some(ListenerFailure {
            error: view.listener_failure(listener)?.to_owned(),
            since: *self.listeners_failing.get(listener)?,
        })
    }
}
