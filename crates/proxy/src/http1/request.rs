//! Heads of requests, parsed strictly (RFC 9112 sections 2 to 6).

use std::mem::MaybeUninit;
use std::ops::Range;

use super::fields::{Connection, Fields, drop_named, head_end, malformed};
use crate::http::accept::Accept;
use crate::http::fields::{content_length, elements, is_of_edge};
use crate::http::max_forwards::Said;
use crate::http::message::{Body, RequestFacts, is_idempotent};
use crate::http::{Refusal, target};
use crate::limits::{HEAD_FIELDS, METHOD_BYTES};
use crate::routing::Asked;

/// A head that follows the rules. Ranges are positions in the bytes that it was parsed from.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// How many bytes it has.
    pub length: usize,
    /// What it asks.
    pub facts: RequestFacts,
    /// The method.
    pub method: Range<usize>,
    /// Path and query, or `*`.
    pub path_and_query: Range<usize>,
    /// The host that the request is for, with its port; empty where HTTP/1.0 gave none.
    pub host: Range<usize>,
    /// The target was a whole URL, whose authority is the host.
    pub absolute: bool,
    pub(crate) fields: Fields,
}

impl RequestHead {
    /// What it asks; `bytes` are those that it was parsed from.
    pub(crate) fn asked<'a>(&'a self, bytes: &'a [u8]) -> impl Asked + 'a {
        AskedHead { head: self, bytes }
    }
}

struct AskedHead<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl Asked for AskedHead<'_> {
    fn host(&self) -> &[u8] {
        &self.bytes[self.head.host.clone()]
    }

    fn path_and_query(&self) -> &[u8] {
        &self.bytes[self.head.path_and_query.clone()]
    }

    fn method(&self) -> &[u8] {
        &self.bytes[self.head.method.clone()]
    }

    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.head.fields.values(self.bytes, name).any(test)
    }
}

/// Parses the head at the beginning of `bytes`; none while it is incomplete.
///
/// # Errors
/// The head breaks a rule or exceeds a limit. The same bytes are refused whether they arrive at
/// once or one by one.
pub fn parse(bytes: &[u8]) -> Result<Option<RequestHead>, Refusal> {
    match head_end(bytes, 0)? {
        Some(end) => parse_complete(&bytes[..end]).map(Some),
        None => Ok(None),
    }
}

/// Parses `bytes`, which are one head up to and with its empty line.
pub(crate) fn parse_complete(bytes: &[u8]) -> Result<RequestHead, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; HEAD_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request
        .parse_with_uninit_headers(bytes, &mut headers)
        .map_err(malformed)?
    {
        httparse::Status::Complete(length) if length == bytes.len() => {}
        _ => return Err(Refusal::Malformed("it has no request line")),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed("it has no request line"));
    };
    if method.len() > METHOD_BYTES {
        return Err(Refusal::Malformed("its method is too long"));
    }
    let target = target::parse(method, target)?;
    let mut reading = Reading::new(bytes, request.headers, version == 0);
    for (index, header) in request.headers.iter().enumerate() {
        reading.field(index, header)?;
    }
    if reading.connection.names_fields {
        drop_named(&mut reading.fields, request.headers)?;
    }
    let range = |text: &str| {
        let start = text.as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + text.len()
    };
    let host = reading.host(target.authority.map(range))?;
    let (method_range, path_and_query) = (range(method), range(target.path_and_query));
    let facts = reading.facts(method)?;
    Ok(RequestHead {
        length: bytes.len(),
        facts,
        method: method_range,
        path_and_query,
        host,
        absolute: target.authority.is_some(),
        fields: reading.fields,
    })
}

