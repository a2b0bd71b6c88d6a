//! A request between two codecs, and how it leaves in either.

use http::Method;

use super::fields;
use super::http2_head::Http2Head;
use crate::buffers::Buffer;
use crate::http::attest::Attested;
use crate::http::field_section::FieldSection;
use crate::http::fields::is_of_edge;
use crate::http::max_forwards::MAX_FORWARDS;
use crate::http::message::{Body, RequestFacts};
use crate::http::{Refusal, target};
use crate::http1::request::RequestHead;
use crate::routing::Asked;
use crate::routing::rules::Rules;
use crate::telemetry::Onward;
use crate::telemetry::trace_context::TRACEPARENT;

/// A request, without the fields that are for one connection only.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) facts: RequestFacts,
    pub(crate) method: Method,
    /// Whom it is for; none where HTTP/1.0 named nobody.
    pub(crate) authority: Option<Box<str>>,
    /// Path and query.
    pub(crate) path: Box<str>,
    /// The same as the client asked, where its route has changed it.
    asked_path: Option<Box<str>>,
    pub(crate) fields: FieldSection,
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
        let path = str::from_utf8(text(&head.path_and_query))
            .map_err(|_| Refusal::Target("it cannot be sent in HTTP/2"))?;
        target::check_crossing(path)?;
        let authority = match text(&head.host) {
            [] => None,
            host => {
                target::check_authority(host)?;
                let host = str::from_utf8(host);
                Some(host.map_err(|_| Refusal::Host("Host cannot be sent in HTTP/2"))?)
            }
        };
        let kept = head.fields.kept(bytes);
        let mut fields = fields::parse(kept, head.length, head.fields.count());
        let mut facts = head.facts;
        if facts.upgrade {
            // Of all protocols that HTTP/1.1 can change to, HTTP/2 carries this one.
            let protocol = fields.get(b"upgrade").unwrap_or_default();
            facts.upgrade = protocol.eq_ignore_ascii_case(b"websocket");
        }
        fields.retain(|name, _| !matches!(name, b"host" | b"upgrade"));
        if facts.upgrade && !fields.contains(b"sec-websocket-key") {
            return Err(Refusal::Malformed("it opens a WebSocket without a key"));
        }
        let mut request = Self {
            facts,
            method,
            authority: authority.map(Box::from),
            path: path.into(),
            asked_path: None,
            fields,
        };
        request.count_forward();
        Ok(request)
    }

    /// Says how often it may still be passed on after this, where that counts.
    pub(crate) fn count_forward(&mut self) {
        if let Some(forwards) = self.facts.forwards {
            let left = forwards.saturating_sub(1).to_string();
            self.fields.set(MAX_FORWARDS, left.as_bytes());
        }
    }

    /// A request for `path` at `authority`.
    pub(crate) fn new(
        facts: RequestFacts,
        method: Method,
        authority: Box<str>,
        path: Box<str>,
        fields: FieldSection,
    ) -> Self {
        Self {
            facts,
            method,
            authority: Some(authority),
            path,
            asked_path: None,
            fields,
        }
    }

    /// Path and query as the client asked.
    pub(crate) fn asked_path(&self) -> &str {
        self.asked_path.as_deref().unwrap_or(&self.path)
    }

    /// Says what the edge says of it: what the client itself claims of that is left out.
    pub(crate) fn attest(&mut self, attested: &Attested<'_>) {
        self.fields.retain(|name, _| !is_of_edge(name));
        let host = self.authority.as_deref().unwrap_or_default();
        attested.write(host.as_bytes(), &mut self.fields);
    }

    /// Says which trace it is part of, in place of what it said itself.
    pub(crate) fn follow(&mut self, onward: &Onward) {
        self.fields.retain(|name, _| !onward.replaces(name));
        let name = TRACEPARENT.as_bytes();
        self.fields.push(name, &onward.traceparent);
    }

    /// Makes the changes of its route.
    pub(crate) fn change(&mut self, rules: &Rules) {
        if let Some(change) = &rules.path {
            let path = change.apply(self.path.as_bytes());
            // All parts are ASCII.
            let path = String::from_utf8_lossy(&path).into();
            self.asked_path = Some(std::mem::replace(&mut self.path, path));
        }
        self.fields.change(&rules.request);
    }

    /// The key of the WebSocket that it opens, where its client gave one.
    pub(crate) fn websocket_key(&self) -> Option<&[u8]> {
        self.fields.get(b"sec-websocket-key")
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
        let in_chunks = self.facts.body == Body::Chunked;
        let mut has_cookies = false;
        for (name, value) in self.fields.iter() {
            match name {
                b"cookie" => has_cookies = true,
                // What is written anew, and the length of a body that is sent in chunks.
                b"te" | b"sec-websocket-key" => {}
                b"content-length" if in_chunks => {}
                _ => fields::append(out, name, value),
            }
        }
        if has_cookies {
            self.write_cookies(out);
        }
        if in_chunks {
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
        out.append(b"\r\n");
    }

    /// The head for a backend that speaks HTTP/2.
    pub(crate) fn http2_head<'a>(&'a self, default_host: &'a str, secure: bool) -> Http2Head<'a> {
        let (method, protocol) = match self.facts.upgrade {
            true => ("CONNECT", Some("websocket")),
            false => (self.method.as_str(), None),
        };
        let authority = self.authority.as_deref().unwrap_or(default_host);
        let parts = [method, scheme(secure), authority, &self.path];
        Http2Head::new(parts, protocol, &self.fields)
    }
}

