//! What an app shows in place of an error: which page fits a client, and what is filled into it.

use bytes::Bytes;
use model::{ErrorPages, PageText};

use super::accept::Wants;
use super::request_id::RequestId;

/// What may stand in a page: `{{status}}`, `{{reason}}` and `{{request_id}}`. All else stays.
const OPENED: &str = "{{";
const CLOSED: &str = "}}";

/// Fields of a service's answer that are about the content which the page takes the place of.
const ABOUT_CONTENT: [&[u8]; 14] = [
    b"accept-ranges",
    b"content-digest",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-length",
    b"content-location",
    b"content-md5",
    b"content-range",
    b"content-type",
    b"digest",
    b"etag",
    b"last-modified",
    b"repr-digest",
];

/// Whether a field of this name, which is in lower case, is about the content of its answer.
pub(crate) fn is_about_content(name: &[u8]) -> bool {
    ABOUT_CONTENT.contains(&name)
}

/// A page that fits a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    text: &'a str,
    is_json: bool,
}

impl<'a> Page<'a> {
    /// The page of `pages` for a client that wants what it `wants` to read of this status. Who wants
    /// JSON is never shown HTML, and the other way round.
    pub(crate) fn find(
        pages: Option<&'a ErrorPages<PageText>>,
        status: u16,
        wants: Wants,
    ) -> Option<Self> {
        let page = pages?.of(status)?;
        let (text, is_json) = match wants {
            Wants::Json => (page.json.as_ref()?, true),
            Wants::Html => (page.html.as_ref()?, false),
            Wants::Text => return None,
        };
        Some(Self {
            text: text.as_str(),
            is_json,
        })
    }

    /// Its type.
    pub(crate) fn content_type(self) -> &'static str {
        match self.is_json {
            true => "application/json",
            false => "text/html; charset=utf-8",
        }
    }

    /// The page with what it asks for filled in.
    pub(crate) fn fill(self, status: u16, reason: &str, id: Option<&RequestId>) -> Bytes {
        let id = id.map(|id| String::from_utf8_lossy(id.as_bytes()));
        let mut filled = String::with_capacity(self.text.len() + 64);
        let mut rest = self.text;
        while let Some(start) = rest.find(OPENED) {
            let (before, after) = rest.split_at(start);
            filled.push_str(before);
            let inner = after[OPENED.len()..].split_once(CLOSED);
            let value = match inner.map(|(name, _)| name.trim()) {
                Some("status") => Some(status.to_string()),
                Some("reason") => Some(reason.to_owned()),
                Some("request_id") => Some(id.as_deref().unwrap_or_default().to_owned()),
                _ => None,
            };
            rest = match (value, inner) {
                (Some(value), Some((_, rest))) => {
                    self.push(&mut filled, &value);
                    rest
                }
                // Something of the page's own: what follows may still be for us.
                _ => {
                    filled.push_str(&after[..1]);
                    &after[1..]
                }
            };
        }
        filled.push_str(rest);
        filled.into()
    }

    /// Adds a value so that it is text and nothing else, also within quotation marks.
    fn push(self, filled: &mut String, value: &str) {
        for character in value.chars() {
            match character {
                '&' | '<' | '>' | '"' | '\'' if !self.is_json => {
                    filled.push_str(&format!("&#{};", u32::from(character)));
                }
                '"' | '\\' | '\0'..='\x1f' if self.is_json => {
                    filled.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                other => filled.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(text: &str, is_json: bool) -> Page<'_> {
        Page { text, is_json }
    }

    fn filled(text: &str, is_json: bool, reason: &str) -> String {
        let bytes = page(text, is_json).fill(502, reason, None);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_filled_in_and_the_rest_stays() {
        for (text, expected) in [
            ("{{status}}: {{ reason }}.{{request_id}}", "502: x."),
            ("a{b:{c}} {{", "a{b:{c}} {{"),
            ("{{{status}}}", "{502}"),
            ("{{other}} {{ {{status}} }}", "{{other}} {{ 502 }}"),
            ("{{status", "{{status"),
            ("é{{status}}é", "é502é"),
            ("", ""),
        ] {
            assert_eq!(filled(text, false, "x"), expected, "{text}");
        }
    }

    #[test]
    fn what_is_filled_in_is_never_markup() {
        let bad = "<b>\"&'\\\n";
        assert_eq!(
            filled("{{reason}}", false, bad),
            "&#60;b&#62;&#34;&#38;&#39;\\\n"
        );
        let json = filled("{\"a\": \"{{reason}}\"}", true, bad);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["a"], bad);
    }

    #[test]
    fn nobody_is_shown_what_they_did_not_ask_for() {
        let pages: ErrorPages<PageText> = serde_json::from_value(serde_json::json!({
            "4xx": { "html": "h" }, "500": { "json": "j" }, "5xx": { "html": "h", "json": "j" },
        }))
        .unwrap();
        let shown = |status, wants| {
            let page = Page::find(Some(&pages), status, wants)?;
            Some((page.text.to_owned(), page.content_type()))
        };
        let html = Some(("h".to_owned(), "text/html; charset=utf-8"));
        let json = Some(("j".to_owned(), "application/json"));
        for (status, expected) in [
            (404, [html.clone(), None]),
            (500, [None, json.clone()]),
            (502, [html, json]),
            (200, [None, None]),
        ] {
            let found = [Wants::Html, Wants::Json].map(|wants| shown(status, wants));
            assert_eq!(found, expected, "{status}");
            assert_eq!(shown(status, Wants::Text), None);
        }
        assert!(Page::find(None, 502, Wants::Html).is_none());
    }

    proptest! {
        #[test]
        fn any_page_can_be_filled(text in "[{}a-z_ é]*|.*", is_json in any::<bool>()) {
            let filled = filled(&text, is_json, "x");
            if !text.contains(OPENED) {
                prop_assert_eq!(filled, text);
            }
        }
    }
}
