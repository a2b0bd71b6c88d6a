//! Heads of requests over HTTP/2, held to the rules of RFC 9113 section 8 that the library leaves
//! to us, and to the same limits as those of HTTP/1.1.

use h2::ext::Protocol;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, header};

use crate::http::fields::{check_names, one_length};
use crate::http::message::{Body, RequestFacts, is_idempotent};
use crate::http::target::{self, check_host};
use crate::http::{Refusal, accept};
use crate::limits::{HEAD_FIELDS, METHOD_BYTES};
use crate::translate::request::Request;

/// The request whose head is `parts`; `ended` is whether it has no body.
///
/// # Errors
/// It breaks a rule or exceeds a limit.
pub(crate) fn validate(mut parts: Parts, ended: bool) -> Result<Request, Refusal> {
    if parts.headers.len() > HEAD_FIELDS {
        return Err(Refusal::TooManyFields);
    }
    if parts.method.as_str().len() > METHOD_BYTES {
        return Err(Refusal::Malformed("its method is too long"));
    }
    check_names(&parts.headers)?;
    check_values(&parts.headers)?;
    let upgrade = opens_websocket(&parts)?;
    let authority = authority(&parts)?;
    let path = path(&parts, upgrade)?;
    let facts = facts(&parts, ended, upgrade)?;
    parts.headers.remove(header::HOST);
    // It is about this connection; for gRPC it is said anew.
    parts.headers.remove(header::TE);
    if facts.body == Body::None {
        // Nothing waits to be continued.
        parts.headers.remove(header::EXPECT);
    }
    Ok(Request {
        facts,
        method: parts.method,
        authority: Some(authority),
        path,
        headers: parts.headers,
    })
}

/// RFC 9113 section 8.2.1: whitespace around a value would be read differently further on.
fn check_values(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bad = headers
        .values()
        .map(|value| value.as_bytes())
        .any(|value| is_space(value.first()) || is_space(value.last()));
    match bad {
        true => Err(Refusal::Malformed(
            "a field's value has whitespace around it",
        )),
        false => Ok(()),
    }
}

/// Whether it opens a WebSocket (RFC 8441). No other use of CONNECT is for a gateway.
fn opens_websocket(parts: &Parts) -> Result<bool, Refusal> {
    if parts.method != Method::CONNECT {
        return Ok(false);
    }
    match parts.extensions.get::<Protocol>() {
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => Ok(true),
        _ => Err(Refusal::Connect),
    }
}

/// Whom it is for: `:authority`, or `Host` where that is missing, and never two of them
/// (RFC 9113 section 8.3.1).
fn authority(parts: &Parts) -> Result<Authority, Refusal> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(Refusal::Host("Host is given more than once"));
    }
    let named = parts.uri.authority();
    let authority = match (named, host) {
        (Some(named), Some(host))
            if !host
                .as_bytes()
                .eq_ignore_ascii_case(named.as_str().as_bytes()) =>
        {
            return Err(Refusal::Host("Host and :authority name different hosts"));
        }
        (Some(named), _) => named.clone(),
        (None, Some(host)) => Authority::try_from(host.as_bytes())
            .map_err(|_| Refusal::Host("Host is not a host name with an optional port"))?,
        (None, None) => return Err(Refusal::Host(":authority is missing")),
    };
    check_host(authority.as_str().as_bytes())?;
    Ok(authority)
}

fn path(parts: &Parts, upgrade: bool) -> Result<PathAndQuery, Refusal> {
    let path = parts.uri.path_and_query();
    let path = path.ok_or(Refusal::Target(":path is missing"))?;
    let method = if upgrade {
        "GET"
    } else {
        parts.method.as_str()
    };
    if !path.as_str().starts_with('/') && path.as_str() != "*" {
        return Err(Refusal::Target("its path does not begin with \"/\""));
    }
    target::parse(method, path.as_str())?;
    Ok(path.clone())
}

fn facts(parts: &Parts, ended: bool, upgrade: bool) -> Result<RequestFacts, Refusal> {
    let length = one_length(&parts.headers)?;
    let body = match length {
        _ if ended || upgrade => Body::None,
        Some(length) if length > 0 => Body::Length(length),
        // A body of no bytes may still end in trailers.
        _ => Body::Chunked,
    };
    if ended && length.is_some_and(|length| length > 0) {
        return Err(Refusal::ContentLength);
    }
    let continues = parts.headers.get(header::EXPECT);
    if continues.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::Expectation);
    }
    let mut accepts = parts.headers.get_all(header::ACCEPT).iter();
    Ok(RequestFacts {
        old_version: false,
        is_head: parts.method == Method::HEAD,
        idempotent: is_idempotent(parts.method.as_str()),
        body,
        keep_alive: true,
        expects_continue: continues.is_some() && body != Body::None,
        upgrade,
        prefers_json: accepts.any(|value| accept::prefers_json(value.as_bytes())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> Result<Request, Refusal> {
        let builder = http::Request::builder().uri("https://a.test/x?y");
        let (parts, ()) = build(builder).body(()).unwrap().into_parts();
        validate(parts, true)
    }

    #[test]
    fn what_is_asked_is_understood() {
        let request = check(|b| b.header("cookie", "a=1").header("host", "A.TEST")).unwrap();
        assert_eq!(request.authority.unwrap().as_str(), "a.test");
        assert_eq!(request.path.as_str(), "/x?y");
        assert!(request.facts.idempotent && request.headers.len() == 1);
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        type Build = fn(http::request::Builder) -> http::request::Builder;
        let bad: [(&str, Build); 11] = [
            ("another host", |b| b.header("host", "b.test")),
            ("two hosts", |b| {
                b.header("host", "a.test").header("host", "a.test")
            }),
            ("user", |b| b.uri("https://u@a.test/")),
            ("connect", |b| b.method("CONNECT")),
            ("climbing", |b| b.uri("https://a.test/a/%2e%2e/b")),
            ("length of nothing", |b| b.header("content-length", "1")),
            ("length", |b| b.header("content-length", "+0")),
            ("two lengths", |b| {
                b.header("content-length", "0")
                    .header("content-length", "0")
            }),
            ("expectation", |b| b.header("expect", "x")),
            ("name", |b| {
                b.header(http::HeaderName::from_lowercase(b"a\"b").unwrap(), "1")
            }),
            ("method", |b| b.method("A".repeat(25).as_str())),
        ];
        for (what, build) in bad {
            assert!(check(build).is_err(), "{what}");
        }
        assert!(check(|b| (0..101).fold(b, |b, n| b.header(format!("x-{n}"), ""))).is_err());
    }
}
