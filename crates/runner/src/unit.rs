//! The name of something that runs under a shim, and which of its starts is meant.

use std::fmt;

use model::InstanceId;
use serde::{Deserialize, Serialize};

/// No unit's name has more bytes. An instance's has at most 113.
const LONGEST: usize = 120;

/// Names what runs under a shim: an instance (`shop.web.3.1`), or a part of Roadbed (`proxy`).
/// Safe as a part of a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

/// A text does not name a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a unit's name has 1 to {LONGEST} lower-case letters, digits, hyphens and dots, and begins \
     and ends with a letter or digit, unlike {0:?}"
)]
pub struct BadUnitName(String);

impl UnitName {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, BadUnitName> {
        let text = text.into();
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        let bytes = text.as_bytes();
        let good = bytes.len() <= LONGEST
            && bytes.iter().copied().all(inner)
            && outer(bytes.first())
            && outer(bytes.last());
        if good {
            Ok(Self(text))
        } else {
            Err(BadUnitName(text))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&InstanceId> for UnitName {
    fn from(id: &InstanceId) -> Self {
        Self::new(id.to_string()).expect("an instance's name has only a unit name's characters")
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for UnitName {
    type Error = BadUnitName;
    fn try_from(text: String) -> Result<Self, BadUnitName> {
        Self::new(text)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0
    }
}

/// One start of a unit. Its folder and its mark in the environment are written `UNIT.ATTEMPT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Start {
    pub(crate) unit: UnitName,
    pub(crate) attempt: u32,
}

impl Start {
    /// Reads what `Display` writes; anything else is nothing of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (unit, attempt) = text.rsplit_once('.')?;
        let start = Self {
            unit: UnitName::new(unit).ok()?,
            attempt: attempt.parse().ok()?,
        };
        (start.to_string() == text).then_some(start)
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.unit, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_name_is_safe_as_a_file_name() {
        for good in ["proxy", "shop.web.3.1", "a-b.c", "9"] {
            assert_eq!(UnitName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "", ".", "..", ".a", "a.", "-a", "A", "a/b", "a_b", "a b", "a\0", "é",
        ] {
            assert!(UnitName::new(bad).is_err(), "{bad:?}");
        }
        assert!(UnitName::new("a".repeat(121)).is_err());
    }

    #[test]
    fn every_instance_has_a_unit_name() {
        let name = "a".repeat(model::names::LONGEST_NAME);
        let id: InstanceId = format!("{name}.{name}.{}.{}", u64::MAX, u32::MAX)
            .parse()
            .unwrap();
        assert_eq!(UnitName::from(&id).as_str(), id.to_string());
    }

    #[test]
    fn a_start_reads_back_as_written_and_has_one_spelling() {
        let start = Start {
            unit: UnitName::new("shop.web.3.1").unwrap(),
            attempt: 7,
        };
        assert_eq!(Start::parse(&start.to_string()), Some(start));
        for bad in [
            "", "proxy", "proxy.", "proxy.x", "proxy.01", "proxy.+1", ".1", "proxy.-1",
        ] {
            assert_eq!(Start::parse(bad), None, "{bad:?}");
        }
    }
}
