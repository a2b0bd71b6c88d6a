//! What of `roadbed status --json` the benches look at.

use serde::Deserialize;

/// The server and all apps.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) server: Server,
    pub(crate) apps: Vec<App>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Server {
    pub(crate) generation: u64,
    pub(crate) proxies: Vec<Proxy>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Proxy {
    pub(crate) pid: u32,
    pub(crate) generation: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct App {
    pub(crate) services: Vec<Service>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Service {
    pub(crate) service: String,
    pub(crate) instances: Vec<Instance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Instance {
    pub(crate) instance: String,
    pub(crate) address: String,
    pub(crate) state: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) state_time: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) restarts: u32,
    pub(crate) last_exit: Option<Exit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Exit {
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
}

impl Status {
    /// The instances of all apps.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.apps.iter().flat_map(App::instances)
    }

    /// The instance of that name.
    pub(crate) fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances().find(|instance| instance.instance == name)
    }

    /// The processes of all instances that are ready, in the order of their names.
    pub(crate) fn ready_pids(&self) -> Vec<u32> {
        self.instances()
            .filter(|instance| instance.state == "ready")
            .filter_map(|instance| instance.pid)
            .collect()
    }

    /// Whether this proxy is connected and serves what it should.
    pub(crate) fn follows(&self, proxy: u32) -> bool {
        self.server.proxies.iter().any(|connected| {
            connected.pid == proxy && connected.generation == Some(self.server.generation)
        })
    }
}

impl App {
    /// The instances of all services.
    pub(crate) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.services.iter().flat_map(|service| &service.instances)
    }

    /// The instances of one service.
    pub(crate) fn instances_of(&self, service: &str) -> impl Iterator<Item = &Instance> {
        let services = self.services.iter();
        let named = services.filter(move |candidate| candidate.service == service);
        named.flat_map(|service| &service.instances)
    }
}
