//! `rate_limit` of a route as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits;
use crate::written::{Described, Written};

/// How many requests are let through.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// How many requests there may be in each period, on average.
    #[schemars(range(min = 1, max = limits::MOST_REQUESTS))]
    pub(crate) requests: Written<i64>,
    /// The period.
    #[serde(default)]
    #[schemars(extend("enum" = limits::PERIODS, "default" = limits::PERIODS[0]))]
    pub(crate) per: Written<String>,
    /// How many there may be at once. Without it: as many as in a period.
    #[serde(default)]
    #[schemars(range(min = 1, max = limits::MOST_REQUESTS))]
    pub(crate) burst: Written<i64>,
    /// Whose requests are counted together: those of a client's address, or all of the route.
    #[serde(default)]
    #[schemars(extend("enum" = limits::CALLERS, "default" = limits::CALLERS[0]))]
    pub(crate) by: Written<String>,
    /// Instead of `by`: those that have the same value of this field.
    #[serde(default)]
    pub(crate) header: Written<String>,
    /// Instead of `by`: those that have the same value of this cookie.
    #[serde(default)]
    pub(crate) cookie: Written<String>,
}

impl Described for RateLimit {
    const DESCRIPTION: &'static str = "a table such as { requests = 10, per = \"second\" }";
}
