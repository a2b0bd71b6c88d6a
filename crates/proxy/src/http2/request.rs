//! Requests over HTTP/2, held to the rules and limits of those over HTTP/1.1.

use http::Method;

use super::head::RequestHead;
use crate::http::field_section::FieldSection;
use crate::http::fields::one_length;
use crate::http::message::{Body, RequestFacts, is_idempotent};
use crate::http::target::{self, check_host};
use crate::http::{Refusal, accept};
use crate::limits::{HEAD_FIELDS, METHOD_BYTES};
use crate::translate::request::Request;

/// The request whose head is `head`; `ended` is whether it has no body.
///
/// # Errors
/// It breaks a rule or exceeds a limit.
pub(crate) fn validate(head: RequestHead, ended: bool) -> Result<Request, Refusal> {
    if head.fields.len() > HEAD_FIELDS {
        return Err(Refusal::TooManyFields);
    }
    if head.method.as_str().len() > METHOD_BYTES {
        return Err(Refusal::Malformed("its method is too long"));
    }
    let upgrade = opens_websocket(&head)?;
    let facts = facts(&head, ended, upgrade)?;
    let authority = authority(head.authority, &head.fields)?;
    let path = path(head.path, &head.method, upgrade)?;
    let mut fields = head.fields;
    fields.remove(b"host");
    // It is about this connection; for gRPC it is said anew.
    fields.remove(b"te");
    if facts.body == Body::None {
        // Nothing waits to be continued.
        fields.remove(b"expect");
    }
    Ok(Request {
        facts,
        method: head.method,
        authority: Some(authority),
        path,
        fields,
    })
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

/// Whom it is for: `:authority`, or `Host` where that is missing, and never two of them
/// (RFC 9113 section 8.3.1).
fn authority(named: Option<Box<str>>, fields: &FieldSection) -> Result<Box<str>, Refusal> {
    let mut hosts = fields.all(b"host");
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(Refusal::Host("Host is given more than once"));
    }
    let authority = match (named, host) {
        (Some(named), Some(host)) if !host.eq_ignore_ascii_case(named.as_bytes()) => {
            return Err(Refusal::Host("Host and :authority name different hosts"));
        }
        (Some(named), _) => named,
        (None, Some(host)) => str::from_utf8(host)
            .map_err(|_| Refusal::Host("Host is not a host name with an optional port"))?
            .into(),
        (None, None) => return Err(Refusal::Host(":authority is missing")),
    };
    check_host(authority.as_bytes())?;
    Ok(authority)
}

fn path(path: Option<Box<str>>, method: &Method, upgrade: bool) -> Result<Box<str>, Refusal> {
    let path = path.ok_or(Refusal::Target(":path is missing"))?;
    let method = if upgrade { "GET" } else { method.as_str() };
    if !path.starts_with('/') && &*path != "*" {
        return Err(Refusal::Target("its path does not begin with \"/\""));
    }
    target::parse(method, &path)?;
    Ok(path)
}

fn facts(head: &RequestHead, ended: bool, upgrade: bool) -> Result<RequestFacts, Refusal> {
    let length = one_length(&head.fields)?;
    let body = match length {
        _ if ended || upgrade => Body::None,
        Some(length) if length > 0 => Body::Length(length),
        // A body of no bytes may still end in trailers.
        _ => Body::Chunked,
    };
    if ended && length.is_some_and(|length| length > 0) {
        return Err(Refusal::ContentLength);
    }
    let continues = head.fields.get(b"expect");
    if continues.is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::Expectation);
    }
    Ok(RequestFacts {
        old_version: false,
        is_head: head.method == Method::HEAD,
        idempotent: is_idempotent(head.method.as_str()),
        body,
        keep_alive: true,
        expects_continue: continues.is_some() && body != Body::None,
        upgrade,
        prefers_json: head.fields.all(b"accept").any(accept::prefers_json),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> RequestHead {
        RequestHead {
            method: Method::GET,
            authority: Some("a.test".into()),
            path: Some("/x?y".into()),
            protocol: None,
            fields: FieldSection::default(),
        }
    }

    fn check(change: impl FnOnce(&mut RequestHead)) -> Result<Request, Refusal> {
        let mut head = head();
        change(&mut head);
        validate(head, true)
    }

    fn check_fields(fields: &[(&str, &str)]) -> Result<Request, Refusal> {
        check(|head| {
            for (name, value) in fields {
                head.fields.push(name.as_bytes(), value.as_bytes());
            }
        })
    }

    #[test]
    fn what_is_asked_is_understood() {
        let request = check_fields(&[("cookie", "a=1"), ("host", "A.TEST")]).unwrap();
        assert_eq!(request.authority.as_deref(), Some("a.test"));
        assert_eq!(&*request.path, "/x?y");
        assert!(request.facts.idempotent && request.fields.len() == 1);
    }

    #[test]
    fn fields_that_break_a_rule_are_refused() {
        for bad in [
            &[("host", "b.test")][..],
            &[("host", "a.test"), ("host", "a.test")],
            &[("content-length", "1")],
            &[("content-length", "+0")],
            &[("content-length", "0"), ("content-length", "0")],
            &[("expect", "x")],
        ] {
            assert!(check_fields(bad).is_err(), "{bad:?}");
        }
        let many = [("x", "")].repeat(HEAD_FIELDS + 1);
        assert_eq!(check_fields(&many).err(), Some(Refusal::TooManyFields));
    }

    #[test]
    fn targets_that_break_a_rule_are_refused() {
        for path in [
            "x",
            "*",
            "http://a.test/",
            "/a/%2e%2e/b",
            "/a b",
            "/a#b",
            "/a\\b",
            "/a\"b",
            "/<",
            "/é",
        ] {
            let refused = check(|head| head.path = Some(path.into()));
            assert!(refused.is_err(), "{path}");
        }
        for host in ["", "u@a.test", "a b", "a/b", "a.test:1:2", "a\"b", "é.test"] {
            let refused = check(|head| head.authority = Some(host.into()));
            assert!(refused.is_err(), "{host}");
        }
        let long = "A".repeat(METHOD_BYTES + 1);
        assert!(check(|head| head.method = long.parse().unwrap()).is_err());
        assert_eq!(
            check(|head| head.method = Method::CONNECT).err(),
            Some(Refusal::Connect)
        );
    }
}
