//! How many requests a rule of the edge lets through.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fields::FieldName;

/// The most requests of a rate, and the largest burst. Their product with the longest period stays
/// within 64 bits of nanoseconds.
pub const MOST_REQUESTS: u32 = 1_000_000;

/// A token bucket for each of those who ask: it fills by `requests` in each `per`, up to `burst`,
/// and each request takes one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Tokens that come in each period.
    pub requests: RequestCount,
    /// The period.
    pub per: Period,
    /// Tokens that a bucket has room for.
    pub burst: RequestCount,
    /// Which requests share a bucket.
    pub by: Caller,
}

impl RateLimit {
    /// The time in which one token comes, in nanoseconds; at least one.
    pub fn interval(&self) -> u64 {
        let period = u64::try_from(self.per.length().as_nanos()).unwrap_or(u64::MAX);
        (period / u64::from(self.requests.get())).max(1)
    }
}

/// A number of requests from 1 to [`MOST_REQUESTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RequestCount(NonZeroU32);

/// A number is not such a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number of requests is from 1 to 1,000,000")]
pub struct BadRequestCount;

impl RequestCount {
    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for RequestCount {
    type Error = BadRequestCount;
    fn try_from(number: u32) -> Result<Self, BadRequestCount> {
        match NonZeroU32::new(number) {
            Some(count) if number <= MOST_REQUESTS => Ok(Self(count)),
            _ => Err(BadRequestCount),
        }
    }
}

impl From<RequestCount> for u32 {
    fn from(count: RequestCount) -> Self {
        count.get()
    }
}

/// A period of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Period {
    /// How long it is.
    pub fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }
}

/// Which requests share a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// All of a client's address; of IPv6 its first 64 bits.
    Address,
    /// All that have the same value of this field. Those without one share by address.
    Header(FieldName),
    /// All that have the same value of this cookie. Those without one share by address.
    Cookie(String),
    /// All of the rule.
    Route,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_from_the_wire_is_within_its_bounds() {
        let read = |requests: u64, burst: u64| {
            let text = format!(
                r#"{{"requests":{requests},"per":"minute","burst":{burst},"by":"address"}}"#
            );
            serde_json::from_str::<RateLimit>(&text)
        };
        assert_eq!(read(60, 1).unwrap().interval(), 1_000_000_000);
        assert_eq!(read(1_000_000, 1_000_000).unwrap().interval(), 60_000);
        for (requests, burst) in [(0, 1), (1, 0), (1_000_001, 1), (1, 1_000_001), (1 << 32, 1)] {
            assert!(read(requests, burst).is_err(), "{requests} {burst}");
        }
    }
}
