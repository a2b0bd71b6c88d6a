//! Which peers there are, and the name that all of them serve.

use std::str::FromStr;

/// The name that clients ask for. It resolves everywhere, and can stand in a certificate.
pub(crate) const HOST: &str = "localhost";

/// Whose cost is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What all others are compared with.
    Roadbed,
    /// Bytes both ways, with no look at them: the least that any proxy can cost.
    Relay,
    Haproxy,
    Nginx,
    Envoy,
    Caddy,
    Traefik,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Roadbed,
        Self::Relay,
        Self::Haproxy,
        Self::Nginx,
        Self::Envoy,
        Self::Caddy,
        Self::Traefik,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Roadbed => "roadbed",
            Self::Relay => "relay",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == name);
        named.ok_or(())
    }
}
