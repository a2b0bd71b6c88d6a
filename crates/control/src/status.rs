//! What users are shown: the stable shape of everything that reads, in the API and with `--json`.

mod instance;
mod measured;
mod rules;
mod urls;

use std::collections::BTreeMap;

use model::{
    Failure, InstanceId, Intent, ListenerId, ObservedApp, Protocol, Release, RolloutState, Service,
    ServiceName, UpstreamId, Wait,
};
use plan::routes::{self, EdgeAddresses};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::proxies::Connected;
use crate::settings::Settings;

pub use self::instance::{ExitStatus, InstanceState, InstanceStatus};
pub use self::rules::RouteStatus;
pub(crate) use self::urls::url;
use self::urls::url_of;

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The server.
    pub server: ServerStatus,
    /// Its apps, in the order of their names.
    pub apps: Vec<AppStatus>,
}

impl Status {
    /// Whether the edge has to listen for TLS: some service is served there.
    pub fn has_tls_at_the_edge(&self) -> bool {
        let services = self.apps.iter().flat_map(|app| &app.services);
        let mut urls = services.filter_map(|service| service.url.as_ref());
        urls.any(|url| url.starts_with("https:"))
    }
}

/// The server and its proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerStatus {
    /// The version of Roadbed.
    pub version: String,
    /// The server's process.
    pub pid: u32,
    /// Its folder.
    pub home: String,
    /// Where the edge listens.
    pub edge: String,
    /// Where the edge listens for TLS, while a host has a certificate.
    #[serde(default)]
    pub edge_tls: String,
    /// Whose word on where requests come from is taken: ranges of addresses, or `none`.
    #[serde(default)]
    pub trusted_hops: String,
    /// The number of the snapshot that proxies should serve.
    pub generation: u64,
    /// The proxies that are connected.
    pub proxies: Vec<ProxyStatus>,
    /// How many connections clients have open: from outside, and instances to each other. Absent
    /// where no proxy has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Where the connected proxies show what they measure.
    #[serde(default)]
    pub metrics: Vec<MetricsStatus>,
    /// Of which requests there is a line in the access log: `off`, `errors`, `all`, or a share.
    #[serde(default)]
    pub access_log: String,
    /// Where spans of traces are sent; absent where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<String>,
    /// Why the server cannot do its work at present, where that is so.
    pub trouble: Option<String>,
}

/// Where a proxy shows what it measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetricsStatus {
    /// The address; a GET of `/metrics` there is for Prometheus.
    pub address: String,
    /// Why it cannot listen there at present, where that is so.
    pub failure: Option<String>,
}

/// One connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProxyStatus {
    /// Its process.
    pub pid: u32,
    /// The number of the snapshot that it serves.
    pub generation: Option<u64>,
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// Its name.
    pub app: String,
    /// Its folder.
    pub folder: String,
    /// The release that should run.
    pub release: u64,
    /// Whether it should run.
    pub intent: AppIntent,
    /// The newest rollout.
    pub rollout: RolloutStatus,
    /// Its services, in the order of their names.
    pub services: Vec<ServiceStatus>,
    /// Its routes, in the order of its file.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
    /// What is not yet as it should be, and why.
    pub waits: Vec<WaitStatus>,
}

/// Whether an app should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AppIntent {
    /// It should run.
    Run,
    /// It is going down and will be forgotten.
    Down,
    /// Its first rollout failed; nothing of it runs, until it is deployed again or taken down.
    Halted,
}

/// The journey to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutStatus {
    /// The release.
    pub release: u64,
    /// Where it stands.
    pub state: RolloutPhase,
    /// Why it failed, where it did.
    pub failure: Option<FailureStatus>,
    /// The release that a failed rollout went back to; none if nothing ran before.
    pub reverted_to: Option<u64>,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutPhase {
    /// Instances are being replaced.
    Progressing,
    /// Every instance of the release is ready and no older one is left.
    Complete,
    /// It was given up.
    Failed,
}

/// Why a rollout failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureStatus {
    /// The service concerned, where one is.
    pub service: Option<String>,
    /// The instance concerned, where one is.
    pub instance: Option<String>,
    /// What happened, in one sentence.
    pub message: String,
    /// The last lines that the instance wrote.
    pub last_lines: Vec<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// How many instances should be ready.
    pub replicas: u16,
    /// How many are.
    pub ready: u16,
    /// What is spoken to it: `http`, `http2`, `grpc` or `tcp`.
    pub protocol: String,
    /// What became of requests to it, since the proxy started. Absent where no proxy has said so,
    /// with `tcp`, and in what is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestCounts>,
    /// How long requests waited for the end of their answer, since the proxy started. Absent where
    /// no request got a whole answer, and where `requests` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Where it can be reached from outside, where it can.
    pub url: Option<String>,
    /// Where its instances find the services that it uses.
    pub uses: BTreeMap<String, String>,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
}

/// What became of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestCounts {
    /// Those that got a whole answer: the service's or, in its place, the proxy's own.
    pub answered: u64,
    /// Those of them whose answer says that the service failed: 5xx, or a status of gRPC that
    /// means as much.
    pub failed: u64,
    /// Those that got no answer or only a part of it, since client or service went away.
    pub cut: u64,
    /// Those that were refused since the service had too many. They are among those that failed.
    #[serde(default)]
    pub refused: u64,
    /// Second attempts that the proxy made.
    #[serde(default)]
    pub retried: u64,
    /// How often an instance was left alone for a while since it failed again and again.
    #[serde(default)]
    pub ejected: u64,
}

