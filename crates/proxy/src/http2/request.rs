//! Heads of requests over HTTP/2, held to the rules of RFC 9113 section 8 and to the same limits as
//! those of HTTP/1.1.

use http::Method;

use super::head::RequestHead;
use crate::http::Refusal;
use crate::http::accept::Accept;
use crate::http::field_section::FieldSection;
use crate::http::fields::content_length;
use crate::http::max_forwards::{MAX_FORWARDS, Said};
use crate::http::message::{Body, RequestFacts, is_idempotent};
use crate::http::target::{self, check_authority, check_crossing};
use crate::limits::{HEAD_FIELDS, METHOD_BYTES};
use crate::translate::request::Request;

/// The request whose head is `head`; `ended` is whether it has no body.
///
/// # Errors
/// It breaks a rule or exceeds a limit.
pub(crate) fn validate(mut head: RequestHead, ended: bool) -> Result<Request, Refusal> {
    if head.fields.len() > HEAD_FIELDS {
        return Err(Refusal::TooManyFields);
    }
    if head.method.as_str().len() > METHOD_BYTES {
        return Err(Refusal::Malformed("its method is too long"));
    }
    let upgrade = opens_websocket(&head)?;
    let seen = Seen::read(&head.fields)?;
    let authority = authority(head.authority, seen.host)?;
    let path = path(
        head.path,
        if upgrade { "GET" } else { head.method.as_str() },
    )?;
    let facts = seen.facts(&head.method, ended, upgrade)?;
    if seen.has_fields_to_drop {
        // Nothing waits to be continued where there is no body.
        let keeps_expect = facts.body != Body::None;
        head.fields.retain(|name, _| match name {
            // TE is about this connection; for gRPC it is said anew.
            b"host" | b"te" => false,
            b"expect" => keeps_expect,
            _ => true,
        });
    }
    let (method, fields) = (head.method, head.fields);
    let mut request = Request::new(facts, method, authority, path, fields);
    request.count_forward();
    Ok(request)
}

/// Whether it opens a WebSocket (RFC 8441). No other use of CONNECT is for a gateway.
fn opens_websocket(head: &RequestHead) -> Result<bool, Refusal> {
    if head.method != Method::CONNECT {
        return Ok(false);
    }
    match &head.protocol {
        Some(protocol) if protocol.eq_ignore_ascii_case("websocket") => Ok(true),
        _ => Err(Refusal::Connect),
    }
}

/// What its fields say that matters here.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    continues: bool,
    accept: Accept,
    max_forwards: Said,
    has_fields_to_drop: bool,
}

impl<'a> Seen<'a> {
    /// Reads all fields once: there are few that matter, and each look-up would pass over all.
    fn read(fields: &'a FieldSection) -> Result<Self, Refusal> {
        let mut seen = Self::default();
        for (name, value) in fields.iter() {
            match name {
                b"te" => seen.has_fields_to_drop = true,
                b"host" => {
                    if seen.host.replace(value).is_some() {
                        return Err(Refusal::Host("Host is given more than once"));
                    }
                    seen.has_fields_to_drop = true;
                }
                MAX_FORWARDS => seen.max_forwards.note(value),
                b"accept" => seen.accept.note(value),
                b"expect" => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Refusal::Expectation);
                    }
                    seen.continues = true;
                    seen.has_fields_to_drop = true;
                }
                b"content-length" if seen.length.is_some() => return Err(Refusal::ContentLength),
                b"content-length" => seen.length = Some(content_length(value)?),
                _ => {}
            }
        }
        Ok(seen)
    }

    fn facts(&self, method: &Method, ended: bool, upgrade: bool) -> Result<RequestFacts, Refusal> {
        let body = match self.length {
            Some(length) if ended && length > 0 => return Err(Refusal::ContentLength),
            _ if ended || upgrade => Body::None,
            Some(length) if length > 0 => Body::Length(length),
            // A body of no bytes may still end in trailers.
            _ => Body::Chunked,
        };
        Ok(RequestFacts {
            old_version: false,
            is_head: *method == Method::HEAD,
            idempotent: is_idempotent(method.as_str()),
            body,
            keep_alive: true,
            expects_continue: self.continues && body != Body::None,
            upgrade,
            forwards: self.max_forwards.counts_for(method.as_str()),
            wants: self.accept.wants(),
            sticky: None,
        })
    }
}

/// Whom it is for: `:authority`, or `Host` where that is missing, and never two of them
/// (RFC 9113 section 8.3.1).
fn authority(named: Option<Box<str>>, host: Option<&[u8]>) -> Result<Box<str>, Refusal> {
    const NO_HOST: Refusal = Refusal::Host("Host is not a host name with an optional port");
    let authority = match (named, host) {
        (Some(named), Some(host)) if !host.eq_ignore_ascii_case(named.as_bytes()) => {
            return Err(Refusal::Host("Host and :authority name different hosts"));
        }
        (Some(named), _) => named,
        (None, Some(host)) => str::from_utf8(host).map_err(|_| NO_HOST)?.into(),
        (None, None) => return Err(Refusal::Host(":authority is missing")),
    };
    check_authority(authority.as_bytes())?;
    Ok(authority)
}

