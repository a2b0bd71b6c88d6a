//! `[[routes]]` as written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::mirror::Mirror;
use super::quantities::{DurationText, SizeText};
use super::rate_limit::RateLimit;
use crate::limits;
use crate::written::{Described, Table, Written};

/// Requests of one kind, and what the edge does with them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// The host that a request must name: one, all below a domain (`*.example.com`), or any (`*`).
    pub(crate) host: Written<String>,
    /// The path that a request's path must begin with, by whole segments.
    #[serde(default)]
    #[schemars(extend("default" = "/"))]
    pub(crate) path: Written<String>,
    /// The path that a request must have, instead of one that it begins with.
    #[serde(default)]
    pub(crate) exact: Written<String>,
    /// The segments that a request's path must have: `{name}` stands for any one, `{name...}` at
    /// the end for all that follow.
    #[serde(default)]
    pub(crate) template: Written<String>,
    /// The methods that it is for. Without them: all.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) methods: Written<Vec<Written<String>>>,
    /// Fields that a request must have.
    #[serde(default)]
    pub(crate) headers: Written<Table<ConditionText>>,
    /// Parameters that its query must have.
    #[serde(default)]
    pub(crate) query: Written<Table<ConditionText>>,
    /// Cookies that it must have.
    #[serde(default)]
    pub(crate) cookies: Written<Table<ConditionText>>,
    /// The service that requests are sent to, or several that share them.
    #[serde(default)]
    pub(crate) to: Written<Destination>,
    /// Where clients are told to ask instead.
    #[serde(default)]
    pub(crate) redirect: Written<Redirect>,
    /// The path that the service sees.
    #[serde(default)]
    pub(crate) rewrite: Written<Rewrite>,
    /// What is changed in the fields of requests.
    #[serde(default)]
    pub(crate) request_headers: Written<HeaderChanges>,
    /// What is changed in the fields of answers.
    #[serde(default)]
    pub(crate) response_headers: Written<HeaderChanges>,
    /// How long a request waits for the head of its answer. Without it: as the service says.
    #[serde(default)]
    pub(crate) timeout: Written<DurationText>,
    /// How much content a request may have.
    #[serde(default)]
    pub(crate) body_limit: Written<SizeText>,
    /// Where copies of requests go.
    #[serde(default)]
    pub(crate) mirror: Written<Mirror>,
    /// How long a request may take, from its head to the end of its answer.
    #[serde(default)]
    pub(crate) deadline: Written<DurationText>,
    /// The longest silence within the content of a request or an answer.
    #[serde(default)]
    pub(crate) idle_timeout: Written<DurationText>,
    /// How often a request may be tried again, where that does no harm.
    #[serde(default)]
    #[schemars(
        range(min = limits::RETRIES.least, max = limits::RETRIES.most),
        extend("default" = limits::RETRIES.usual)
    )]
    pub(crate) retries: Written<i64>,
    /// After what it is tried again: the end of its connection, or an answer of 502 to 504.
    #[serde(default)]
    #[schemars(extend(
        "uniqueItems" = true,
        "default" = limits::RETRIED,
        "items" = { "enum": limits::RETRIED }
    ))]
    pub(crate) retry_on: Written<Vec<Written<String>>>,
    /// How many requests are let through; others are answered with 429.
    #[serde(default)]
    pub(crate) rate_limit: Written<RateLimit>,
    /// Which requests are refused first when a service has too many.
    #[serde(default)]
    #[schemars(extend("enum" = limits::PRIORITIES, "default" = limits::PRIORITIES[1]))]
    pub(crate) priority: Written<String>,
    /// Whether answers are compressed for clients that take that.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) compress: Written<bool>,
    /// Whether answers have fields that make browsers careful, where the service has none of them.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) security_headers: Written<bool>,
}

/// What is asked of a value: to be a certain text, or what a table says.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum ConditionText {
    /// The value.
    Exact(String),
    /// Another test.
    Table(Condition),
}

/// What is asked of a value: exactly one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct Condition {
    /// The value.
    #[serde(default)]
    pub(crate) exact: Written<String>,
    /// What the value begins with.
    #[serde(default)]
    pub(crate) prefix: Written<String>,
    /// That it is there is enough.
    #[serde(default)]
    #[schemars(extend("const" = true))]
    pub(crate) present: Written<bool>,
}

