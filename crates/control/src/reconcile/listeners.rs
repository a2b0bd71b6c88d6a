//! The ports of mesh listeners, and which releases are kept.

use std::collections::BTreeSet;

use model::{AppName, ListenerId, ServiceName, UpstreamId};
use plan::routes;

use super::Reconciler;
use crate::instances::Addresses;
use crate::ports::{self, free_port};

impl Reconciler {
    /// Gives each mesh listener that is needed a port, and takes back those that are not. A
    /// listener that no proxy could open gets another port while no instance knows the first.
    pub(super) fn assign_ports(&mut self) {
        let view = self.view();
        let apps: Vec<AppName> = self.state.desired.keys().cloned().collect();
        let seen: Vec<_> = apps
            .iter()
            .filter_map(|app| self.observe(app, &view))
            .collect();
        let needed: Vec<_> = seen.iter().flat_map(routes::mesh_edges).collect();
        let ids: BTreeSet<ListenerId> = needed.iter().map(routes::Edge::listener_id).collect();
        let unneeded: Vec<_> = self
            .state
            .ports
            .keys()
            .filter(|id| !ids.contains(*id))
            .cloned()
            .collect();
        for id in &unneeded {
            self.state.remove_port(id);
        }
        for mesh in needed {
            let id = mesh.listener_id();
            let movable = view.listener_failure(&id).is_some() && !self.has_instances(&mesh.caller);
            if self.state.ports.contains_key(&id) && !movable {
                continue;
            }
            let taken = self.state.ports.values().copied().collect();
            match free_port(ports::LISTENERS, &taken) {
                Ok(port) => self.state.put_port(id, port),
                Err(error) => tracing::error!(%error, listener = %id, "a listener has no port"),
            }
        }
    }

    fn has_instances(&self, caller: &UpstreamId) -> bool {
        let of_caller =
            |id: &model::InstanceId| id.app == caller.app && id.service == caller.service;
        self.state.instances.keys().any(of_caller)
    }

    /// Where `service` finds those that it uses, as release `release` declares them.
    pub(super) fn addresses(&self, release: &model::Release, service: &ServiceName) -> Addresses {
        let app = &release.app;
        let uses = app
            .services
            .get(service)
            .into_iter()
            .flat_map(|declared| &declared.uses);
        uses.filter_map(|used| {
            let upstream = |service: &ServiceName| UpstreamId {
                app: app.name.clone(),
                service: service.clone(),
            };
            let mesh = routes::Edge {
                caller: upstream(service),
                upstream: upstream(used),
            };
            let port = self.state.ports.get(&mesh.listener_id())?;
            Some((used.clone(), (app.services.get(used)?.protocol, *port)))
        })
        .collect()
    }
}
