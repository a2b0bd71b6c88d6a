//! What a service says of balancing and overload, as written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::quantities::DurationText;
use crate::duration;
use crate::limits;
use crate::written::{Described, Written};

/// Which instance a request goes to: a name, or a table that says which requests stay together.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum BalanceText {
    /// A way that looks at the instances alone.
    Policy(#[schemars(extend("enum" = limits::BALANCES, "default" = limits::BALANCES[0]))] String),
    /// Requests that are alike go to the same instance.
    Sticky(Sticky),
}

/// What requests are alike in that go to the same instance: exactly one of `header`, `cookie`,
/// `client_address` and `path`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["header"] },
    { "required": ["cookie"] },
    { "required": ["client_address"] },
    { "required": ["path"] },
]))]
pub(crate) struct Sticky {
    /// The value of this field.
    #[serde(default)]
    pub(crate) header: Written<String>,
    /// The value of this cookie.
    #[serde(default)]
    pub(crate) cookie: Written<String>,
    /// The address that they come from, at the edge.
    #[serde(default)]
    #[schemars(extend("const" = true))]
    pub(crate) client_address: Written<bool>,
    /// Their path, without the query.
    #[serde(default)]
    #[schemars(extend("const" = true))]
    pub(crate) path: Written<bool>,
    /// An instance that has a quarter more to do than the average is passed over.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) bounded: Written<bool>,
}

/// When requests are refused because there are too many: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct Overload {
    /// When answers take longer than this on average.
    #[serde(default)]
    pub(crate) latency: Written<DurationText>,
    /// Never.
    #[serde(default)]
    #[schemars(extend("const" = false))]
    pub(crate) refuse: Written<bool>,
}

/// How many requests are with the instances at a time, and how long connections to them are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub(crate) struct Connections {
    /// So many requests, or connections of "tcp", are with the instances at a time. Without it: any
    /// number.
    #[serde(default)]
    #[schemars(range(min = limits::CONNECTIONS.least, max = limits::CONNECTIONS.most))]
    pub(crate) most: Written<i64>,
    /// So many more wait for their turn.
    #[serde(default)]
    #[schemars(
        range(min = limits::WAITING.least, max = limits::WAITING.most),
        extend("default" = limits::WAITING.usual)
    )]
    pub(crate) waiting: Written<i64>,
    /// For so long.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::CONNECTION_WAIT.usual)))]
    pub(crate) wait: Written<DurationText>,
    /// How long a connection to an instance waits for its next request.
    #[serde(default)]
    #[schemars(extend("default" = duration::text(limits::CONNECTION_IDLE.usual)))]
    pub(crate) idle: Written<DurationText>,
    /// How old a connection becomes at most; a request on it is finished. Without it: any age.
    #[serde(default)]
    pub(crate) lifetime: Written<DurationText>,
}

/// When a request that waits for its answer is sent a second time, to another instance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["after"]))]
pub(crate) struct Hedge {
    /// After this wait: a duration, or a percentile such as "p95" of how long answers take.
    #[serde(default)]
    #[schemars(pattern(limits::HEDGE_PATTERN))]
    pub(crate) after: Written<String>,
    /// Calls of gRPC for which it is harmless: `/package.Service/Method`, or `/package.Service/*` for
    /// all of a service.
    #[serde(default)]
    pub(crate) calls: Written<Vec<Written<String>>>,
}

impl Described for Hedge {
    const DESCRIPTION: &'static str = "a table such as { after = \"p95\" }";
}

impl Described for Connections {
    const DESCRIPTION: &'static str = "a table such as { most = 20 }";
}

impl<'de> Deserialize<'de> for BalanceText {
    // By hand, as for commands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = BalanceText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(BalanceText::DESCRIPTION)
            }
            fn visit_str<E>(self, policy: &str) -> Result<BalanceText, E> {
                Ok(BalanceText::Policy(policy.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<BalanceText, A::Error> {
                let table = Sticky::deserialize(MapAccessDeserializer::new(table))?;
                Ok(BalanceText::Sticky(table))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Described for BalanceText {
    const DESCRIPTION: &'static str =
        "a way in quotation marks, such as \"round-robin\", or a table such as { cookie = \"id\" }";
}

impl Described for Overload {
    const DESCRIPTION: &'static str = "a table such as { latency = \"500ms\" }";
}
