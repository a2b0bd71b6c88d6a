//! Files that an app names.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The longest path that is accepted, in bytes.
pub const LONGEST_FILE_PATH: usize = 1024;

/// The path of a file: within the app's folder, or absolute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// A text is not the path of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFilePath {
    /// The text is empty.
    #[error("a path cannot be empty")]
    Empty,
    /// The text has more than [`LONGEST_FILE_PATH`] bytes.
    #[error("a path has at most {LONGEST_FILE_PATH} bytes")]
    TooLong,
    /// The text has a control character.
    #[error("a path has no control characters")]
    Control,
    /// The path is relative and climbs above where it starts, at some point on its way.
    #[error("it leaves the app's folder")]
    Leaves,
}

impl FilePath {
    /// Checks `text`. An absolute path may be any, since who writes one says where it leads.
    pub fn new(text: impl Into<String>) -> Result<Self, BadFilePath> {
        let text = text.into();
        if text.is_empty() {
            return Err(BadFilePath::Empty);
        }
        if text.len() > LONGEST_FILE_PATH {
            return Err(BadFilePath::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(BadFilePath::Control);
        }
        if leaves_folder(&text) {
            return Err(BadFilePath::Leaves);
        }
        Ok(Self(text))
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path on disk of an app in `folder`.
    pub fn within(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

/// Whether a relative path climbs above where it starts, at any point on its way.
pub fn leaves_folder(path: &str) -> bool {
    if path.starts_with('/') {
        return false;
    }
    let mut depth = 0;
    path.split('/').any(|part| {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    })
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for FilePath {
    type Error = BadFilePath;
    fn try_from(text: String) -> Result<Self, BadFilePath> {
        Self::new(text)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_climbs_out_is_seen_wherever_it_does() {
        for path in ["../x", "a/../../b", "..", "./../x", "a/b/../../../a/b"] {
            assert_eq!(FilePath::new(path), Err(BadFilePath::Leaves), "{path}");
        }
        for path in ["x", "./x", "a/../b", "/etc/../etc/ssl", "a/..b/...", "..x"] {
            assert!(FilePath::new(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_path_is_a_text_of_bounded_length() {
        assert_eq!(FilePath::new(""), Err(BadFilePath::Empty));
        assert_eq!(FilePath::new("a\0b"), Err(BadFilePath::Control));
        assert_eq!(FilePath::new("a".repeat(1025)), Err(BadFilePath::TooLong));
        assert!(serde_json::from_str::<FilePath>("\"../x\"").is_err());
    }

    #[test]
    fn an_absolute_path_stays_where_it_is() {
        let folder = Path::new("/apps/shop");
        let within = |text| FilePath::new(text).unwrap().within(folder);
        assert_eq!(within("tls/shop.pem"), Path::new("/apps/shop/tls/shop.pem"));
        assert_eq!(within("/etc/ssl/shop.pem"), Path::new("/etc/ssl/shop.pem"));
    }
}
