//! What clients speak to a proxy.

/// One of these for a whole scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// HTTP/1.1 in TLS.
    Tls,
    /// HTTP/2 in clear text, with prior knowledge.
    H2,
    /// HTTP/2 in TLS.
    H2Tls,
    /// HTTP/2 in clear text, to a backend that speaks it too. To all others it is HTTP/1.1.
    Grpc,
}

impl Protocol {
    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::H2Tls)
    }

    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::H2 | Self::H2Tls | Self::Grpc)
    }

    /// How a URL for it begins.
    pub(crate) fn scheme(self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }
}
