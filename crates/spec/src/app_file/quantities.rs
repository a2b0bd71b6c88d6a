//! Spans of time and numbers of bytes as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits;
use crate::written::Described;

/// A span of time as text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct DurationText(
    /// Whole numbers with the units `h`, `m`, `s` and `ms`, such as `1m30s`.
    #[schemars(pattern(limits::DURATION_PATTERN))]
    pub(crate) String,
);

/// A number of bytes as text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct SizeText(
    /// A whole number with the unit `B`, `KiB`, `MiB` or `GiB`, such as `10MiB`.
    #[schemars(pattern(limits::SIZE_PATTERN))]
    pub(crate) String,
);

impl Described for DurationText {
    const DESCRIPTION: &'static str = "a duration in quotation marks, such as \"30s\"";
}

impl Described for SizeText {
    const DESCRIPTION: &'static str = "a size in quotation marks, such as \"10MiB\"";
}
