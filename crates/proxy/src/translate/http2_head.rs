//! A request's head as HTTP/2 has it, pseudo-fields first: a view, so that what was sent can be
//! sent again.

use std::time::Duration;

use super::grpc::{self, TimeoutText};
use crate::http::field_section::{FieldLine, FieldSection};

/// The head of a request: its pseudo-fields, its fields, and what is said otherwise than there.
#[derive(Debug, Clone)]
pub(crate) struct Http2Head<'a> {
    pub(super) method: &'a str,
    pub(super) scheme: &'a str,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    /// What CONNECT opens (RFC 8441), which takes no key.
    pub(super) protocol: Option<&'a str>,
    section: &'a FieldSection,
    /// It is a call of gRPC, which says that it understands trailers.
    is_grpc: bool,
    /// How long the caller still waits.
    timeout: Option<TimeoutText>,
}

impl<'a> Http2Head<'a> {
    /// The head of a request for `path` at `authority`.
    pub(super) fn new(
        [method, scheme, authority, path]: [&'a str; 4],
        protocol: Option<&'a str>,
        section: &'a FieldSection,
    ) -> Self {
        Self {
            method,
            scheme,
            authority,
            path,
            protocol,
            section,
            is_grpc: false,
            timeout: None,
        }
    }

    /// Says what a call of gRPC says, whose caller still waits so long.
    pub(crate) fn with_grpc(mut self, left: Option<Duration>) -> Self {
        self.is_grpc = true;
        self.timeout = left.map(grpc::timeout_text);
        self
    }

    /// Its fields without pseudo-fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = FieldLine<'_>> {
        let te = self.is_grpc.then_some((&b"te"[..], &b"trailers"[..]));
        let timeout = self.timeout.as_ref();
        let timeout = timeout.map(|text| (grpc::TIMEOUT, text.as_bytes()));
        let kept = self
            .section
            .lines()
            .filter(|field| !self.is_replaced(field.name));
        kept.chain(te.into_iter().chain(timeout).map(FieldLine::from))
    }

    /// All of it, in order.
    pub(crate) fn block(&self) -> impl Iterator<Item = FieldLine<'_>> {
        let pseudo = [
            (&b":method"[..], self.method.as_bytes()),
            (b":scheme", self.scheme.as_bytes()),
            (b":authority", self.authority.as_bytes()),
            (b":path", self.path.as_bytes()),
        ];
        let protocol = self
            .protocol
            .map(|text| (&b":protocol"[..], text.as_bytes()));
        let pseudo = pseudo.into_iter().chain(protocol);
        pseudo.map(FieldLine::from).chain(self.fields())
    }

    fn is_replaced(&self, name: &[u8]) -> bool {
        self.timeout.is_some() && name == grpc::TIMEOUT
            || self.protocol.is_some() && name == b"sec-websocket-key"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(head: &Http2Head<'_>) -> String {
        let line = |field: FieldLine<'_>| [field.name, b"=", field.value, b" "].concat();
        String::from_utf8(head.block().flat_map(line).collect()).unwrap()
    }

    #[test]
    fn what_is_said_anew_is_said_once() {
        let fields: [(&[u8], &[u8]); 3] = [
            (b"a", b"1"),
            (b"grpc-timeout", b"9S"),
            (b"sec-websocket-key", b"k"),
        ];
        let section = fields.into_iter().collect();
        let parts = ["CONNECT", "https", "a.test", "/x?y"];
        let head = Http2Head::new(parts, Some("websocket"), &section);
        assert_eq!(
            texts(&head),
            ":method=CONNECT :scheme=https :authority=a.test :path=/x?y :protocol=websocket \
             a=1 grpc-timeout=9S "
        );
        let head = Http2Head::new(parts, None, &section);
        assert!(texts(&head).ends_with("/x?y a=1 grpc-timeout=9S sec-websocket-key=k "));
        let head = head.with_grpc(Some(Duration::from_micros(5)));
        assert!(texts(&head).ends_with("a=1 sec-websocket-key=k te=trailers grpc-timeout=5000n "));
        let head = Http2Head::new(parts, None, &section).with_grpc(None);
        assert!(texts(&head).ends_with("grpc-timeout=9S sec-websocket-key=k te=trailers "));
    }
}
