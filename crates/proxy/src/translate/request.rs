//! A request between two codecs, and how it leaves in either.

use http::Method;

use super::{fields, grpc};
use crate::http::Refusal;
use crate::http::field_section::FieldSection;
use crate::http::fields::is_claim;
use crate::http::message::{Body, RequestFacts};
use crate::http::route::Origin;
use crate::http1::request::RequestHead;
use crate::worker::buffers::Buffer;

/// A request, without the fields that are for one connection only.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) facts: RequestFacts,
    pub(crate) method: Method,
    /// Whom it is for; none where HTTP/1.0 named nobody.
    pub(crate) authority: Option<Box<str>>,
    /// Path and query, or `*`.
    pub(crate) path: Box<str>,
    pub(crate) fields: FieldSection,
}

/// What of a request's head is not the client's, in HTTP/2.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg<'a> {
    /// Whom it is for where the client named nobody.
    pub(crate) default_host: &'a str,
    /// It goes over TLS.
    pub(crate) is_secure: bool,
    /// It is a call of gRPC.
    pub(crate) is_grpc: bool,
    /// How long the caller of gRPC still waits.
    pub(crate) grpc_timeout: Option<&'a str>,
}

impl Request {
    /// The request whose head is at the beginning of `bytes`.
    ///
    /// # Errors
    /// It would be carried by halves, or has a byte that is not ASCII.
    pub(crate) fn from_http1(bytes: &[u8], head: &RequestHead) -> Result<Self, Refusal> {
        let text = |range: &std::ops::Range<usize>| &bytes[range.clone()];
        let method = Method::from_bytes(text(&head.method))
            .map_err(|_| Refusal::Malformed("its method is not a token"))?;
        // Both were parsed before, by rules that are stricter.
        let path = str::from_utf8(text(&head.path_and_query))
            .map_err(|_| Refusal::Target("it cannot be sent in HTTP/2"))?;
        let authority = match head.host.is_empty() {
            true => None,
            false => Some(
                str::from_utf8(text(&head.host))
                    .map_err(|_| Refusal::Host("Host cannot be sent in HTTP/2"))?,
            ),
        };
        let mut fields = fields::parse(head.fields.kept(bytes), bytes);
        fields.remove(b"host");
        let mut facts = head.facts;
        // Of all protocols that HTTP/1.1 can change to, HTTP/2 carries this one.
        facts.upgrade &= fields
            .get(b"upgrade")
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        fields.remove(b"upgrade");
        if facts.upgrade && !fields.contains(b"sec-websocket-key") {
            return Err(Refusal::Malformed("it opens a WebSocket without a key"));
        }
        Ok(Self {
            facts,
            method,
            authority: authority.map(Box::from),
            path: path.into(),
            fields,
        })
    }

    /// Says where it came from, at the edge: what the client itself claims of that is left out.
    pub(crate) fn attest(&mut self, origin: &Origin) {
        self.fields.retain(|name, _| !is_claim(name));
        let address = origin.forwarded_for().as_bytes();
        self.fields.push(b"x-forwarded-for", address);
        let scheme: &[u8] = if origin.is_secure { b"https" } else { b"http" };
        self.fields.push(b"x-forwarded-proto", scheme);
    }

