//! What a rule of the edge changes in requests and answers, and what it answers itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fields::{FieldName, FieldValue};
use crate::host::Host;
use crate::paths::{ExactPath, PathPrefix, Template};
use crate::rate_limit::RateLimit;
use crate::resilience::Priority;
use crate::retries::Retries;

/// What is changed in a request that is sent to a service, and in its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// The path that the service sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<PathChange>,
    /// Fields of the request.
    #[serde(default, skip_serializing_if = "FieldChanges::is_empty")]
    pub request_headers: FieldChanges,
    /// Fields of the answer.
    #[serde(default, skip_serializing_if = "FieldChanges::is_empty")]
    pub response_headers: FieldChanges,
    /// How long a request waits for the head of its answer, in place of the service's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many bytes the content of a request may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<u64>,
    /// How long a request may take, from its head to the end of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// The longest silence within the content of a request or an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// How often a request may be tried again.
    #[serde(default, skip_serializing_if = "Retries::is_usual")]
    pub retries: Retries,
    /// How many requests are let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Which requests are refused first when the service has too many.
    #[serde(default, skip_serializing_if = "Priority::is_usual")]
    pub priority: Priority,
    /// Answers are compressed for clients that take that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// Answers have fields that make browsers careful, where their service does not say them itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub security_headers: bool,
}

/// What becomes of a path; the query stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChange {
    /// This stands in place of the prefix that the rule is for.
    Prefix(PathPrefix),
    /// This stands in place of all of it.
    Whole(ExactPath),
    /// This does, with what the rule's template has found under the same names.
    Template(Template),
}

/// What becomes of fields: first those of `remove` and `set` go, then those of `set` and `add` come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChanges {
    /// Fields that there is one of then, of this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<FieldName, FieldValue>,
    /// Fields that come beside those that are there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<FieldName, FieldValue>,
    /// Fields that go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove: BTreeSet<FieldName>,
}

impl FieldChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether fields of this name, in any case, do not stay.
    pub fn drops(&self, name: &[u8]) -> bool {
        let is = |other: &FieldName| other.as_str().as_bytes().eq_ignore_ascii_case(name);
        self.remove.iter().chain(self.set.keys()).any(is)
    }

    /// The fields that come, by name and value.
    pub fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        let added = self.set.iter().chain(&self.add);
        added.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Where a client is told to ask. What is not said stays as the client has asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// How it is told.
    pub status: RedirectStatus,
    /// In TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub https: bool,
    /// This host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// This port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// This path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathChange>,
}

/// The status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RedirectStatus {
    /// 301: for good; clients may ask by GET.
    MovedPermanently,
    /// 302: for now; clients may ask by GET.
    Found,
    /// 307: for now, by the same method.
    TemporaryRedirect,
    /// 308: for good, by the same method.
    PermanentRedirect,
}

/// A number is not the status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the status of a redirect is 301, 302, 307 or 308")]
pub struct BadRedirectStatus;

impl TryFrom<u16> for RedirectStatus {
    type Error = BadRedirectStatus;
    fn try_from(status: u16) -> Result<Self, BadRedirectStatus> {
        match status {
            301 => Ok(Self::MovedPermanently),
            302 => Ok(Self::Found),
            307 => Ok(Self::TemporaryRedirect),
            308 => Ok(Self::PermanentRedirect),
            _ => Err(BadRedirectStatus),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        match status {
            RedirectStatus::MovedPermanently => 301,
            RedirectStatus::Found => 302,
            RedirectStatus::TemporaryRedirect => 307,
            RedirectStatus::PermanentRedirect => 308,
        }
    }
}