impl Asked for Request {
    fn host(&self) -> &[u8] {
        self.authority.as_deref().unwrap_or_default().as_bytes()
    }

    fn path_and_query(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn method(&self) -> &[u8] {
        match self.facts.upgrade {
            // HTTP/2 opens a WebSocket by another method than HTTP/1.1.
            true => b"GET",
            false => self.method.as_str().as_bytes(),
        }
    }

    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.fields.all(name.as_bytes()).any(test)
    }
}

/// The scheme of what is sent in TLS, or not.
fn scheme(secure: bool) -> &'static str {
    match secure {
        true => "https",
        false => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request_id::RequestIds;
    use crate::http::route::Origin;
    use crate::http1::request::parse;

    fn read(head: &str) -> Result<Request, Refusal> {
        let parsed = parse(head.as_bytes())?.unwrap();
        Request::from_http1(head.as_bytes(), &parsed)
    }

    fn from_http1(head: &str) -> Request {
        read(head).unwrap()
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
        let head = request.http2_head("service", false);
        let sent = [head.method, head.scheme, head.authority, head.path];
        assert_eq!(sent, ["POST", "http", "A.test:1", "/a?b"]);
        let fields = head.fields().map(|field| (field.name, field.value));
        let fields: Vec<_> = fields.collect();
        assert_eq!(fields, [(&b"x-one"[..], &b"1"[..]), (b"x-one", b"2")]);
        assert_eq!(
            written(&request),
            "POST /a?b HTTP/1.1\r\nhost: A.test:1\r\nx-one: 1\r\nx-one: 2\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn cookies_are_joined_and_nobody_is_called_by_the_service() {
        let mut request = from_http1("GET / HTTP/1.0\r\nCookie: a=1\r\n\r\n");
        request.fields.push(b"x", b"y");
        request.fields.push(b"cookie", b"b=2");
        assert_eq!(
            written(&request),
            "GET / HTTP/1.1\r\nhost: service\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n"
        );
        assert_eq!(request.http2_head("service", true).authority, "service");
    }

    #[test]
    fn at_the_edge_claims_give_way_to_what_we_see() {
        let mut request = from_http1(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nx_forwarded_host: x\r\n\
             Forwarded: for=6.6.6.6\r\nX-Request-Id: x\r\n\r\n",
        );
        let origin = Origin::secure("::ffff:192.0.2.1".parse().unwrap());
        let attested = Attested::of(&origin, &RequestIds::default(), &request).unwrap();
        request.attest(&attested);
        let id = String::from_utf8_lossy(attested.id.as_bytes());
        assert_eq!(
            written(&request),
            format!(
                "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\n\
                 forwarded: for=192.0.2.1;proto=https\r\nx-forwarded-proto: https\r\n\
                 x-forwarded-port: 443\r\nx-forwarded-host: a\r\nx-request-id: {id}\r\n\r\n"
            )
        );
    }

    #[test]
    fn what_http2_cannot_carry_does_not_cross() {
        let head = |target: &str, host: &str| {
            read(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        };
        assert!(head("/a|{}?`", "[::1]:80").is_ok());
        for target in [
            "/`",
            "/a\tb",
            "/a\u{7f}",
            "/\u{e9}",
            "/#a",
            "/\"",
            "/<",
            "/>",
            "/?\"",
            "/?<",
            "/\\",
            "a",
            "*",
            "http://u@a/",
            "http://a%41/",
            "http://a/`",
        ] {
            assert!(head(target, "a").is_err(), "{target:?}");
        }
        for host in [
            "u@a",
            "u:p@a",
            "a b",
            "a\tb",
            "a\u{7f}",
            "\u{e9}",
            "a#b",
            "a\"b",
            "a<b",
            "a>b",
            "a/b",
            "a?b",
            "a%41",
            "[:::::::::]",
        ] {
            assert!(head("/", host).is_err(), "{host:?}");
        }
    }

    #[test]
    fn a_websocket_crosses_with_its_key_and_nothing_else_does() {
        let ask = |fields: &str| {
            read(&format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n{fields}\r\n"
            ))
        };
        let request = ask("Upgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n").unwrap();
        let head = request.http2_head("service", true);
        assert_eq!((head.method, head.protocol), ("CONNECT", Some("websocket")));
        assert_eq!(
            (head.fields().count(), request.websocket_key()),
            (0, Some(&b"k"[..]))
        );
        assert!(ask("Upgrade: websocket\r\n").is_err());
        let other = ask("Upgrade: other\r\n").unwrap();
        let head = other.http2_head("service", true);
        assert_eq!(
            (head.method, head.protocol, other.facts.upgrade),
            ("GET", None, false)
        );
        assert_eq!(head.fields().count(), 0);
    }
}