    /// Writes its head for a backend that speaks HTTP/1.1. `websocket` is the key of the WebSocket
    /// that it opens.
    pub(crate) fn write_http1(
        &self,
        out: &mut Buffer,
        default_host: &str,
        websocket: Option<&str>,
    ) {
        let method = match websocket {
            Some(_) => "GET",
            None => self.method.as_str(),
        };
        let host = self.authority.as_deref().unwrap_or(default_host);
        for part in [method, " ", &self.path, " HTTP/1.1\r\nhost: ", host, "\r\n"] {
            out.append(part.as_bytes());
        }
        for (name, value) in self.fields.iter() {
            let is_left_out = match name {
                // What is written anew.
                b"cookie" | b"te" | b"sec-websocket-key" => true,
                // The length of a body that is sent in chunks.
                b"content-length" => self.facts.body == Body::Chunked,
                _ => false,
            };
            if !is_left_out {
                fields::append(out, name, value);
            }
        }
        self.write_cookies(out);
        if self.facts.body == Body::Chunked {
            out.append(b"transfer-encoding: chunked\r\n");
        }
        if let Some(key) = websocket {
            out.append(b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: ");
            out.append(key.as_bytes());
            out.append(b"\r\n");
        }
        out.append(b"\r\n");
    }

    /// HTTP/2 may send cookies one by one; HTTP/1.1 has one field (RFC 9113 section 8.2.3).
    fn write_cookies(&self, out: &mut Buffer) {
        let mut separator: &[u8] = b"cookie: ";
        for cookie in self.fields.all(b"cookie") {
            out.append(separator);
            out.append(cookie);
            separator = b"; ";
        }
        if separator == b"; " {
            out.append(b"\r\n");
        }
    }

    /// Its head for a backend that speaks HTTP/2, pseudo-fields first.
    pub(crate) fn for_http2<'a>(&'a self, leg: Leg<'a>) -> impl Iterator<Item = Field<'a>> {
        let upgrade = self.facts.upgrade;
        let method = match upgrade {
            true => "CONNECT",
            false => self.method.as_str(),
        };
        let authority = self.authority.as_deref().unwrap_or(leg.default_host);
        let pseudo: [Option<Field<'a>>; 5] = [
            Some((b":method", method.as_bytes())),
            Some((b":scheme", if leg.is_secure { b"https" } else { b"http" })),
            Some((b":authority", authority.as_bytes())),
            Some((b":path", self.path.as_bytes())),
            upgrade.then_some((b":protocol", b"websocket")),
        ];
        let anew: [Option<Field<'a>>; 2] = [
            leg.is_grpc.then_some((b"te", b"trailers")),
            leg.grpc_timeout
                .map(|left| (grpc::TIMEOUT, left.as_bytes())),
        ];
        let theirs = self.fields.iter().filter(move |(name, _)| match *name {
            // What opens a WebSocket in HTTP/2 has no key (RFC 8441 section 5).
            b"sec-websocket-key" => !upgrade,
            name => name != grpc::TIMEOUT || leg.grpc_timeout.is_none(),
        });
        let pseudo = pseudo.into_iter().flatten();
        pseudo.chain(theirs).chain(anew.into_iter().flatten())
    }
}

/// A field's name and value.
type Field<'a> = (&'a [u8], &'a [u8]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::parse;

    fn from_http1(head: &str) -> Request {
        let parsed = parse(head.as_bytes()).unwrap().unwrap();
        Request::from_http1(head.as_bytes(), &parsed).unwrap()
    }

    fn written(request: &Request) -> String {
        let mut out = Buffer::new(64);
        request.write_http1(&mut out, "service", None);
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn what_is_for_one_connection_only_does_not_cross() {
        let request = from_http1(
            "POST /a?b HTTP/1.1\r\nHost: A.test:1\r\nX-One: 1 \r\nConnection: x-hop\r\nX-Hop: 1\r\n\
             TE: trailers\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nX-One: 2\r\n\r\n",
        );
        let leg = Leg {
            default_host: "service",
            is_secure: false,
            is_grpc: false,
            grpc_timeout: None,
        };
        let sent: Vec<_> = request.for_http2(leg).collect();
        let expected: [Field<'_>; 6] = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"A.test:1"),
            (b":path", b"/a?b"),
            (b"x-one", b"1"),
            (b"x-one", b"2"),
        ];
        assert_eq!(sent, expected);
        assert_eq!(
            written(&request),
            "POST /a?b HTTP/1.1\r\nhost: A.test:1\r\nx-one: 1\r\nx-one: 2\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn cookies_are_joined_and_nobody_is_called_by_the_service() {
        let mut request = from_http1("GET / HTTP/1.0\r\nCookie: a=1\r\n\r\n");
        request.fields.push(b"cookie", b"b=2");
        assert_eq!(
            written(&request),
            "GET / HTTP/1.1\r\nhost: service\r\ncookie: a=1; b=2\r\n\r\n"
        );
    }

    #[test]
    fn at_the_edge_claims_give_way_to_what_we_see() {
        let mut request = from_http1(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nx_forwarded_host: x\r\n\
             Forwarded: for=6.6.6.6\r\n\r\n",
        );
        request.attest(&Origin::secure("::ffff:192.0.2.1".parse().unwrap()));
        assert_eq!(
            written(&request),
            "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\n\
             x-forwarded-proto: https\r\n\r\n"
        );
    }
}
