//! Heads as HTTP/2 has them, their pseudo-fields taken out.
//!
//! Whoever makes one has seen that names are tokens in lower case, and that values have neither
//! control bytes nor space around them (RFC 9113 section 8.2.1).

use http::{Method, StatusCode};

use crate::http::field_section::FieldSection;

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
