//! A request between two codecs, and how it leaves in either.

use std::str::FromStr;

use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header};

use super::fields;
use crate::http::Refusal;
use crate::http::fields::is_claim;
use crate::http::message::{Body, RequestFacts};
use crate::http::route::Origin;
use crate::http1::request::RequestHead;
use crate::worker::buffers::Buffer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request, without the fields that are for one connection only.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) facts: RequestFacts,
    pub(crate) method: Method,
    /// Whom it is for; none where HTTP/1.0 named nobody.
    pub(crate) authority: Option<Authority>,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
}

impl Request {
    /// The request whose head is at the beginning of `bytes`.
    ///
    /// # Errors
    /// It has something that HTTP/2 cannot carry, or that would be carried by halves.
    pub(crate) fn from_http1(bytes: &[u8], head: &RequestHead) -> Result<Self, Refusal> {
        let text = |range: &std::ops::Range<usize>| &bytes[range.clone()];
        let method = Method::from_bytes(text(&head.method))
            .map_err(|_| Refusal::Malformed("its method is not a token"))?;
        let path = PathAndQuery::try_from(text(&head.path_and_query))
            .map_err(|_| Refusal::Target("it cannot be sent in HTTP/2"))?;
        let authority = match head.host.is_empty() {
            true => None,
            false => Some(
                Authority::try_from(text(&head.host))
                    .map_err(|_| Refusal::Host("Host cannot be sent in HTTP/2"))?,
            ),
        };
        let mut headers = fields::parse(head.fields.kept(bytes), bytes);
        headers.remove(header::HOST);
        let mut facts = head.facts;
        // Of all protocols that HTTP/1.1 can change to, HTTP/2 carries this one.
        facts.upgrade &= headers
            .remove(header::UPGRADE)
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if facts.upgrade && !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
            return Err(Refusal::Malformed("it opens a WebSocket without a key"));
        }
        Ok(Self {
            facts,
            method,
            authority,
            path,
            headers,
        })
    }

    /// Says where it came from, at the edge: what the client itself claims of that is left out.
    pub(crate) fn attest(&mut self, origin: &Origin) {
        let claims: Vec<HeaderName> = self
            .headers
            .keys()
            .filter(|name| is_claim(name.as_str()))
            .cloned()
            .collect();
        for claim in claims {
            self.headers.remove(claim);
        }
        self.headers.insert(FORWARDED_FOR, origin.forwarded_for());
        let scheme = match origin.is_secure {
            true => HeaderValue::from_static("https"),
            false => HeaderValue::from_static("http"),
        };
        self.headers.insert(FORWARDED_PROTO, scheme);
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
        let host = self
            .authority
            .as_ref()
            .map_or(default_host, Authority::as_str);
        for part in [
            method,
            " ",
            self.path.as_str(),
            " HTTP/1.1\r\nhost: ",
            host,
            "\r\n",
        ] {
            out.append(part.as_bytes());
        }
        for (name, value) in &self.headers {
            // What is written anew, and the length of a body that is sent in chunks.
            let anew = [header::COOKIE, header::TE, header::SEC_WEBSOCKET_KEY];
            let is_length = name == header::CONTENT_LENGTH;
            if !(anew.contains(name) || is_length && self.facts.body == Body::Chunked) {
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
        for cookie in self.headers.get_all(header::COOKIE) {
            out.append(separator);
            out.append(cookie.as_bytes());
            separator = b"; ";
        }
        if separator == b"; " {
            out.append(b"\r\n");
        }
    }

    /// The same for a backend that speaks HTTP/2.
    ///
    /// # Errors
    /// Its parts make no URL.
    pub(crate) fn to_http2(
        &self,
        default_host: &str,
        secure: bool,
    ) -> Result<http::Request<()>, http::Error> {
        let authority = match &self.authority {
            Some(authority) => authority.clone(),
            None => Authority::from_str(default_host)?,
        };
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(self.path.clone())
            .build()?;
        let mut request = http::Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        if self.facts.upgrade {
            *request.method_mut() = Method::CONNECT;
            request.headers_mut().remove(header::SEC_WEBSOCKET_KEY);
            request
                .extensions_mut()
                .insert(Protocol::from_static("websocket"));
        }
        Ok(request)
    }
}

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
        let sent = request.to_http2("service", false).unwrap();
        assert_eq!(sent.uri(), "http://A.test:1/a?b");
        let names: Vec<_> = sent
            .headers()
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
        assert_eq!(names, [("x-one", &b"1"[..]), ("x-one", b"2")]);
        assert_eq!(
            written(&request),
            "POST /a?b HTTP/1.1\r\nhost: A.test:1\r\nx-one: 1\r\nx-one: 2\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn cookies_are_joined_and_nobody_is_called_by_the_service() {
        let mut request = from_http1("GET / HTTP/1.0\r\nCookie: a=1\r\n\r\n");
        request
            .headers
            .append("cookie", HeaderValue::from_static("b=2"));
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
