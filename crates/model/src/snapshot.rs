//! All configuration of a proxy as one numbered value, and the difference between two of them.
//!
//! A snapshot is what a proxy serves from, whole or not at all. Between server and proxy travel
//! deltas, so that the cost of a change follows the change and not the fleet: every part lives in
//! a map under a stable key, and a delta says which keys are set and which are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::Protocol;
use crate::error_pages::{ErrorPages, PageText};
use crate::host::Host;
use crate::instance::InstanceId;
use crate::names::{AppName, ServiceName};
use crate::network::TrustedHops;
use crate::resilience::Resilience;
use crate::routing::{HostPattern, Rule};
use crate::secret::Secret;
use crate::static_files::ServedFiles;
use crate::telemetry::Telemetry;

/// The number of a snapshot. It only grows; a receiver refuses one below its own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A service as its callers see it, across apps. Written `APP/SERVICE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UpstreamId {
    /// The app that declares the service.
    pub app: AppName,
    /// The service.
    pub service: ServiceName,
}

impl fmt::Display for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.service)
    }
}

impl TryFrom<String> for UpstreamId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let (app, service) = text
            .split_once('/')
            .ok_or("an upstream is named APP/SERVICE")?;
        Ok(Self {
            app: AppName::new(app).map_err(|e| e.to_string())?,
            service: ServiceName::new(service).map_err(|e| e.to_string())?,
        })
    }
}

impl From<UpstreamId> for String {
    fn from(id: UpstreamId) -> Self {
        id.to_string()
    }
}

/// The key of a listener within a snapshot: `edge`, or `mesh/APP/CALLER/UPSTREAM`.
pub type ListenerId = String;

/// One socket that the proxy listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// What arrives there.
    pub role: ListenerRole,
    /// Whether it arrives in TLS, for which [`Snapshot::certificates`] are used.
    #[serde(default)]
    pub tls: bool,
    /// Whom to believe what they say of requests that they bring, at the edge.
    #[serde(default, skip_serializing_if = "TrustedHops::is_empty")]
    pub trusted: TrustedHops,
}

/// What arrives at a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerRole {
    /// Requests from outside, matched against [`Snapshot::routes`].
    Edge,
    /// Calls by one service of another. Whoever connects here is the caller.
    Mesh {
        /// The service whose `uses` this listener serves.
        caller: UpstreamId,
        /// The service that it reaches.
        upstream: UpstreamId,
    },
}

/// What the edge does with requests of one kind.
pub type Route = Rule<UpstreamId>;

/// A service and the endpoints that may be sent its traffic now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// What its callers speak.
    pub protocol: Protocol,
    /// How long a request waits for the head of its answer, from the request's end.
    pub timeout: Duration,
    /// How requests are spread over its endpoints, and when they are refused.
    #[serde(default, skip_serializing_if = "Resilience::is_usual")]
    pub resilience: Resilience,
    /// Where it can be reached, by instance.
    pub endpoints: BTreeMap<InstanceId, Endpoint>,
    /// What the proxy serves itself, in place of endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<ServedFiles>,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where its instance listens.
    pub address: SocketAddr,
    /// What its instance speaks. During a rollout it may differ between endpoints; HTTP is
    /// translated, and bytes are passed on as they are where [`Upstream::protocol`] is TCP.
    #[serde(default = "http")]
    pub protocol: Protocol,
    /// How its instance proves who it is, where it speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<EndpointTls>,
}

/// What an endpoint of an older release's snapshot speaks.
fn http() -> Protocol {
    Protocol::Http
}

/// How an instance that speaks TLS is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointTls {
    /// The name that its certificate must have, and that it is asked for (SNI).
    pub name: String,
    /// Who must have signed it: a key of [`Snapshot::authorities`].
    pub authority: AuthorityId,
}

/// The key of a certificate within a snapshot.
pub type CertificateId = String;

/// What the proxy proves itself with towards clients that ask for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The host whose clients are shown it.
    pub host: Host,
    /// Other hosts whose clients are shown it, where they have no certificate of their own. Those
    /// below a domain are those with one label more, as in certificates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<HostPattern>,
    /// The certificate and those that lead to its authority, in PEM.
    pub chain: String,
    /// Its private key, in PEM.
    pub key: Secret<String>,
}

