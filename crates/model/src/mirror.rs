//! Copies of requests that a rule of the edge sends to another service.

use serde::{Deserialize, Serialize};

/// The most content that a copied request may have, in bytes.
pub const MOST_MIRRORED_BODY: u32 = 64 * 1024;

/// Some requests of a rule go to another service too, whose answers nobody sees; `S` is what names
/// a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror<S> {
    /// The service.
    pub service: S,
    /// How many of a hundred requests.
    pub percent: Percent,
    /// Also those of methods that may change something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsafe_methods: bool,
    /// The most content of a request that is copied, in bytes.
    pub body_limit: MirroredBody,
}

impl<S> Mirror<S> {
    /// The same with another name for the service.
    pub fn map<T>(&self, name: impl Fn(&S) -> T) -> Mirror<T> {
        Mirror {
            service: name(&self.service),
            percent: self.percent,
            unsafe_methods: self.unsafe_methods,
            body_limit: self.body_limit,
        }
    }
}

/// A share from 1 to 100 of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A number of bytes up to [`MOST_MIRRORED_BODY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MirroredBody(u32);

/// A number is not one that a mirror can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMirror {
    /// A share is not one of a hundred.
    #[error("a share of requests is from 1 to 100 percent")]
    Percent,
    /// More content would have to be kept than is.
    #[error("content of up to 64 KiB is kept to be copied")]
    Body,
}

impl Percent {
    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = BadMirror;
    fn try_from(number: u8) -> Result<Self, BadMirror> {
        match (1..=100).contains(&number) {
            true => Ok(Self(number)),
            false => Err(BadMirror::Percent),
        }
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl MirroredBody {
    /// The number of bytes.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for MirroredBody {
    type Error = BadMirror;
    fn try_from(number: u32) -> Result<Self, BadMirror> {
        match number <= MOST_MIRRORED_BODY {
            true => Ok(Self(number)),
            false => Err(BadMirror::Body),
        }
    }
}

impl From<MirroredBody> for u32 {
    fn from(body: MirroredBody) -> Self {
        body.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_from_the_wire_is_within_its_bounds() {
        let read = |percent: u32, limit: u32| {
            let text = format!(r#"{{"service":"web","percent":{percent},"body_limit":{limit}}}"#);
            serde_json::from_str::<Mirror<String>>(&text)
        };
        assert!(read(1, 0).is_ok() && read(100, 65_536).is_ok());
        for (percent, limit) in [(0, 0), (101, 0), (1, 65_537)] {
            assert!(read(percent, limit).is_err(), "{percent} {limit}");
        }
    }
}
