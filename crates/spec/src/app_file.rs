//! `roadbed.toml` as written: the one place that says which keys there are and of which type.
//!
//! The JSON Schema, the search for unknown keys and their suggestions all follow from these
//! types; the comments on the fields are the descriptions that editors show.

pub(crate) mod error_pages;
pub(crate) mod mirror;
pub(crate) mod quantities;
pub(crate) mod rate_limit;
pub(crate) mod resilience;
pub(crate) mod route;
pub(crate) mod static_files;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::duration;
use crate::limits;
use crate::written::{Described, Table, Written};

use error_pages::Page;
pub(crate) use quantities::{DurationText, SizeText};
use resilience::{BalanceText, Connections, Hedge, Overload};
use route::Route;
use static_files::Static;

/// What one app is made of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "roadbed.toml")]
pub(crate) struct AppFile {
    /// The app's name, unique on a server.
    #[schemars(length(min = 1, max = limits::LONGEST_NAME), pattern(limits::NAME_PATTERN))]
    pub(crate) app: Written<String>,
    /// The services of the app, each under its name.
    #[schemars(extend(
        "minProperties" = 1,
        "maxProperties" = limits::MOST_SERVICES,
        "propertyNames" = {
            "pattern": limits::NAME_PATTERN,
            "maxLength": limits::LONGEST_NAME,
        }
    ))]
    pub(crate) services: Written<Table<Service>>,
    /// What the edge does with requests beside what services expose, each a table `[[routes]]`.
    #[serde(default)]
    #[schemars(extend("maxItems" = limits::MOST_ROUTES))]
    pub(crate) routes: Written<Vec<Written<Route>>>,
    /// What is shown in place of errors, by status such as `404` or class such as `5xx`.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = model::error_pages::MOST_PAGES,
        "propertyNames" = { "pattern": "^[45]([0-9]{2}|xx)$" }
    ))]
    pub(crate) error_pages: Written<Table<Page>>,
    /// Files and folders below the app's that are packed into its releases although `.gitignore` or
    /// `.roadbedignore` leaves them out. What `run` and `static` name is packed anyway.
    #[serde(default)]
    #[schemars(extend("maxItems" = limits::MOST_INCLUDED, "uniqueItems" = true))]
    pub(crate) include: Written<Vec<Written<String>>>,
}

/// A named, replicated part of the app.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["run"] }, { "required": ["static"] }]))]
pub(crate) struct Service {
    /// The program of an instance and its arguments: a line that is split into words as a shell
    /// does, or a list of words. No shell runs. `$NAME` and `${NAME}` stand for variables of the
    /// instance's environment, `$$` for a dollar sign.
    #[serde(default)]
    pub(crate) run: Written<CommandText>,
    /// Instead of `run`: a folder whose files the edge serves itself, or a table with that and more.
    #[serde(default, rename = "static")]
    pub(crate) files: Written<Static>,
    /// A command that is run in the app's folder before a release is packed.
    #[serde(default)]
    pub(crate) build: Written<CommandText>,
    /// How many instances run.
    #[serde(default)]
    #[schemars(
        range(min = limits::REPLICAS.least, max = limits::REPLICAS.most),
        extend("default" = limits::REPLICAS.usual)
    )]
    pub(crate) replicas: Written<i64>,
    /// The services of this app that this one calls. The address of each is injected.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) uses: Written<Vec<Written<String>>>,
    /// Where the edge serves this service.
    #[serde(default)]
    pub(crate) expose: Written<Expose>,
    /// Variables that are set for every instance, as written.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": limits::VARIABLE_PATTERN }))]
    pub(crate) env: Written<Table<String>>,
    /// How an instance is known to be well. Without it: its port accepts a connection.
    #[serde(default)]
    pub(crate) health: Written<Health>,
    /// What callers speak to this service.
    #[serde(default)]
    #[schemars(extend("enum" = limits::PROTOCOLS, "default" = limits::PROTOCOLS[0]))]
    pub(crate) protocol: Written<String>,
    /// How the instances of this service are verified, if they speak TLS.
    #[serde(default)]
    pub(crate) tls: Written<Tls>,
    /// How long a caller waits for the head of an answer, from the end of its request.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::TIMEOUT.usual)))]
    pub(crate) timeout: Written<DurationText>,
    /// Which instance a request goes to.
    #[serde(default)]
    pub(crate) balance: Written<BalanceText>,
    /// When requests are refused because there are too many. Without it: when answers take far
    /// longer than they have to, and come near `timeout`.
    #[serde(default)]
    pub(crate) overload: Written<Overload>,
    /// How many requests are with the instances at a time, and how long connections to them are kept.
    #[serde(default)]
    pub(crate) connections: Written<Connections>,
    /// When a request that waits for its answer is sent a second time, to another instance. Without
    /// it: never.
    #[serde(default)]
    pub(crate) hedge: Written<Hedge>,
    /// How long an instance that is being removed may finish what it has begun.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::DRAIN.usual)))]
    pub(crate) drain: Written<DurationText>,
    /// Folders that outlive releases and instances; the path of `data` is injected as `DATA_DIR`.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) volumes: Written<Vec<Written<String>>>,
}

