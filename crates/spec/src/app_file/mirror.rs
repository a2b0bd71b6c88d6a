//! `mirror` of a route as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::quantities::SizeText;
use crate::limits;
use crate::written::{Described, Written};

/// Where copies of requests go, whose answers nobody sees.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    /// The service.
    pub(crate) service: Written<String>,
    /// How many of a hundred requests are copied.
    #[serde(default)]
    #[schemars(
        range(min = limits::PERCENT.least, max = limits::PERCENT.most),
        extend("default" = limits::PERCENT.usual)
    )]
    pub(crate) percent: Written<i64>,
    /// Also those that may change something: not only GET, HEAD and OPTIONS.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) unsafe_methods: Written<bool>,
    /// The most content of a request that is copied.
    #[serde(default)]
    #[schemars(extend("default" = "64KiB"))]
    pub(crate) body_limit: Written<SizeText>,
}

impl Described for Mirror {
    const DESCRIPTION: &'static str = "a table such as { service = \"next\", percent = 10 }";
}