fn path(path: Option<Box<str>>, method: &str) -> Result<Box<str>, Refusal> {
    let path = path.ok_or(Refusal::Target(":path is missing"))?;
    if !path.starts_with('/') && &*path != "*" {
        return Err(Refusal::Target("its path does not begin with \"/\""));
    }
    target::parse(method, &path)?;
    check_crossing(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead {
            method: Method::GET,
            authority: Some("a.test".into()),
            path: Some("/x?y".into()),
            protocol: None,
            fields: fields.collect(),
        }
    }

    fn with(change: impl FnOnce(&mut RequestHead)) -> Result<Request, Refusal> {
        let mut head = head(&[]);
        change(&mut head);
        validate(head, true)
    }

    #[test]
    fn what_is_asked_is_understood() {
        let fields = [
            ("cookie", "a=1"),
            ("host", "A.TEST"),
            ("te", "trailers"),
            ("expect", "100-continue"),
        ];
        let request = validate(head(&fields), true).unwrap();
        assert_eq!(request.authority.as_deref(), Some("a.test"));
        assert_eq!(&*request.path, "/x?y");
        assert!(request.facts.idempotent && !request.facts.expects_continue);
        assert_eq!(
            request.fields,
            [(&b"cookie"[..], &b"a=1"[..])].into_iter().collect()
        );
        let with_body = validate(head(&fields), false).unwrap();
        assert!(with_body.facts.expects_continue && with_body.fields.contains(b"expect"));
        let by_host = with(|head| {
            head.authority = None;
            head.fields.push(b"host", b"b.test:1");
        });
        assert_eq!(by_host.unwrap().authority.as_deref(), Some("b.test:1"));
    }

    #[test]
    fn the_body_follows_from_length_and_end() {
        let body = |fields: &[_], ended| validate(head(fields), ended).map(|r| r.facts.body);
        let length = |length| [("content-length", length)];
        assert_eq!(body(&[], true), Ok(Body::None));
        assert_eq!(body(&[], false), Ok(Body::Chunked));
        assert_eq!(body(&length("0"), true), Ok(Body::None));
        assert_eq!(body(&length("0"), false), Ok(Body::Chunked));
        assert_eq!(body(&length("2"), false), Ok(Body::Length(2)));
        assert_eq!(body(&length("2"), true), Err(Refusal::ContentLength));
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        for bad in [
            &[("host", "b.test")][..],
            &[("host", "a.test"), ("host", "a.test")],
            &[("content-length", "1")],
            &[("content-length", "+0")],
            &[("content-length", "0, 0")],
            &[("content-length", "0"), ("content-length", "0")],
            &[("expect", "x")],
        ] {
            assert!(validate(head(bad), true).is_err(), "{bad:?}");
        }
        assert!(with(|head| head.method = Method::CONNECT).is_err());
        let long = "A".repeat(METHOD_BYTES + 1);
        let long = Method::from_bytes(long.as_bytes()).unwrap();
        assert!(with(|head| head.method = long).is_err());
        assert!(with(|head| head.authority = None).is_err());
        assert!(with(|head| head.path = None).is_err());
        let many = |count| with(|head| (0..count).for_each(|_| head.fields.push(b"x", b"")));
        assert!(many(HEAD_FIELDS).is_ok());
        assert!(many(HEAD_FIELDS + 1).is_err());
    }

    #[test]
    fn connect_is_for_websockets() {
        let connect = |protocol: Option<&str>| {
            with(|head| {
                head.method = Method::CONNECT;
                head.protocol = protocol.map(Box::from);
            })
        };
        assert!(connect(Some("WebSocket")).unwrap().facts.upgrade);
        for protocol in [None, Some("connect-udp")] {
            assert_eq!(connect(protocol).err(), Some(Refusal::Connect));
        }
    }

    #[test]
    fn what_would_be_read_otherwise_further_on_is_no_authority_or_path() {
        for bad in [
            "",
            "u@a",
            "u:p@a:1",
            "a b",
            "a\tb",
            "a\r\nb: c",
            "a\0",
            "a\u{7f}",
            "\u{e9}",
            "a#b",
            "a\"b",
            "a<b",
            "a>b",
            "a/x",
            "a?x",
            "a%41",
            "a:1:2",
            "a,b",
            "[:::::::::]",
        ] {
            assert!(
                with(|head| head.authority = Some(bad.into())).is_err(),
                "{bad:?}"
            );
            let by_host = with(|head| {
                head.authority = None;
                head.fields.push(b"host", bad.as_bytes());
            });
            assert!(by_host.is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "a",
            "*",
            "http://a.test/",
            "/ HTTP/1.1",
            "/a\tb",
            "/\r\na: b",
            "/\0",
            "/\u{7f}",
            "/\u{e9}",
            "/#a",
            "/?a#b",
            "/\"",
            "/?\"",
            "/<",
            "/>",
            "/?<",
            "/\\",
            "/`",
            "/a/%2e%2e/b",
        ] {
            assert!(
                with(|head| head.path = Some(bad.into())).is_err(),
                "{bad:?}"
            );
        }
        for good in ["/", "/a|{}^?b`|\\", "//a"] {
            assert!(
                with(|head| head.path = Some(good.into())).is_ok(),
                "{good:?}"
            );
        }
        let asterisk = with(|head| {
            head.method = Method::OPTIONS;
            head.path = Some("*".into());
        });
        assert!(asterisk.is_ok());
    }
}
