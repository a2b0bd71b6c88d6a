//! What the edge shows in place of its own short texts when a request ends in an error.
//!
//! In an app a page is the file that it is in, in a release and a snapshot what the file said when
//! the release was deployed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest page, in bytes.
pub const LONGEST_PAGE: usize = 64 * 1024;
/// How many statuses and classes of them an app may have pages for.
pub const MOST_PAGES: usize = 16;
/// How much all pages of an app may have together, in bytes.
pub const MOST_PAGE_BYTES: usize = 256 * 1024;

/// Which statuses a page is for: `404` is one, `5xx` is all from 500 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ErrorStatus {
    /// This one, from 400 to 599.
    One(u16),
    /// All that begin with this digit, 4 or 5.
    Class(u8),
}

/// A text does not say which statuses of errors are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is a status from 400 to 599, or all of a class: 4xx or 5xx")]
pub struct BadErrorStatus;

impl ErrorStatus {
    /// Reads `404`, `5xx` and the like.
    pub fn new(text: &str) -> Result<Self, BadErrorStatus> {
        match text.as_bytes() {
            [class @ (b'4' | b'5'), b'x', b'x'] => Ok(Self::Class(class - b'0')),
            [b'4' | b'5', b'0'..=b'9', b'0'..=b'9'] => {
                text.parse().map(Self::One).map_err(|_| BadErrorStatus)
            }
            _ => Err(BadErrorStatus),
        }
    }
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => status.fmt(f),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl TryFrom<String> for ErrorStatus {
    type Error = BadErrorStatus;
    fn try_from(text: String) -> Result<Self, BadErrorStatus> {
        Self::new(&text)
    }
}

impl From<ErrorStatus> for String {
    fn from(status: ErrorStatus) -> Self {
        status.to_string()
    }
}

/// What is shown for some statuses; `P` is a file or what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorPage<P> {
    /// For people.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub html: Option<P>,
    /// For programs, which ask for it.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub json: Option<P>,
    /// It also stands in place of what services answer with these statuses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub services: bool,
}

/// All pages of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorPages<P>(pub BTreeMap<ErrorStatus, ErrorPage<P>>);

impl<P> Default for ErrorPages<P> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<P> ErrorPages<P> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The page of a status: its own before that of its class.
    pub fn of(&self, status: u16) -> Option<&ErrorPage<P>> {
        let class = u8::try_from(status / 100).unwrap_or_default();
        let own = self.0.get(&ErrorStatus::One(status));
        own.or_else(|| self.0.get(&ErrorStatus::Class(class)))
    }

    /// Whether some stand in place of what services answer.
    pub fn replace_answers(&self) -> bool {
        self.0.values().any(|page| page.services)
    }
}

/// What a file said, of at most [`LONGEST_PAGE`] bytes. Copies share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageText(Arc<str>);

/// A text is too long for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page has at most {} KiB", LONGEST_PAGE / 1024)]
pub struct PageTooLong;

impl PageText {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, PageTooLong> {
        match text.len() <= LONGEST_PAGE {
            true => Ok(Self(text.into())),
            false => Err(PageTooLong),
        }
    }

    /// The text, with its placeholders.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PageText {
    type Error = PageTooLong;
    fn try_from(text: String) -> Result<Self, PageTooLong> {
        Self::new(&text)
    }
}

impl From<PageText> for String {
    fn from(text: PageText) -> Self {
        text.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class_is_read_and_nothing_else() {
        for good in ["400", "404", "599", "4xx", "5xx"] {
            assert_eq!(ErrorStatus::new(good).unwrap().to_string(), good);
        }
        for bad in [
            "", "200", "399", "600", "3xx", "4XX", "40x", "+40", "4040", "x",
        ] {
            assert!(ErrorStatus::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_page_of_a_status_goes_before_that_of_its_class() {
        let pages: ErrorPages<PageText> = serde_json::from_value(serde_json::json!({
            "503": { "html": "one" }, "5xx": { "html": "all", "services": true },
        }))
        .unwrap();
        let html = |status| Some(pages.of(status)?.html.as_ref()?.as_str());
        assert_eq!(
            [503, 502, 404, 0, 65_535].map(html),
            [Some("one"), Some("all"), None, None, None]
        );
        assert!(pages.replace_answers());
    }

    #[test]
    fn a_page_from_the_wire_is_bounded() {
        let page = |length| serde_json::from_value::<PageText>("x".repeat(length).into());
        assert!(page(LONGEST_PAGE).is_ok() && page(LONGEST_PAGE + 1).is_err());
    }
}
