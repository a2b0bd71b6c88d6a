//! What the edge says of a request that its client did not say: where it came from, what it asked
//! for, and what it is called.

use std::net::IpAddr;

use model::TrustedHops;

use super::field_section::FieldSection;
use super::forwarded::Way;
use super::gateway_error::GatewayError;
use super::request_id::{REQUEST_ID, RequestId, RequestIds};
use super::route::Origin;
use super::target::split_port;
use crate::buffers::Buffer;
use crate::routing::Asked;
use crate::worker::{Listener, Worker};

/// What the edge says of one request.
#[derive(Debug)]
pub(crate) struct Attested<'a> {
    origin: &'a Origin,
    /// The way before the edge's own peer, where that is one of the trusted.
    way: Option<Box<Way>>,
    /// What it is called.
    pub(crate) id: RequestId,
}

impl<'a> Attested<'a> {
    /// What is said of `asked`, which came from `origin`.
    ///
    /// # Errors
    /// It goes in a circle.
    pub(crate) fn of(
        origin: &'a Origin,
        ids: &RequestIds,
        asked: &dyn Asked,
    ) -> Result<Self, GatewayError> {
        let Some(trusted) = &origin.trusted else {
            return Ok(Self {
                origin,
                way: None,
                id: ids.next(),
            });
        };
        Self::from_trusted(origin, trusted, ids, asked)
    }

    #[cold]
    fn from_trusted(
        origin: &'a Origin,
        trusted: &TrustedHops,
        ids: &RequestIds,
        asked: &dyn Asked,
    ) -> Result<Self, GatewayError> {
        let way = Way::read(origin.peer, trusted, asked);
        let way = way.map_err(|_| GatewayError::InCircle)?;
        let mut id = None;
        asked.any_field("x-request-id", &mut |value| {
            id = RequestId::read(value);
            true
        });
        Ok(Self {
            origin,
            way: Some(Box::new(way)),
            id: id.unwrap_or_else(|| ids.next()),
        })
    }

    /// The address of its client, as far as trusted hops vouch for it.
    pub(crate) fn client(&self) -> IpAddr {
        let first = self.way.as_ref().and_then(|way| way.addresses.first());
        first.copied().unwrap_or(self.origin.peer)
    }

    /// Whether its client spoke TLS, to us or to a trusted hop.
    pub(crate) fn is_secure(&self) -> bool {
        let said = self.way.as_ref().and_then(|way| way.is_secure);
        said.unwrap_or(self.origin.is_secure)
    }

    /// Writes all of it into the head of a request for `host`.
    pub(crate) fn write(&self, host: &[u8], out: &mut impl Fields) {
        let asked = self.way.as_ref().and_then(|way| way.host.as_deref());
        let host = asked.map_or(host, str::as_bytes);
        let (scheme, usual_port) = match self.is_secure() {
            true => (&b"https"[..], &b"443"[..]),
            false => (&b"http"[..], &b"80"[..]),
        };
        let said = self.way.as_ref().and_then(|way| way.port);
        let said = said.map(|port| port.to_string());
        let port = match (&said, split_port(host).1) {
            (Some(port), _) => port.as_bytes(),
            (None, Some(port)) if !port.is_empty() => port,
            (None, _) => usual_port,
        };
        match &self.way {
            None => {
                let Texts { address, node } = self.origin.texts();
                out.field(b"x-forwarded-for", [address.as_bytes(), b"", b""]);
                out.field(b"forwarded", [node.as_bytes(), b";proto=", scheme]);
            }
            Some(way) => {
                let text = addresses(&way.addresses);
                out.field(b"x-forwarded-for", [text.as_bytes(), b"", b""]);
                let (first, others) = nodes(&way.addresses);
                let start = format!("{first};proto=");
                out.field(b"forwarded", [start.as_bytes(), scheme, others.as_bytes()]);
            }
        }
        out.field(b"x-forwarded-proto", [scheme, b"", b""]);
        out.field(b"x-forwarded-port", [port, b"", b""]);
        if !host.is_empty() {
            out.field(b"x-forwarded-host", [host, b"", b""]);
        }
        out.field(REQUEST_ID, [self.id.as_bytes(), b"", b""]);
    }
}

/// What is said of `asked` where it came in, which is something at the edge alone.
pub(crate) fn attest<'a>(
    worker: &Worker,
    listener: &Listener,
    origin: &'a Origin,
    asked: &dyn Asked,
) -> Result<Option<Attested<'a>>, GatewayError> {
    match listener.is_edge() {
        true => Attested::of(origin, &worker.request_ids, asked).map(Some),
        false => Ok(None),
    }
}

/// A head that is being written, in either version of HTTP.
pub(crate) trait Fields {
    /// Adds a field, whose value has these parts.
    fn field(&mut self, name: &[u8], value: [&[u8]; 3]);
}

impl Fields for Buffer {
    fn field(&mut self, name: &[u8], [first, second, third]: [&[u8]; 3]) {
        self.append_parts([name, b": ", first, second, third, b"\r\n"]);
    }
}

impl Fields for FieldSection {
    fn field(&mut self, name: &[u8], value: [&[u8]; 3]) {
        let Ok(()) = self.push_with(|text| {
            text.extend_from_slice(name);
            value.iter().for_each(|part| text.extend_from_slice(part));
            Ok::<_, std::convert::Infallible>(name.len())
        });
    }
}

/// A peer's address, as the fields say it.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    /// For `X-Forwarded-For`.
    address: Box<str>,
    /// For `Forwarded`.
    node: Box<str>,
}

impl Texts {
    pub(crate) fn of(peer: IpAddr) -> Self {
        // A socket for both IP versions sees IPv4 in IPv6's clothes.
        let peer = peer.to_canonical();
        Self {
            address: peer.to_string().into(),
            node: node(peer).into(),
        }
    }
}

fn addresses(way: &[IpAddr]) -> String {
    let texts: Vec<_> = way.iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

/// The element of the client, and those of the hops after it.
fn nodes(way: &[IpAddr]) -> (String, String) {
    let mut texts = way.iter().copied().map(node);
    let first = texts.next().unwrap_or_default();
    (first, texts.map(|text| format!(", {text}")).collect())
}

/// An address as `Forwarded` has it (RFC 7239 section 6).
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    }
}