/// What is gathered while the fields are read.
struct Reading<'a> {
    bytes: &'a [u8],
    fields: Fields,
    old_version: bool,
    connection: Connection,
    host: Option<(usize, Range<usize>)>,
    length: Option<u64>,
    chunked: bool,
    continues: bool,
    expect: Option<usize>,
    upgrade: Option<usize>,
    /// How many `Upgrade` fields there are.
    upgrades: usize,
    /// Whether HTTP/2 is among what they ask for.
    asks_for_http2: bool,
    accept: Accept,
    max_forwards: (Said, Option<usize>),
}

impl<'a> Reading<'a> {
    fn new(bytes: &'a [u8], headers: &[httparse::Header<'_>], old_version: bool) -> Self {
        Self {
            bytes,
            fields: Fields::locate(bytes, headers),
            old_version,
            connection: Connection::default(),
            host: None,
            length: None,
            chunked: false,
            continues: false,
            expect: None,
            upgrade: None,
            upgrades: 0,
            asks_for_http2: false,
            accept: Accept::default(),
            max_forwards: Default::default(),
        }
    }

    fn field(&mut self, index: usize, header: &httparse::Header<'_>) -> Result<(), Refusal> {
        let value = header.value;
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // By length first: most fields are told apart from those that matter by it alone.
        match header.name.len() {
            2 if is("te") => self.fields.drop(index),
            4 if is("host") => {
                if self.host.is_some() {
                    return Err(Refusal::Host("Host is given more than once"));
                }
                target::check_host(value)?;
                let start = value.as_ptr() as usize - self.bytes.as_ptr() as usize;
                self.host = Some((index, start..start + value.len()));
            }
            6 if is("accept") => self.accept.note(value),
            6 if is("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::Expectation);
                }
                self.continues = true;
                self.fields.drop(index);
                self.expect.get_or_insert(index);
            }
            7 if is("upgrade") => {
                self.fields.drop(index);
                self.upgrade = Some(index);
                self.upgrades += 1;
                self.asks_for_http2 |= elements(value).any(|p| p.eq_ignore_ascii_case(b"h2c"));
            }
            10 if is("connection") => {
                self.connection.add(value);
                self.fields.drop(index);
            }
            10 if is("keep-alive") => self.fields.drop(index),
            12 if is("max-forwards") => {
                self.max_forwards.0.note(value);
                self.max_forwards.1 = Some(index);
            }
            14 if is("content-length") => {
                if self.length.is_some() {
                    return Err(Refusal::ContentLength);
                }
                self.length = Some(content_length(value)?);
            }
            16 if is("proxy-connection") => self.fields.drop(index),
            17 if is("transfer-encoding") => {
                if self.old_version {
                    return Err(Refusal::CodingInOldVersion);
                }
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    let last = elements(value).last().unwrap_or_default();
                    return Err(match last.eq_ignore_ascii_case(b"chunked") {
                        true => Refusal::Coding,
                        false => Refusal::CodingWithoutEnd,
                    });
                }
                self.chunked = true;
                // The codec says anew how it frames, in the one spelling that everybody reads.
                self.fields.drop(index);
            }
            _ if is_of_edge(header.name.as_bytes()) => self.fields.claim(index),
            _ => {}
        }
        Ok(())
    }

    /// The one host that the request is for.
    fn host(&mut self, authority: Option<Range<usize>>) -> Result<Range<usize>, Refusal> {
        match (authority, self.host.take()) {
            (Some(authority), given) => {
                if let Some((index, _)) = given {
                    self.fields.drop(index);
                } else if !self.old_version {
                    return Err(Refusal::Host("Host is missing"));
                }
                Ok(authority)
            }
            (None, Some((_, host))) => Ok(host),
            (None, None) if self.old_version => Ok(0..0),
            (None, None) => Err(Refusal::Host("Host is missing")),
        }
    }

    fn facts(&mut self, method: &str) -> Result<RequestFacts, Refusal> {
        let body = match (self.chunked, self.length) {
            (true, Some(_)) => return Err(Refusal::LengthAndCoding),
            (true, None) => Body::Chunked,
            (false, None | Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
        };
        // HTTP/1.0 knows neither 100 nor 101; a body would have to be read before switching.
        // Several Upgrade fields are legal but nobody sends them; none is passed on. Nor is one
        // for HTTP/2: its requests would pass through the tunnel unrouted and unread.
        let upgrade = self.connection.upgrade
            && self.upgrades == 1
            && !self.asks_for_http2
            && !self.old_version
            && body == Body::None;
        if let (true, Some(index)) = (upgrade, self.upgrade) {
            self.fields.keep(index);
        }
        let expects_continue = self.continues && !self.old_version && body != Body::None;
        if let (true, Some(index)) = (expects_continue, self.expect) {
            self.fields.keep(index);
        }
        let forwards = self.max_forwards.0.counts_for(method);
        if let (Some(_), Some(index)) = (forwards, self.max_forwards.1) {
            // It is written anew.
            self.fields.drop(index);
        }
        let keep_alive =
            !self.connection.close && (!self.old_version || self.connection.keep_alive);
        Ok(RequestFacts {
            old_version: self.old_version,
            is_head: method == "HEAD",
            idempotent: is_idempotent(method),
            body,
            keep_alive,
            expects_continue,
            upgrade,
            forwards,
            wants: self.accept.wants(),
            sticky: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::whole::forward_request;

    fn forwarded(fields: &str, client: Option<&str>) -> String {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let client = client.map(|client| client.parse().unwrap());
        let (_, forwarded) = forward_request(head.as_bytes(), client).unwrap().unwrap();
        String::from_utf8(forwarded).unwrap()
    }

    #[test]
    fn claims_are_left_out_at_the_edge_in_whatever_spelling() {
        let claims = "X-Forwarded-For: 1\r\nx_forwarded_for: 1\r\nX-FORWARDED-Port: 1\r\n\
                      Forwarded: for=1\r\nX-Real-Ip: 1\r\nX_Forwarded-Host: 1\r\n\
                      X-Request-Id: 1\r\nx_request-id: 1\r\n";
        let others = "X-Forwarded: 1\r\nX-Forward-For: 1\r\nForwarded-To: 1\r\nX: 1\r\n";
        assert_eq!(
            forwarded(&format!("{claims}{others}"), Some("192.0.2.1")),
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{others}x-forwarded-for: 192.0.2.1\r\n\
                 forwarded: for=192.0.2.1;proto=http\r\nx-forwarded-proto: http\r\n\
                 x-forwarded-port: 80\r\nx-forwarded-host: a\r\n\
                 x-request-id: 00000000000000000000000000000000\r\n\r\n"
            )
        );
        let mapped = forwarded("", Some("::ffff:192.0.2.1"));
        assert!(
            mapped.contains("x-forwarded-for: 192.0.2.1\r\n"),
            "{mapped}"
        );
        // Between services they are what the caller says.
        assert!(forwarded(claims, None).contains(claims));
    }

    #[test]
    fn expectations_without_a_body_and_upgrades_that_are_repeated_or_to_http2_are_not_passed_on() {
        let nothing = forwarded("", None);
        let expect = "Expect: 100-continue\r\n".repeat(2);
        assert_eq!(forwarded(&expect, None), nothing);
        for count in [2, 3] {
            let upgrades = "Upgrade: x\r\n".repeat(count);
            let fields = format!("Connection: upgrade\r\n{upgrades}");
            assert_eq!(forwarded(&fields, None), nothing, "{count} upgrades");
        }
        for protocols in ["h2c", "websocket, H2C"] {
            let fields = format!("Connection: upgrade\r\nUpgrade: {protocols}\r\n");
            assert_eq!(forwarded(&fields, None), nothing, "{protocols}");
        }
        let with_body = format!("Content-Length: 1\r\n{expect}");
        assert_eq!(forwarded(&with_body, None).matches("Expect").count(), 1);
    }
}
