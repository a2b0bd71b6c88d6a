//! What a client would rather read of an error (RFC 9110 section 12.5.1).

use memchr::memmem;

use crate::http::fields::elements;

/// What a client can be shown of an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wants {
    /// JSON, which it prefers to text.
    Json,
    /// A page: it takes HTML, or does not say what it takes.
    #[default]
    Html,
    /// A line of text: it takes neither.
    Text,
}

/// What all fields `Accept` of a request say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accept {
    json: bool,
    html: bool,
    is_there: bool,
}

impl Accept {
    /// Notes one of them.
    pub(crate) fn note(&mut self, value: &[u8]) {
        self.is_there = true;
        self.json |= prefers_json(value);
        self.html |= takes_html(value);
    }

    /// What they say together.
    pub(crate) fn wants(self) -> Wants {
        match self {
            Self { json: true, .. } => Wants::Json,
            Self { html: true, .. }
            | Self {
                is_there: false, ..
            } => Wants::Html,
            _ => Wants::Text,
        }
    }
}

/// Whether a value of `Accept` allows for HTML.
fn takes_html(accept: &[u8]) -> bool {
    // What nearly all clients say costs a comparison.
    if accept == b"*/*" || accept.starts_with(b"text/html,") {
        return true;
    }
    const HTML: [&[u8]; 3] = [b"text/html", b"text/*", b"*/*"];
    // The most specific one counts.
    let mut found = HTML.map(|_| None);
    for (kind, quality) in elements(accept).map(kind_and_quality) {
        if let Some(place) = HTML.iter().position(|html| kind.eq_ignore_ascii_case(html)) {
            found[place].get_or_insert(quality);
        }
    }
    found
        .into_iter()
        .flatten()
        .next()
        .is_some_and(|quality| quality > 0)
}

/// A type that an element names, and how much it is liked, in thousandths.
fn kind_and_quality(element: &[u8]) -> (&[u8], u32) {
    let mut parts = element.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default();
    let quality = parts
        .find_map(|part| part.strip_prefix(b"q="))
        .map_or(1000, thousandths);
    (kind, quality)
}

/// Whether a value of `Accept` names JSON and prefers no text to it. Wildcards do not count:
/// curl sends one, and a person reads its output.
fn prefers_json(accept: &[u8]) -> bool {
    if memmem::find(accept, b"json").is_none() {
        return false;
    }
    let (mut json, mut text) = (0, 0);
    for (kind, quality) in elements(accept).map(kind_and_quality) {
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
    fn a_page_is_for_whoever_does_not_say_otherwise() {
        let wants = |values: &[&str]| {
            let mut accept = Accept::default();
            values
                .iter()
                .for_each(|value| accept.note(value.as_bytes()));
            accept.wants()
        };
        for (values, expected) in [
            (&[][..], Wants::Html),
            (&["*/*"], Wants::Html),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], Wants::Html),
            (&["text/*;q=0.1"], Wants::Html),
            (&["image/png, Text/HTML"], Wants::Html),
            (&["image/png", "*/*"], Wants::Html),
            (&["image/avif,image/webp,*/*;q=0"], Wants::Text),
            (&["text/html;q=0, */*"], Wants::Text),
            (&["text/plain"], Wants::Text),
            (&["application/grpc"], Wants::Text),
            (&[""], Wants::Text),
            (&["application/json"], Wants::Json),
            (&["application/json, */*"], Wants::Json),
            (&["application/json;q=0.5, text/html"], Wants::Html),
        ] {
            assert_eq!(wants(values), expected, "{values:?}");
        }
    }

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
