//! Whether a client would rather read an error in JSON (RFC 9110 section 12.5.1).

use memchr::memmem;

use crate::http::fields::elements;

/// Whether a value of `Accept` names JSON and prefers no text to it. Wildcards do not count:
/// curl sends one, and a person reads its output.
pub(crate) fn prefers_json(accept: &[u8]) -> bool {
    if memmem::find(accept, b"json").is_none() {
        return false;
    }
    let (mut json, mut text) = (0, 0);
    for element in elements(accept) {
        let mut parts = element.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .find_map(|part| part.strip_prefix(b"q="))
            .map_or(1000, thousandths);
        if kind == b"application/json" || kind.ends_with(b"+json") {
            json = json.max(quality);
        } else if kind.starts_with(b"text/") {
            text = text.max(quality);
        }
    }
    json > 0 && json >= text
}

/// A quality of 0 to 1 in thousandths; what is no quality counts as 0.
pub(crate) fn thousandths(quality: &[u8]) -> u32 {
    let (whole, fraction) = match quality {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return 0,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digits = fraction
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(3);
    digits
        .fold(u32::from(whole - b'0'), |sum, digit| {
            sum * 10 + u32::from(digit - b'0')
        })
        .min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_must_be_named_and_no_text_preferred() {
        for yes in [
            "application/json",
            "application/problem+json",
            "text/html;q=0.5, application/json",
        ] {
            assert!(prefers_json(yes.as_bytes()), "{yes}");
        }
        for no in [
            "*/*",
            "text/html",
            "application/json;q=0",
            "text/html, application/json;q=0.9",
            "",
            "json",
        ] {
            assert!(!prefers_json(no.as_bytes()), "{no}");
        }
    }
}
