//! Fields and their values, in whichever version of HTTP.

use super::field_section::FieldSection;
use super::refusal::Refusal;
use super::request_id::REQUEST_ID;

/// The field that tells a service that a request is a copy, whose answer nobody sees.
pub(crate) const MIRRORED: &[u8] = b"roadbed-mirror";

/// Whether a field of this name claims where a request came from or how, or that it is a copy.
/// Frameworks that name fields as CGI does take "_" for "-", so a claim must not slip through in that
/// spelling.
pub(crate) fn is_claim(name: &[u8]) -> bool {
    const FAMILY: &[u8] = b"x-forwarded-";
    let same = |part: &[u8], claim: &[u8]| {
        let pairs = part.iter().zip(claim);
        part.len() == claim.len()
            && pairs
                .map(|(&b, &c)| (if b == b'_' { b'-' } else { b }, c))
                .all(|(b, c)| b.eq_ignore_ascii_case(&c))
    };
    match name {
        [b'x' | b'X', ..] => {
            let start = name.get(..FAMILY.len());
            start.is_some_and(|start| same(start, FAMILY)) || same(name, b"x-real-ip")
        }
        [b'f' | b'F', ..] => name.eq_ignore_ascii_case(b"forwarded"),
        [b'r' | b'R', ..] => same(name, MIRRORED),
        _ => false,
    }
}

/// Whether a field of this name is one that the edge writes itself, whatever a client says in it.
pub(crate) fn is_of_edge(name: &[u8]) -> bool {
    let same = |b: &u8, c: &u8| b.eq_ignore_ascii_case(c) || (*b == b'_' && *c == b'-');
    let is_id = name.len() == REQUEST_ID.len()
        && matches!(name.first(), Some(b'x' | b'X'))
        && name.iter().zip(REQUEST_ID).all(|(b, c)| same(b, c));
    is_id || is_claim(name)
}

/// The length that `Content-Length` says, which is given once or not at all.
pub(crate) fn one_length(fields: &FieldSection) -> Result<Option<u64>, Refusal> {
    let mut lengths = fields.all(b"content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) => content_length(length).map(Some),
        (Some(_), Some(_)) => Err(Refusal::ContentLength),
    }
}

/// The elements of a comma-separated list, without empty ones.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&b| b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The value of `Content-Length`: digits only, no sign, no list.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::ContentLength);
    }
    Ok(value
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Fields that a trailer cannot carry, since they would come too late for whoever needs them and
/// a reader that merges them into the head would be misled.
const FORBIDDEN: [&[u8]; 16] = [
    b"authorization",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Whether a trailer may not have this name.
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    FORBIDDEN
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        || is_claim(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_digits_and_nothing_else() {
        assert_eq!(content_length(b"0"), Ok(0));
        assert_eq!(
            content_length(b"1234567890123456789"),
            Ok(1_234_567_890_123_456_789)
        );
        for bad in [
            &b""[..],
            b"+1",
            b"-1",
            b"1, 1",
            b"1 1",
            b"0x1",
            b"12345678901234567890",
        ] {
            assert_eq!(content_length(bad), Err(Refusal::ContentLength), "{bad:?}");
        }
    }
}
