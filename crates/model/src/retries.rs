//! How often, and why, a request of a rule is tried again.

use serde::{Deserialize, Serialize};

/// The most that a request is tried again.
pub const MOST_RETRIES: u8 = 2;

/// When a request is tried again that may be done twice and has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// How often.
    pub most: RetryCount,
    /// When its connection ended before there was an answer.
    pub on_reset: bool,
    /// When the answer is 502, 503 or 504 and there is another endpoint.
    pub on_status: bool,
}

impl Retries {
    /// Whether it is what holds where nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            most: RetryCount(1),
            on_reset: true,
            on_status: true,
        }
    }
}

/// A number from 0 to [`MOST_RETRIES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct RetryCount(u8);

/// A number is not such a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request is tried again at most twice")]
pub struct BadRetryCount;

impl RetryCount {
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for RetryCount {
    type Error = BadRetryCount;
    fn try_from(number: u8) -> Result<Self, BadRetryCount> {
        match number <= MOST_RETRIES {
            true => Ok(Self(number)),
            false => Err(BadRetryCount),
        }
    }
}

impl From<RetryCount> for u8 {
    fn from(count: RetryCount) -> Self {
        count.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_from_the_wire_are_within_their_bounds() {
        let read = |most: u16| {
            let text = format!(r#"{{"most":{most},"on_reset":true,"on_status":true}}"#);
            serde_json::from_str::<Retries>(&text)
        };
        assert_eq!(read(1).unwrap(), Retries::default());
        assert!(read(0).is_ok() && read(2).is_ok());
        assert!(read(3).is_err() && read(256).is_err());
    }
}
