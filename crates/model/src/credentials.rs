//! What the files say that a release names for TLS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::names::ServiceName;
use crate::routing::HostPattern;
use crate::snapshot::{Authority, Certificate};

/// The certificates and authorities of one release, as they were last found to be good. They are
/// kept beside the release, since what is served must not depend on files that may be gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// What each host is proven with that is served in TLS.
    pub certificates: BTreeMap<Host, Certificate>,
    /// Who may have signed the certificates of the instances of a service.
    pub authorities: BTreeMap<ServiceName, Authority>,
}

impl Credentials {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.authorities.is_empty()
    }
}

impl HostPattern {
    /// Whether a name that a certificate has, whose wildcard is for one label, holds for all of
    /// these hosts as far as a name can.
    pub fn is_named_by(&self, name: &Self) -> bool {
        match (self, name) {
            (Self::Exact(host), Self::Below(domain)) => {
                let parent = host.as_str().split_once('.').map(|(_, parent)| parent);
                parent == Some(domain.as_str())
            }
            (this, name) => this == name && *this != Self::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_of_a_certificate_is_for_one_label() {
        let named = |host: &str, name: &str| {
            let pattern = |text: &str| HostPattern::new(text).unwrap();
            pattern(host).is_named_by(&pattern(name))
        };
        for (host, name) in [
            ("a.test", "a.test"),
            ("x.a.test", "*.a.test"),
            ("*.a.test", "*.a.test"),
        ] {
            assert!(named(host, name), "{host} {name}");
        }
        for (host, name) in [
            ("a.test", "*.a.test"),
            ("y.x.a.test", "*.a.test"),
            ("*.x.a.test", "*.a.test"),
            ("*.a.test", "a.test"),
            ("*", "*.a.test"),
        ] {
            assert!(!named(host, name), "{host} {name}");
        }
    }
}
