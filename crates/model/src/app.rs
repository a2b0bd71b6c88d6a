//! The validated app: what a `roadbed.toml` means once nothing in it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::error_pages::ErrorPages;
use crate::file_path::FilePath;
use crate::host::Host;
use crate::names::{AppName, ServiceName, VolumeName};
use crate::paths::PathPrefix;
use crate::resilience::Resilience;
use crate::routing::Rule;
use crate::static_files::Work;

/// Everything that one `roadbed.toml` declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// The app's name, unique on a server.
    pub name: AppName,
    /// Its services; every name in a service's `uses` is a key here.
    pub services: BTreeMap<ServiceName, Service>,
    /// What the edge does beside what its services expose, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Rule<ServiceName>>,
    /// What is shown in place of errors.
    #[serde(default, skip_serializing_if = "ErrorPages::is_empty")]
    pub error_pages: ErrorPages<FilePath>,
    /// Files and folders below the app's that are part of its releases whatever `.gitignore` says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub include: BTreeSet<FilePath>,
}

impl App {
    /// The hosts that are served in TLS, each with the files that it is proven with.
    pub fn certificates(&self) -> BTreeMap<&Host, &CertificateFiles> {
        let exposures = self.services.values().filter_map(|s| s.expose.as_ref());
        exposures
            .filter_map(|exposure| Some((&exposure.host, exposure.certificate.as_ref()?)))
            .collect()
    }

    /// Everything that the edge does for it: what its services expose, and its routes.
    pub fn rules(&self) -> impl Iterator<Item = Rule<ServiceName>> {
        let exposed = self.services.iter().filter_map(|(name, service)| {
            let exposure = service.expose.as_ref()?;
            let Exposure { host, path, .. } = exposure;
            let mut rule = Rule::exposing(host.clone(), path.clone(), name.clone());
            rule.treatment.compress = exposure.compress;
            rule.treatment.security_headers = exposure.security_headers;
            Some(rule)
        });
        exposed.chain(self.routes.iter().cloned())
    }

    /// Whether the edge does anything for it.
    pub fn is_exposed(&self) -> bool {
        !self.routes.is_empty() || self.services.values().any(|s| s.expose.is_some())
    }
}

/// A named, replicated part of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What does its work.
    #[serde(flatten)]
    pub work: Work,
    /// What is run in the app's folder before a release, where anything is.
    pub build: Option<Command>,
    /// How many instances should be ready: at least one of a program, none where there are only
    /// files.
    pub replicas: u16,
    /// The services that this one calls.
    pub uses: BTreeSet<ServiceName>,
    /// Where the edge serves this service, where it does.
    pub expose: Option<Exposure>,
    /// Variables set for every instance, as written.
    pub env: BTreeMap<String, String>,
    /// How an instance is known to be well.
    pub health: Health,
    /// What callers speak to it.
    pub protocol: Protocol,
    /// How its instances are verified, where they speak TLS.
    #[serde(default)]
    pub tls: Option<ServiceTls>,
    /// How long a caller waits for the head of an answer, from the end of its request.
    pub timeout: Duration,
    /// How requests are spread over its instances, and when they are refused.
    #[serde(default)]
    pub resilience: Resilience,
    /// How long an instance that is being removed may finish what it has begun.
    pub drain: Duration,
    /// Folders that outlive releases and instances; each path is injected as `NAME_DIR`.
    pub volumes: BTreeSet<VolumeName>,
}

/// What a service's callers speak to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP, routed and retried per request. Callers speak HTTP/1.1 or HTTP/2, instances HTTP/1.1.
    Http,
    /// As [`Self::Http`], but instances speak HTTP/2, in the clear with prior knowledge.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// Bytes, balanced per connection.
    Tcp,
}

impl Protocol {
    /// Whether it is a kind of HTTP, which is balanced by request and not by connection.
    pub fn is_http(self) -> bool {
        self != Self::Tcp
    }

    /// Its name in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

/// Where the edge serves a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// The host that a request must name.
    pub host: Host,
    /// The path that a request's path must begin with, by whole segments.
    pub path: PathPrefix,
    /// What the host is proven with, where it is served in TLS. It holds for every exposure of the
    /// host, whether that names it too or not.
    #[serde(default)]
    pub certificate: Option<CertificateFiles>,
    /// Answers are compressed for clients that take that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// Answers have fields that make browsers careful, where their service does not say them itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_headers: bool,
}

/// A certificate and its private key on disk, each in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The certificate, and after it those that lead to its authority.
    pub certificate: FilePath,
    /// Its private key.
    pub key: FilePath,
}

/// How the instances of a service that speak TLS are verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTls {
    /// The certificates of those who may have signed theirs, in PEM.
    pub authority: FilePath,
    /// The name that their certificate must have.
    pub name: Host,
}

/// How an instance is known to be well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// Time between two probes of an instance that is ready.
    pub interval: Duration,
    /// The absolute limit of one probe, from its start to its verdict.
    pub timeout: Duration,
    /// Failed probes in a row after which a ready instance is taken out of the routes.
    pub failures: u16,
    /// How long after its start an instance may take to become ready for the first time.
    pub deadline: Duration,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// A GET of this path answers with a status from 200 to 399.
    Http {
        /// Path and query, beginning with `/`.
        path: String,
    },
    /// The instance's port accepts a connection.
    Tcp,
    /// The standard health service of gRPC, `grpc.health.v1.Health`, says that it is serving.
    Grpc {
        /// What is asked about; the whole server if empty.
        service: String,
    },
    /// This command, run with the instance's environment and folder, exits with 0.
    Command(Command),
}
