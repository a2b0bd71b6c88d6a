//! What is seen of an app, put together for the planner.

use model::{AppName, ListenerId, ObservedApp, ObservedInstance, Phase, ServiceName};
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
                asked_to_stop: facts.asked_to_stop,
            };
            (record.id.clone(), seen)
        });
        let mut seen = ObservedApp {
            desired,
            releases,
            instances: instances.collect(),
            unserved: Default::default(),
            edge_failure: None,
            unacknowledged: view.unacknowledged(),
        };
        seen.unserved = routes::mesh_edges(&seen)
            .into_iter()
            .filter_map(|mesh| self.unserved(view, &mesh.listener_id(), mesh.caller.service))
            .collect();
        let target = seen.releases.get(&seen.desired.target);
        if target.is_some_and(|target| target.app.services.values().any(|s| s.expose.is_some())) {
            let error = view.listener_failure(&routes::EDGE.to_owned());
            seen.edge_failure = error
                .map(|error| format!("the edge cannot listen on {}: {error}", self.settings.edge));
        }
        Some(seen)
    }

    fn unserved(
        &self,
        view: &View,
        listener: &ListenerId,
        caller: ServiceName,
    ) -> Option<(ServiceName, String)> {
        self.proxies
            .unserved(view, listener)
            .map(|reason| (caller, reason))
    }
}
