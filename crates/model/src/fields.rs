//! Names and values of header fields that a rule of the edge looks at or changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a field, in lower case, that is for both ends of a request: none that is for one
/// connection only, frames a message, or that the edge itself sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(String);

/// A text is not such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFieldName {
    /// It is no name at all.
    #[error("the name of a field has 1 to 100 letters, digits and hyphens, \"_\" or \".\"")]
    Letters,
    /// It is for one connection, or frames the message.
    #[error("this field is about one connection or the message's length: the proxy writes it")]
    Framing,
    /// It says where a request came from, or for whom it is.
    #[error("the edge sets this field itself, or drops what clients say in it")]
    Claim,
}

/// Fields that are for one connection only, and those that say where a message ends.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FieldName {
    /// Checks `text`, which may be in any case.
    pub fn new(text: &str) -> Result<Self, BadFieldName> {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=100).contains(&text.len()) || !text.bytes().all(is_letter) {
            return Err(BadFieldName::Letters);
        }
        let name = text.to_ascii_lowercase();
        // Frameworks that name fields as CGI does take "_" for "-".
        let spelled = name.replace('_', "-");
        match spelled.as_str() {
            framing if FRAMING.contains(&framing) => Err(BadFieldName::Framing),
            "date" | "host" | "forwarded" | "roadbed-mirror" | "roadbed-reason" | "x-real-ip"
            | "x-request-id" => Err(BadFieldName::Claim),
            claim if claim.starts_with("x-forwarded-") => Err(BadFieldName::Claim),
            _ => Ok(Self(name)),
        }
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value of a field: printable ASCII, without space around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldValue(String);

/// A text is not such a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value is at most 4,096 printable ASCII characters, without space around them")]
pub struct BadFieldValue;

impl FieldValue {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, BadFieldValue> {
        let is_plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        match is_plain && text.trim() == text && text.len() <= 4096 {
            true => Ok(Self(text.to_owned())),
            false => Err(BadFieldValue),
        }
    }

    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FieldValue {
    type Error = BadFieldValue;
    fn try_from(text: String) -> Result<Self, BadFieldValue> {
        Self::new(&text)
    }
}

impl From<FieldValue> for String {
    fn from(value: FieldValue) -> Self {
        value.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for FieldName {
    type Error = BadFieldName;
    fn try_from(text: String) -> Result<Self, BadFieldName> {
        Self::new(&text)
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_begin_no_other_field() {
        assert!(FieldValue::new("").is_ok() && FieldValue::new("a b; c=\"d\"").is_ok());
        for bad in [" a", "a ", "a\r\nb: c", "a\tb", "é", &"a".repeat(4097)] {
            assert!(FieldValue::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_frames_a_message_or_claims_an_origin_is_no_name() {
        assert_eq!(FieldName::new("X-Beta").unwrap().as_str(), "x-beta");
        for (bad, error) in [
            ("", BadFieldName::Letters),
            ("a b", BadFieldName::Letters),
            (":path", BadFieldName::Letters),
            ("é", BadFieldName::Letters),
            ("Content-Length", BadFieldName::Framing),
            ("content_length", BadFieldName::Framing),
            ("Transfer-Encoding", BadFieldName::Framing),
            ("Host", BadFieldName::Claim),
            ("X_Forwarded_For", BadFieldName::Claim),
        ] {
            assert_eq!(FieldName::new(bad), Err(error), "{bad:?}");
        }
    }
}
