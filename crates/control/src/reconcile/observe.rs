//! What is seen of an app, put together for the planner.

use model::{App, AppName, ListenerFailure, ListenerId, ObservedApp, ObservedInstance, Phase};
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
            credentials: self.state.credentials.get(app).cloned().unwrap_or_default(),
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
        if let Some(target) = seen.releases.get(&seen.desired.target) {
            seen.edge_failure = self.edge_failure(view, &target.app);
        }
        Some(seen)
    }

    /// Why the edge does not serve `app`, where a listener that it needs cannot be opened.
    fn edge_failure(&self, view: &View, app: &App) -> Option<ListenerFailure> {
        let needed = [
            (app.is_exposed(), routes::EDGE, "the edge"),
            (
                !app.certificates().is_empty(),
                routes::EDGE_TLS,
                "the edge for TLS",
            ),
        ];
        let needed = needed.into_iter().filter(|(is_needed, ..)| *is_needed);
        needed
            .filter_map(|(_, listener, name)| {
                let failure = self.listener_failure(view, &listener.to_owned())?;
                Some(ListenerFailure {
                    error: format!("{name}: {}", failure.error),
                    ..failure
                })
            })
            .next()
    }

    fn listener_failure(&self, view: &View, listener: &ListenerId) -> Option<ListenerFailure> {
        Some(ListenerFailure {
            error: view.listener_failure(listener)?.to_owned(),
            since: *self.listeners_failing.get(listener)?,
        })
    }
}
