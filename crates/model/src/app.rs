//! The validated app: what a `roadbed.toml` means once nothing in it is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error_pages::ErrorPages;
use crate::file_path::FilePath;
use crate::names::{AppName, ServiceName, VolumeName};
use crate::paths::is_segment;
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

/// A program and its arguments, not yet expanded; never empty, never run by a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Command(Vec<String>);

/// A command has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a command needs at least the name of a program")]
pub struct EmptyCommand;

impl Command {
    /// A command of `words`, the first of which is the program.
    pub fn new(words: Vec<String>) -> Result<Self, EmptyCommand> {
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self(words)),
            _ => Err(EmptyCommand),
        }
    }

    /// The program and its arguments. `$NAME` and `${NAME}` in them stand for variables of the
    /// instance's environment and `$$` for a dollar sign.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Command {
    type Error = EmptyCommand;
    fn try_from(words: Vec<String>) -> Result<Self, EmptyCommand> {
        Self::new(words)
    }
}

impl From<Command> for Vec<String> {
    fn from(command: Command) -> Self {
        command.0
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As it could be written in a shell, so that it shows where each word ends.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+$".contains(&b);
        for (place, word) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { " " };
            match !word.is_empty() && word.bytes().all(is_plain) {
                true => write!(f, "{separator}{word}")?,
                false => write!(f, "{separator}'{}'", word.replace('\'', r"'\''"))?,
            }
        }
        Ok(())
    }
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

/// A host name in lower case, without port: what a request's `Host` is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

/// A text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host is a DNS name of at most 253 characters: labels of letters, digits and hyphens \
     joined by dots, without port or scheme"
)]
pub struct BadHost;

impl Host {
    /// Checks `text`, which may be in any case.
    pub fn new(text: &str) -> Result<Self, BadHost> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(BadHost);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The host in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Host {
    type Error = BadHost;
    fn try_from(text: String) -> Result<Self, BadHost> {
        Self::new(&text)
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0
    }
}

/// A path that begins with `/` and does not end with one, unless it is `/` itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(String);

/// A text is not a path prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a path begins with \"/\" and has no empty, \".\" or \"..\" segment, query, fragment, \
     space or control character"
)]
pub struct BadPath;

impl PathPrefix {
    /// Checks `text`; one `/` at its end is dropped, since `/api` and `/api/` match alike.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        let inner = text.strip_prefix('/').ok_or(BadPath)?;
        if inner.is_empty() {
            return Ok(Self::root());
        }
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if text.len() > 1024 || !inner.split('/').all(is_segment) {
            return Err(BadPath);
        }
        Ok(Self(format!("/{inner}")))
    }

    /// The prefix of every path.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path` is this prefix or lies below it, by whole segments: `/api` matches `/api`
    /// and `/api/1`, not `/apis`.
    pub fn matches(&self, path: &str) -> bool {
        if self.0 == "/" {
            return path.starts_with('/');
        }
        match path.strip_prefix(&self.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = BadPath;
    fn try_from(text: String) -> Result<Self, BadPath> {
        Self::new(&text)
    }
}

impl From<PathPrefix> for String {
    fn from(path: PathPrefix) -> Self {
        path.0
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments() {
        let api = PathPrefix::new("/api/").unwrap();
        assert_eq!(api.as_str(), "/api");
        assert!(api.matches("/api") && api.matches("/api/1"));
        assert!(!api.matches("/apis") && !api.matches("/"));
        assert!(PathPrefix::root().matches("/anything"));
    }

    #[test]
    fn a_prefix_cannot_climb_or_carry_a_query() {
        for bad in ["", "api", "/a/../b", "/a//b", "/a?b", "/a#b", "/a b", "/."] {
            assert!(PathPrefix::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_host_is_a_dns_name_in_lower_case() {
        assert_eq!(
            Host::new("Shop.Localhost").unwrap().as_str(),
            "shop.localhost"
        );
        for bad in [
            "", "a..b", "-a", "a-", "a:80", "http://a", "a/b", "a_b", "*.a",
        ] {
            assert!(Host::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_command_reads_as_in_a_shell() {
        let words = ["sh", "-c", "a; b 'c'", ""].map(str::to_owned).to_vec();
        let command = Command::new(words).unwrap();
        assert_eq!(command.to_string(), r"sh -c 'a; b '\''c'\''' ''");
    }

    #[test]
    fn a_command_is_never_empty() {
        assert!(Command::new(vec![]).is_err());
        assert!(Command::new(vec![String::new()]).is_err());
        assert!(serde_json::from_str::<Command>("[]").is_err());
    }
}
