//! What differs between two declarations, by their keys as users write them.

use std::collections::{BTreeMap, BTreeSet};

use artifacts::Contents;
use model::ReleaseFiles as Files;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiError;

/// The longest declaration that is read, in bytes; what the spec accepts.
const LONGEST_SOURCE: u64 = 1 << 20;

/// Keys that a release's record has; the difference itself has all.
pub(super) const MOST_REMEMBERED: usize = 100;

/// A key whose value differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyChange {
    /// The key, as `services.web.env.LOG`.
    pub key: String,
    /// Its value before, as it is written; none where it was not there.
    pub before: Option<String>,
    /// Its value after; none where it is not there.
    pub after: Option<String>,
}

/// The text of a release's `roadbed.toml`.
pub(super) fn source(contents: &Contents, files: &Files) -> Result<String, ApiError> {
    let text = contents.read(files.source, LONGEST_SOURCE)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The keys whose values differ.
pub(super) fn keys(before: &str, after: &str) -> Vec<KeyChange> {
    let (before, after) = (spec::flat_keys(before), spec::flat_keys(after));
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |values: &BTreeMap<String, String>, key: &String| values.get(key).cloned();
    all.into_iter()
        .map(|key| KeyChange {
            key: key.clone(),
            before: value(&before, key),
            after: value(&after, key),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_by_key() {
        let before = "app = \"a\"\n[services.web]\nrun = \"./web\"\nreplicas = 2\n\
                      [services.web.env]\nLOG = \"info\"\n[[routes]]\nhost = \"x\"\n";
        let after = "# words\napp = \"a\"\n[services.web]\nrun = \"./web\"\n\
                     env = { LOG = \"debug\" }\nuses = [\"b\"]\n";
        let told: Vec<_> = keys(before, after)
            .into_iter()
            .map(|change| (change.key, change.before, change.after))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                ("routes[0].host".into(), some("\"x\""), None),
                (
                    "services.web.env.LOG".into(),
                    some("\"info\""),
                    some("\"debug\"")
                ),
                ("services.web.replicas".into(), some("2"), None),
                ("services.web.uses".into(), None, some("[\"b\"]")),
            ]
        );
    }
}
