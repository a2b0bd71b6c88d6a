//! Heads and trailers as HTTP/2 has them: pseudo-fields first, then fields, by rules whose breach
//! makes a message malformed (RFC 9113 sections 8.1.1, 8.2 and 8.3).

use http::{Method, StatusCode};

use crate::http::field_section::FieldSection;

/// A message breaks a rule of HTTP/2; its stream ends with `PROTOCOL_ERROR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) authority: Option<Box<str>>,
    /// Path and query.
    pub(crate) path: Option<Box<str>>,
    /// What CONNECT is to open (RFC 8441).
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) fields: FieldSection,
}

/// The head of an answer, informational ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldSection,
}

/// Pseudo-fields as they came.
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    count: usize,
}

impl<'a> Pseudo<'a> {
    /// Reads those of `section`, and looks at the names and values of all fields.
    fn read(section: &'a FieldSection) -> Result<Self, Malformed> {
        let mut pseudo = Self::default();
        for (index, (name, value)) in section.iter().enumerate() {
            if !is_value(value) {
                return Err(Malformed);
            }
            let place = match name {
                b":method" => &mut pseudo.method,
                b":scheme" => &mut pseudo.scheme,
                b":authority" => &mut pseudo.authority,
                b":path" => &mut pseudo.path,
                b":protocol" => &mut pseudo.protocol,
                b":status" => &mut pseudo.status,
                _ if is_name(name) && !is_of_connection(name, value) => continue,
                _ => return Err(Malformed),
            };
            // Once each, and before all others.
            if place.replace(value).is_some() || pseudo.count != index {
                return Err(Malformed);
            }
            pseudo.count += 1;
        }
        Ok(pseudo)
    }
}

impl RequestHead {
    /// Takes the head of a request apart.
    ///
    /// # Errors
    /// It is malformed.
    pub(crate) fn parse(mut section: FieldSection) -> Result<Self, Malformed> {
        let pseudo = Pseudo::read(&section)?;
        let method = Method::from_bytes(pseudo.method.ok_or(Malformed)?).map_err(|_| Malformed)?;
        // CONNECT as such has neither (RFC 9113 section 8.5); as it opens a WebSocket it has both.
        let has_target = pseudo.scheme.is_some() && pseudo.path.is_some_and(|p| !p.is_empty());
        let is_plain_connect = method == Method::CONNECT && pseudo.protocol.is_none();
        let is_whole = match is_plain_connect {
            true => pseudo.scheme.is_none() && pseudo.path.is_none() && pseudo.authority.is_some(),
            false => has_target && pseudo.scheme.is_some_and(is_scheme),
        };
        let is_misplaced = pseudo.protocol.is_some() && method != Method::CONNECT;
        if !is_whole || is_misplaced || pseudo.status.is_some() {
            return Err(Malformed);
        }
        let authority = text(pseudo.authority)?;
        let (path, protocol) = (text(pseudo.path)?, text(pseudo.protocol)?);
        section.skip(pseudo.count);
        Ok(Self {
            method,
            authority,
            path,
            protocol,
            fields: section,
        })
    }
}

impl AnswerHead {
    /// Takes the head of an answer apart.
    ///
    /// # Errors
    /// It is malformed.
    pub(crate) fn parse(mut section: FieldSection) -> Result<Self, Malformed> {
        let pseudo = Pseudo::read(&section)?;
        let status = StatusCode::from_bytes(pseudo.status.ok_or(Malformed)?);
        let status = status.map_err(|_| Malformed)?;
        // Nothing is switched within HTTP/2 (RFC 9113 section 8.6).
        if pseudo.count != 1 || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed);
        }
        section.skip(1);
        Ok(Self {
            status,
            fields: section,
        })
    }
}

/// Looks at what follows content.
///
/// # Errors
/// It is malformed.
pub(crate) fn check_trailers(section: &FieldSection) -> Result<(), Malformed> {
    match Pseudo::read(section)?.count {
        0 => Ok(()),
        _ => Err(Malformed),
    }
}