/// Where requests go.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Destination {
    /// To this service.
    One(String),
    /// To one of these, at random.
    Shares(#[schemars(length(min = 1))] Vec<Written<Share>>),
}

/// Where clients are told to ask. What is not said stays as they have asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(crate) struct Redirect {
    /// How they are told.
    #[serde(default)]
    #[schemars(extend("enum" = limits::REDIRECTS, "default" = limits::REDIRECTS[1]))]
    pub(crate) status: Written<i64>,
    /// In TLS. Such a route is for requests in the clear only.
    #[serde(default)]
    #[schemars(extend("const" = true))]
    pub(crate) https: Written<bool>,
    /// Another host.
    #[serde(default)]
    pub(crate) host: Written<String>,
    /// Another port.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: Written<i64>,
    /// What stands in place of the route's `path`.
    #[serde(default)]
    pub(crate) prefix: Written<String>,
    /// What stands in place of the whole path.
    #[serde(default)]
    pub(crate) path: Written<String>,
}

/// The path that the service sees: exactly one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct Rewrite {
    /// What stands in place of the route's `path`; `/` strips it.
    #[serde(default)]
    pub(crate) prefix: Written<String>,
    /// What stands in place of the whole path.
    #[serde(default)]
    pub(crate) path: Written<String>,
}

/// What is changed in fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(crate) struct HeaderChanges {
    /// Fields with this value, in place of all of their name.
    #[serde(default)]
    pub(crate) set: Written<Table<String>>,
    /// Fields with this value, beside those of their name.
    #[serde(default)]
    pub(crate) add: Written<Table<String>>,
    /// Fields that are left out.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) remove: Written<Vec<Written<String>>>,
}

/// One of the services that share requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    /// The service.
    pub(crate) service: Written<String>,
    /// How much of the sum of all weights it gets.
    #[schemars(range(min = limits::WEIGHT.least, max = limits::WEIGHT.most))]
    pub(crate) weight: Written<i64>,
}

impl<'de> Deserialize<'de> for ConditionText {
    // By hand, as for commands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ConditionText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(ConditionText::DESCRIPTION)
            }
            fn visit_str<E>(self, text: &str) -> Result<ConditionText, E> {
                Ok(ConditionText::Exact(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ConditionText, A::Error> {
                let table = Condition::deserialize(MapAccessDeserializer::new(table))?;
                Ok(ConditionText::Table(table))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Destination {
    // By hand, as for commands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Destination;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(Destination::DESCRIPTION)
            }
            fn visit_str<E>(self, service: &str) -> Result<Destination, E> {
                Ok(Destination::One(service.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Destination, A::Error> {
                let mut shares = Vec::new();
                while let Some(share) = list.next_element()? {
                    shares.push(share);
                }
                Ok(Destination::Shares(shares))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Described for Vec<Written<Route>> {
    const DESCRIPTION: &'static str = "tables, each of which begins with [[routes]]";
}

impl Described for Route {
    const DESCRIPTION: &'static str = "tables, each of which begins with [[routes]]";
}

impl Described for Table<ConditionText> {
    const DESCRIPTION: &'static str = "a table such as { version = \"2\" }";
}

impl Described for ConditionText {
    const DESCRIPTION: &'static str =
        "a value in quotation marks, or a table such as { prefix = \"v2\" }";
}

impl Described for Redirect {
    const DESCRIPTION: &'static str = "a table such as { prefix = \"/new\", status = 308 }";
}

impl Described for Rewrite {
    const DESCRIPTION: &'static str = "a table such as { prefix = \"/\" }";
}

impl Described for HeaderChanges {
    const DESCRIPTION: &'static str = "a table such as { set = { x-version = \"2\" } }";
}

impl Described for Destination {
    const DESCRIPTION: &'static str =
        "a service in quotation marks, or a list such as [{ service = \"web\", weight = 90 }]";
}

impl Described for Share {
    const DESCRIPTION: &'static str = "tables such as { service = \"web\", weight = 90 }";
}
