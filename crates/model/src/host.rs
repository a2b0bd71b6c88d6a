//! Names of hosts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A host name in lower case, without port: what a request's `Host` is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

/// A text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host is a DNS name of at most 253 characters: labels of letters, digits and hyphens \
     joined by dots, without port or scheme"
)]
pub struct BadHost;

impl Host {
    /// Checks `text`, which may be in any case.
    pub fn new(text: &str) -> Result<Self, BadHost> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > 253 || !text.split('.').all(label) {
            return Err(BadHost);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The host in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Host {
    type Error = BadHost;
    fn try_from(text: String) -> Result<Self, BadHost> {
        Self::new(&text)
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_dns_name_in_lower_case() {
        assert_eq!(
            Host::new("Shop.Localhost").unwrap().as_str(),
            "shop.localhost"
        );
        for bad in [
            "", "a..b", "-a", "a-", "a:80", "http://a", "a/b", "a_b", "*.a",
        ] {
            assert!(Host::new(bad).is_err(), "{bad:?}");
        }
    }
}