/// How long requests waited, from the end of their head to the end of their answer. A time is off by
/// at most 3.2 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// The time that half of them did not exceed, in microseconds.
    pub p50_microseconds: u64,
    /// The time that 99 % of them did not exceed, in microseconds.
    pub p99_microseconds: u64,
}

/// Something that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitStatus {
    /// The service concerned, where one is.
    pub service: Option<String>,
    /// The instance concerned, where one is.
    pub instance: Option<String>,
    /// What it waits for.
    pub reason: String,
}

pub(crate) fn server(
    settings: &Settings,
    generation: model::Generation,
    proxies: &[Connected],
    trouble: Option<String>,
) -> ServerStatus {
    let proxy = |proxy: &Connected| ProxyStatus {
        pid: proxy.pid,
        generation: proxy.acknowledged.map(|generation| generation.0),
    };
    ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        home: settings.home.path().display().to_string(),
        edge: settings.edge.plain.to_string(),
        edge_tls: settings.edge.tls.to_string(),
        trusted_hops: settings.trusted.to_string(),
        generation: generation.0,
        proxies: proxies.iter().map(proxy).collect(),
        connections: None,
        metrics: Vec::new(),
        access_log: settings.telemetry.access_log.to_string(),
        traces: settings.telemetry.tracing.as_ref().map(ToString::to_string),
        trouble,
    }
}

pub(crate) fn app(
    seen: &ObservedApp,
    name: &model::AppName,
    waits: Vec<Wait>,
    ports: &BTreeMap<ListenerId, u16>,
    edge: EdgeAddresses,
    pid: impl Fn(&InstanceId) -> Option<u32>,
) -> AppStatus {
    let target = seen.releases.get(&seen.desired.target);
    let declared = target.map(|release| &release.app.services);
    let leftover = seen.instances.keys().map(|id| &id.service);
    let mut names: Vec<&ServiceName> = declared
        .into_iter()
        .flat_map(BTreeMap::keys)
        .chain(leftover)
        .collect();
    names.sort();
    names.dedup();
    let services = names.into_iter().map(|service| {
        let of_service = seen
            .instances
            .values()
            .filter(|i| i.record.id.service == *service);
        let instances: Vec<InstanceStatus> = of_service
            .map(|observed| self::instance::instance(observed, pid(&observed.record.id)))
            .collect();
        let declared = declared.and_then(|services| services.get(service));
        service_status(
            target.map(AsRef::as_ref),
            service,
            declared,
            instances,
            ports,
            edge,
        )
    });
    AppStatus {
        app: name.to_string(),
        folder: target
            .map(|release| release.folder.display().to_string())
            .unwrap_or_default(),
        release: seen.desired.target,
        intent: match seen.desired.intent {
            Intent::Run => AppIntent::Run,
            Intent::Down => AppIntent::Down,
            Intent::Halted => AppIntent::Halted,
        },
        rollout: rollout(&seen.desired.rollout),
        services: services.collect(),
        routes: target.map_or_else(Vec::new, |release| rules::routes(&release.app, edge)),
        waits: waits.into_iter().map(wait).collect(),
    }
}

pub(crate) fn rollout(rollout: &model::Rollout) -> RolloutStatus {
    let (state, failure, reverted_to) = match &rollout.state {
        RolloutState::Progressing => (RolloutPhase::Progressing, None, None),
        RolloutState::Complete { .. } => (RolloutPhase::Complete, None, None),
        RolloutState::Failed {
            failure,
            reverted_to,
            ..
        } => (
            RolloutPhase::Failed,
            Some(failure_status(failure)),
            *reverted_to,
        ),
    };
    RolloutStatus {
        release: rollout.release,
        state,
        failure,
        reverted_to,
    }
}

fn failure_status(failure: &Failure) -> FailureStatus {
    FailureStatus {
        service: failure.service.as_ref().map(ToString::to_string),
        instance: failure.instance.as_ref().map(ToString::to_string),
        message: failure.message.clone(),
        last_lines: failure
            .exit
            .as_ref()
            .map(|exit| exit.last_lines.clone())
            .unwrap_or_default(),
    }
}

fn service_status(
    release: Option<&Release>,
    name: &ServiceName,
    declared: Option<&Service>,
    instances: Vec<InstanceStatus>,
    ports: &BTreeMap<ListenerId, u16>,
    edge: EdgeAddresses,
) -> ServiceStatus {
    let ready = instances
        .iter()
        .filter(|instance| instance.state == InstanceState::Ready)
        .count();
    let address = |used: &ServiceName| {
        let upstream = |service: &ServiceName| {
            Some(UpstreamId {
                app: release?.app.name.clone(),
                service: service.clone(),
            })
        };
        let mesh = routes::Edge {
            caller: upstream(name)?,
            upstream: upstream(used)?,
        };
        let port = ports.get(&mesh.listener_id())?;
        Some((used.to_string(), format!("127.0.0.1:{port}")))
    };
    ServiceStatus {
        service: name.to_string(),
        replicas: declared.map_or(0, |service| service.replicas),
        ready: u16::try_from(ready).unwrap_or(u16::MAX),
        protocol: declared
            .map_or(Protocol::Http, |service| service.protocol)
            .name()
            .into(),
        requests: None,
        latency: None,
        url: release.and_then(|release| url(&release.app, name, edge)),
        uses: declared
            .iter()
            .flat_map(|s| &s.uses)
            .filter_map(address)
            .collect(),
        instances,
    }
}

fn wait(wait: Wait) -> WaitStatus {
    WaitStatus {
        service: wait.service.map(|service| service.to_string()),
        instance: wait.instance.map(|instance| instance.to_string()),
        reason: wait.reason,
    }
}
