//! A value that must not be seen: it is never printed, and reading it is spelled out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that logs, messages and debug output do not show. It is serialized as it is: whoever
/// writes one sees to it that only its owner can read what was written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one use that needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_not_printed_and_survives_json() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{:?}", Some(&secret)), "Some([secret])");
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(
            serde_json::from_str::<Secret<String>>(&json).unwrap(),
            secret
        );
    }
}
