//! What the files say that a release names for TLS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::Host;
use crate::names::ServiceName;
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