/// The key of an authority within a snapshot.
pub type AuthorityId = String;

/// Whose signatures on the certificates of instances are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Certificates in PEM.
    pub roots: String,
}

/// The key of what an app shows in place of errors within a snapshot.
pub type ErrorPagesId = String;

/// All that a proxy knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its number.
    pub generation: Generation,
    /// The sockets to listen on.
    pub listeners: BTreeMap<ListenerId, Listener>,
    /// The routes of the edge, by a stable key of the server's choosing.
    pub routes: BTreeMap<String, Route>,
    /// The services that listeners and routes lead to.
    pub upstreams: BTreeMap<UpstreamId, Upstream>,
    /// What listeners with TLS prove themselves with.
    #[serde(default)]
    pub certificates: BTreeMap<CertificateId, Certificate>,
    /// Whom endpoints with TLS are verified against.
    #[serde(default)]
    pub authorities: BTreeMap<AuthorityId, Authority>,
    /// What routes show in place of errors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<ErrorPagesId, ErrorPages<PageText>>,
    /// What is said of single requests.
    #[serde(default, skip_serializing_if = "Telemetry::is_off")]
    pub telemetry: Telemetry,
}

/// What turns the snapshot of one generation into that of a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotDelta {
    /// The generation that it applies to, and to no other.
    pub from: Generation,
    /// The generation that results.
    pub to: Generation,
    /// Changed listeners.
    pub listeners: Changes<ListenerId, Listener>,
    /// Changed routes.
    pub routes: Changes<String, Route>,
    /// Changed upstreams.
    pub upstreams: Changes<UpstreamId, Upstream>,
    /// Changed certificates.
    #[serde(default)]
    pub certificates: Changes<CertificateId, Certificate>,
    /// Changed authorities.
    #[serde(default)]
    pub authorities: Changes<AuthorityId, Authority>,
    /// Changed pages.
    #[serde(default, skip_serializing_if = "Changes::is_empty")]
    pub error_pages: Changes<ErrorPagesId, ErrorPages<PageText>>,
    /// What is said of single requests from now on, where that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
}

/// The difference between two maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes<K: Ord, V> {
    /// Keys with their new values.
    pub set: BTreeMap<K, V>,
    /// Keys that are gone.
    pub removed: BTreeSet<K>,
}