fn text(value: Option<&[u8]>) -> Result<Option<Box<str>>, Malformed> {
    let text = value.map(|value| str::from_utf8(value).map(Box::from));
    text.transpose().map_err(|_| Malformed)
}

/// RFC 3986 section 3.1.
fn is_scheme(value: &[u8]) -> bool {
    value.first().is_some_and(u8::is_ascii_alphabetic)
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// A token in lower case (RFC 9110 section 5.6.2, RFC 9113 section 8.2.1).
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| NAME_BYTES[usize::from(byte)])
}

/// Which bytes a name may have.
const NAME_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let (mut at, all) = (0, b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");
    while at < all.len() {
        allowed[all[at] as usize] = true;
        at += 1;
    }
    allowed
};

/// No control bytes, and no space around it, which would be read differently further on.
fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_space(value.first())
        && !is_space(value.last())
        && value
            .iter()
            .all(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t')
}

/// What is about a connection of HTTP/1.1 (RFC 9113 section 8.2.2).
fn is_of_connection(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
            true
        }
        b"te" => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(fields: &[(&str, &str)]) -> FieldSection {
        fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect()
    }

    const GET: [(&str, &str); 4] = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/x?y"),
    ];

    fn with(more: &[(&str, &str)]) -> Result<RequestHead, Malformed> {
        RequestHead::parse(section(&[&GET[..], more].concat()))
    }

    #[test]
    fn heads_are_taken_apart() {
        let head = with(&[("te", "trailers"), ("cookie", "a=1")]).unwrap();
        assert_eq!(head.method, Method::GET);
        assert_eq!(head.authority.as_deref(), Some("a.test"));
        assert_eq!(head.path.as_deref(), Some("/x?y"));
        assert_eq!(
            head.fields,
            section(&[("te", "trailers"), ("cookie", "a=1")])
        );
        let answer = AnswerHead::parse(section(&[(":status", "204"), ("a", "b")])).unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.fields, section(&[("a", "b")]));
    }

    #[test]
    fn what_breaks_a_rule_is_malformed() {
        for more in [
            ("A", "upper case"),
            ("a b", "space"),
            ("a\"", "quotation mark"),
            ("", "no name"),
            ("a", "line\r\nend"),
            ("a", "\0"),
            ("a", " before"),
            ("a", "after\t"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            (":path", "/again"),
            (":unknown", "1"),
            (":status", "200"),
            (":protocol", "websocket"),
        ] {
            assert_eq!(with(&[more]), Err(Malformed), "{more:?}");
        }
        let late = [&[("a", "b")][..], &GET].concat();
        assert_eq!(RequestHead::parse(section(&late)), Err(Malformed));
        for missing in [0, 1, 3] {
            let mut fields = GET.to_vec();
            fields.remove(missing);
            assert!(RequestHead::parse(section(&fields)).is_err(), "{missing}");
        }
        for answer in [&[][..], &[(":status", "20")], &[(":status", "101")]] {
            assert!(AnswerHead::parse(section(answer)).is_err(), "{answer:?}");
        }
        assert!(AnswerHead::parse(section(&[(":status", "200"), (":path", "/")])).is_err());
        assert_eq!(check_trailers(&section(&[("a", "b")])), Ok(()));
        assert!(check_trailers(&section(&[(":status", "200")])).is_err());
    }

    #[test]
    fn connect_has_a_target_only_where_it_opens_something() {
        let plain = [(":method", "CONNECT"), (":authority", "a.test:1")];
        assert!(RequestHead::parse(section(&plain)).is_ok());
        let with_path = [&plain[..], &[(":scheme", "http"), (":path", "/")]].concat();
        assert!(RequestHead::parse(section(&with_path)).is_err());
        let opening = [&with_path[..], &[(":protocol", "websocket")]].concat();
        let head = RequestHead::parse(section(&opening)).unwrap();
        assert_eq!(head.protocol.as_deref(), Some("websocket"));
    }
}
