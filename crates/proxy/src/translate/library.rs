//! The border to the library `h2`, whose heads are those of the library `http`.

use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use super::http2_head::{Http2Head, answer_block};
use crate::http::Refusal;
use crate::http::field_section::FieldSection;
use crate::http2::head::{AnswerHead, RequestHead};

/// The head of a request that came.
///
/// # Errors
/// It has a name or a value that the library lets pass although RFC 9113 section 8.2.1 does not.
pub(crate) fn request_head(parts: http::request::Parts) -> Result<RequestHead, Refusal> {
    let fields = checked(&parts.headers)?;
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if fields
        .iter()
        .any(|(_, value)| is_space(value.first()) || is_space(value.last()))
    {
        return Err(Refusal::Malformed(
            "a field's value has whitespace around it",
        ));
    }
    let protocol = parts.extensions.get::<Protocol>();
    Ok(RequestHead {
        method: parts.method,
        authority: parts.uri.authority().map(|text| text.as_str().into()),
        path: parts.uri.path_and_query().map(|text| text.as_str().into()),
        protocol: protocol.map(|protocol| protocol.as_str().into()),
        fields,
    })
}

/// The head of an answer that came.
///
/// # Errors
/// It has a name that is none.
pub(crate) fn answer_head(parts: &http::response::Parts) -> Result<AnswerHead, Refusal> {
    Ok(AnswerHead {
        status: parts.status,
        fields: checked(&parts.headers)?,
    })
}

/// Fields that came, of a head or behind content.
///
/// # Errors
/// There is a name with a byte that no name may have (RFC 9110 section 5.6.2). Of those the library
/// lets one pass.
pub(crate) fn checked(headers: &HeaderMap) -> Result<FieldSection, Refusal> {
    let fields: FieldSection = headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect();
    let is_bad = fields.iter().any(|(name, _)| name.contains(&b'"'));
    match is_bad {
        true => Err(Refusal::Malformed("a field's name has a quotation mark")),
        false => Ok(fields),
    }
}

/// Fields that leave behind content.
pub(crate) fn trailers(fields: &FieldSection) -> HeaderMap {
    let mut headers = HeaderMap::new();
    append(&mut headers, fields.iter());
    headers
}

fn append<'a>(headers: &mut HeaderMap, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    for (name, value) in fields {
        // They have been checked, whichever codec they came from.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
}

/// The head of an answer that leaves.
pub(crate) fn response(status: StatusCode, fields: &FieldSection) -> http::Response<()> {
    let mut response = http::Response::new(());
    for (name, value) in answer_block(&status, fields) {
        match name {
            b":status" => *response.status_mut() = status,
            _ => append(response.headers_mut(), std::iter::once((name, value))),
        }
    }
    response
}

/// The head of a request that leaves.
///
/// # Errors
/// Its parts make no URL.
pub(crate) fn request(head: &Http2Head<'_>) -> Result<http::Request<()>, http::Error> {
    let (mut request, mut uri) = (http::Request::new(()), Uri::builder());
    for (name, value) in head.block() {
        match name {
            b":method" => *request.method_mut() = Method::from_bytes(value)?,
            b":scheme" => uri = uri.scheme(Scheme::try_from(value)?),
            b":authority" => uri = uri.authority(Authority::try_from(value)?),
            b":path" => uri = uri.path_and_query(PathAndQuery::try_from(value)?),
            b":protocol" => {
                let protocol = Protocol::from(&*String::from_utf8_lossy(value));
                request.extensions_mut().insert(protocol);
            }
            _ => append(request.headers_mut(), std::iter::once((name, value))),
        }
    }
    *request.uri_mut() = uri.build()?;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &[u8], value: &str) -> Result<RequestHead, Refusal> {
        let request = http::Request::builder().uri("https://a.test/x?y");
        let request = request.header(HeaderName::from_lowercase(name).unwrap(), value);
        request_head(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn heads_are_taken_over_unless_the_library_has_let_too_much_pass() {
        let head = read(b"cookie", "a=1").unwrap();
        assert_eq!(head.authority.as_deref(), Some("a.test"));
        assert_eq!(head.path.as_deref(), Some("/x?y"));
        assert_eq!(head.fields.get(b"cookie"), Some(&b"a=1"[..]));
        for (name, value) in [(&b"a\"b"[..], "1"), (b"a", " 1"), (b"a", "1\t")] {
            assert!(read(name, value).is_err(), "{name:?}: {value:?}");
        }
        let mut answer = http::Response::new(());
        let name = HeaderName::from_lowercase(b"a\"b").unwrap();
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static("1"));
        assert!(answer_head(&answer.into_parts().0).is_err());
    }
}