impl<K: Ord, V> Default for Changes<K, V> {
    fn default() -> Self {
        Self {
            set: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> Changes<K, V> {
    fn between(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Self {
        let set = new
            .iter()
            .filter(|(key, value)| old.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let removed = old
            .keys()
            .filter(|key| !new.contains_key(*key))
            .cloned()
            .collect();
        Self { set, removed }
    }

    fn apply(&self, map: &mut BTreeMap<K, V>) {
        for key in &self.removed {
            map.remove(key);
        }
        for (key, value) in &self.set {
            map.insert(key.clone(), value.clone());
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }
}

/// A snapshot or delta does not follow from what its receiver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("generation {offered} was offered on top of {expected}, but this is at {current}")]
pub struct StaleGeneration {
    /// What the receiver has.
    pub current: Generation,
    /// What the sender believed it to have.
    pub expected: Generation,
    /// What was offered.
    pub offered: Generation,
}

impl Snapshot {
    /// What turns `self` into `newer`.
    pub fn delta_to(&self, newer: &Snapshot) -> SnapshotDelta {
        SnapshotDelta {
            from: self.generation,
            to: newer.generation,
            listeners: Changes::between(&self.listeners, &newer.listeners),
            routes: Changes::between(&self.routes, &newer.routes),
            upstreams: Changes::between(&self.upstreams, &newer.upstreams),
            certificates: Changes::between(&self.certificates, &newer.certificates),
            authorities: Changes::between(&self.authorities, &newer.authorities),
            error_pages: Changes::between(&self.error_pages, &newer.error_pages),
            telemetry: (self.telemetry != newer.telemetry).then(|| newer.telemetry.clone()),
        }
    }

    /// Applies `delta`, or refuses it and stays as it was.
    pub fn apply(&mut self, delta: &SnapshotDelta) -> Result<(), StaleGeneration> {
        if delta.from != self.generation || delta.to <= self.generation {
            return Err(StaleGeneration {
                current: self.generation,
                expected: delta.from,
                offered: delta.to,
            });
        }
        delta.listeners.apply(&mut self.listeners);
        delta.routes.apply(&mut self.routes);
        delta.upstreams.apply(&mut self.upstreams);
        delta.certificates.apply(&mut self.certificates);
        delta.authorities.apply(&mut self.authorities);
        delta.error_pages.apply(&mut self.error_pages);
        if let Some(telemetry) = &delta.telemetry {
            self.telemetry = telemetry.clone();
        }
        self.generation = delta.to;
        Ok(())
    }

    /// Whether the two say the same, whatever their numbers.
    pub fn same_content(&self, other: &Snapshot) -> bool {
        self.listeners == other.listeners
            && self.routes == other.routes
            && self.upstreams == other.upstreams
            && self.certificates == other.certificates
            && self.authorities == other.authorities
            && self.error_pages == other.error_pages
            && self.telemetry == other.telemetry
    }
}

impl SnapshotDelta {
    /// Whether only the number changes.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
            && self.routes.is_empty()
            && self.upstreams.is_empty()
            && self.certificates.is_empty()
            && self.authorities.is_empty()
            && self.error_pages.is_empty()
            && self.telemetry.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    fn upstreams() -> impl Strategy<Value = BTreeMap<UpstreamId, Upstream>> {
        let id = (0..6u8).prop_map(|n| UpstreamId {
            app: AppName::new("app").unwrap(),
            service: ServiceName::new(format!("s{n}")).unwrap(),
        });
        let upstream = btree_map(1..4u32, 1000..1010u16, 0..4).prop_map(|ports| Upstream {
            protocol: Protocol::Http,
            timeout: Duration::from_secs(30),
            resilience: Resilience::default(),
            files: None,
            endpoints: ports
                .into_iter()
                .map(|(ordinal, port)| {
                    let instance = format!("app.s.1.{ordinal}").parse().unwrap();
                    (
                        instance,
                        Endpoint {
                            address: ([127, 0, 0, 1], port).into(),
                            protocol: Protocol::Http,
                            tls: None,
                        },
                    )
                })
                .collect(),
        });
        btree_map(id, upstream, 0..6)
    }

    fn snapshot(generation: u64, upstreams: BTreeMap<UpstreamId, Upstream>) -> Snapshot {
        Snapshot {
            generation: Generation(generation),
            upstreams,
            ..Snapshot::default()
        }
    }

    proptest! {
        #[test]
        fn a_delta_leads_from_one_snapshot_to_the_other(
            old in upstreams(),
            new in upstreams(),
            logs in any::<bool>(),
        ) {
            let (mut current, mut newer) = (snapshot(3, old), snapshot(9, new));
            if logs {
                newer.telemetry.access_log = crate::telemetry::AccessLog::Errors;
            }
            let delta = current.delta_to(&newer);
            prop_assert_eq!(delta.is_empty(), current.same_content(&newer));
            current.apply(&delta).unwrap();
            prop_assert_eq!(current, newer);
        }
    }

    #[test]
    fn an_old_or_foreign_delta_is_refused_and_changes_nothing() {
        let mut current = snapshot(5, BTreeMap::new());
        let before = current.clone();
        for (from, to) in [(4, 6), (5, 5), (5, 4), (6, 7)] {
            let mut delta = before.delta_to(&before);
            (delta.from, delta.to) = (Generation(from), Generation(to));
            assert!(current.apply(&delta).is_err(), "{from} to {to}");
            assert_eq!(current, before);
        }
    }

    #[test]
    fn a_snapshot_survives_json() {
        let id = UpstreamId {
            app: AppName::new("shop").unwrap(),
            service: ServiceName::new("web").unwrap(),
        };
        let upstream = Upstream {
            protocol: Protocol::Tcp,
            timeout: Duration::from_millis(1500),
            resilience: Resilience::default(),
            endpoints: BTreeMap::new(),
            files: None,
        };
        let written = snapshot(1, BTreeMap::from([(id, upstream)]));
        let json = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), written);
    }
}
