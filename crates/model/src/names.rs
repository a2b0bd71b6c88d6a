//! Names that users give to things, checked once and then trusted.
//!
//! Every name is a DNS label in lower case (RFC 1123, section 2.1) that starts with a letter, so
//! that it can stand in a host name, a file name, an environment variable and an identity alike.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name that is accepted, in bytes: a DNS label with room for a suffix.
pub const LONGEST_NAME: usize = 40;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name cannot be empty")]
    Empty,
    /// The text has more than [`LONGEST_NAME`] bytes.
    #[error("a name has at most {LONGEST_NAME} characters, this one has {0}")]
    TooLong(usize),
    /// The first character is not a lower-case letter.
    #[error("a name starts with a lower-case letter, not with {0:?}")]
    BadStart(char),
    /// A character other than a lower-case letter, a digit or a hyphen.
    #[error("a name has only lower-case letters, digits and hyphens, not {0:?}")]
    BadCharacter(char),
    /// The last character is a hyphen.
    #[error("a name cannot end with a hyphen")]
    TrailingHyphen,
}

fn check(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.len() > LONGEST_NAME {
        return Err(NameError::TooLong(text.chars().count()));
    }
    if !first.is_ascii_lowercase() {
        return Err(NameError::BadStart(first));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
        return Err(NameError::BadCharacter(bad));
    }
    if text.ends_with('-') {
        return Err(NameError::TrailingHyphen);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and makes a name of it.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as it appears in environment variables: upper case, `_` for `-`.
            pub fn environment_prefix(&self) -> String {
                self.0.to_ascii_uppercase().replace('-', "_")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name! {
    /// The name of an app: what one `roadbed.toml` declares.
    AppName
}
name! {
    /// The name of a service within its app.
    ServiceName
}
name! {
    /// The name of a folder that outlives releases, within its service.
    VolumeName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_dns_labels() {
        for text in ["a", "web", "orders-db", "v2", "a1-b2"] {
            assert_eq!(ServiceName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(AppName::new(""), Err(NameError::Empty));
        assert_eq!(AppName::new("Web"), Err(NameError::BadStart('W')));
        assert_eq!(AppName::new("1a"), Err(NameError::BadStart('1')));
        assert_eq!(AppName::new("a_b"), Err(NameError::BadCharacter('_')));
        assert_eq!(AppName::new("a-"), Err(NameError::TrailingHyphen));
        assert_eq!(AppName::new("a".repeat(41)), Err(NameError::TooLong(41)));
    }

    #[test]
    fn a_name_from_the_wire_is_checked() {
        assert!(serde_json::from_str::<AppName>("\"../etc\"").is_err());
    }

    #[test]
    fn environment_prefix_is_upper_case_with_underscores() {
        assert_eq!(
            ServiceName::new("orders-db").unwrap().environment_prefix(),
            "ORDERS_DB"
        );
    }
}