/// Where the edge serves a service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependencies" = { "certificate": ["key"], "key": ["certificate"] }))]
pub(crate) struct Expose {
    /// The host that a request must name, without scheme and port.
    pub(crate) host: Written<String>,
    /// The path that a request's path must begin with, by whole segments.
    #[serde(default)]
    #[schemars(extend("default" = "/"))]
    pub(crate) path: Written<String>,
    /// A file in PEM: the certificate of the host, and after it those that lead to its authority.
    /// With it the host is served in TLS too.
    #[serde(default)]
    pub(crate) certificate: Written<String>,
    /// A file in PEM: the private key of the certificate.
    #[serde(default)]
    pub(crate) key: Written<String>,
    /// Whether answers are compressed for clients that take that.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) compress: Written<bool>,
    /// Whether answers have fields that make browsers careful, where the service has none of them.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) security_headers: Written<bool>,
}

/// How the instances of a service that speak TLS are verified.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// A file in PEM: the certificates of those who may have signed the instances' certificates.
    pub(crate) authority: Written<String>,
    /// The name that the instances' certificate must have. Without it: the service's name.
    #[serde(default)]
    pub(crate) name: Written<String>,
}

/// How an instance is known to be well: exactly one of `path`, `tcp`, `grpc` and `command`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["path"] },
    { "required": ["tcp"] },
    { "required": ["grpc"] },
    { "required": ["command"] },
]))]
pub(crate) struct Health {
    /// A GET of this path and query is answered with a status from 200 to 399.
    #[serde(default)]
    pub(crate) path: Written<String>,
    /// The instance's port accepts a connection.
    #[serde(default)]
    #[schemars(extend("const" = true))]
    pub(crate) tcp: Written<bool>,
    /// The standard health service of gRPC says that this service is serving; that the whole
    /// server is, if it is empty.
    #[serde(default)]
    #[schemars(length(max = limits::LONGEST_PROBE_SERVICE))]
    pub(crate) grpc: Written<String>,
    /// This command, run with the instance's environment and folder, exits with 0.
    #[serde(default)]
    pub(crate) command: Written<CommandText>,
    /// Time between two probes of an instance that is ready.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::HEALTH_INTERVAL.usual)))]
    pub(crate) interval: Written<DurationText>,
    /// The limit of one probe, from its start to its verdict; not longer than `interval`.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::HEALTH_TIMEOUT.usual)))]
    pub(crate) timeout: Written<DurationText>,
    /// Failed probes in a row after which a ready instance is sent no more traffic.
    #[serde(default)]
    #[schemars(
        range(min = limits::HEALTH_FAILURES.least, max = limits::HEALTH_FAILURES.most),
        extend("default" = limits::HEALTH_FAILURES.usual)
    )]
    pub(crate) failures: Written<i64>,
    /// How long after its start an instance may take to become ready for the first time.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::HEALTH_DEADLINE.usual)))]
    pub(crate) deadline: Written<DurationText>,
}

/// A command: a line to be split into words, or the words.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum CommandText {
    /// Split as a shell splits words.
    Line(#[schemars(length(min = 1))] String),
    /// Taken as they are.
    Words(#[schemars(length(min = 1))] Vec<Written<String>>),
}

impl<'de> Deserialize<'de> for CommandText {
    // By hand, since an untagged enum buffers its input and so loses the places of the words.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = CommandText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(CommandText::DESCRIPTION)
            }
            fn visit_str<E>(self, line: &str) -> Result<CommandText, E> {
                Ok(CommandText::Line(line.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<CommandText, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(CommandText::Words(words))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Described for CommandText {
    const DESCRIPTION: &'static str = "a string or a list of strings";
}

impl Described for Table<Service> {
    const DESCRIPTION: &'static str = "a table for each service, such as [services.web]";
}

impl Described for Service {
    const DESCRIPTION: &'static str = "a table such as { run = \"./web\" }";
}

impl Described for Expose {
    const DESCRIPTION: &'static str = "a table such as { host = \"shop.localhost\" }";
}

impl Described for Tls {
    const DESCRIPTION: &'static str = "a table such as { authority = \"tls/ca.pem\" }";
}

impl Described for Health {
    const DESCRIPTION: &'static str = "a table such as { path = \"/healthz\" }";
}
