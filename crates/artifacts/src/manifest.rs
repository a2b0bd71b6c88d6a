//! What a release consists of: each file by its path, and its content by its digest.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use model::Digest;
use serde::{Deserialize, Serialize};

use crate::digest::digest_of;
use crate::limits;

/// All files of a release. It cannot be changed, and is itself known by its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<PackedPath, Packed>")]
pub struct Manifest(BTreeMap<PackedPath, Packed>);

/// Something at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Packed {
    /// A regular file.
    File {
        /// Its content.
        digest: Digest,
        /// The length of its content in bytes.
        size: u64,
        /// Whether it can be executed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        executable: bool,
        /// When it was changed last, in nanoseconds since 1970. What says when a page was changed
        /// has it from here, so that pages that stay the same stay so for caches.
        modified: i64,
    },
    /// A symbolic link.
    Link {
        /// What it says, which may lead anywhere or nowhere.
        target: String,
    },
    /// A folder with nothing in it.
    Folder,
}

/// A path below the folder that is packed: names and slashes, no `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackedPath(String);

/// Why a path cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPackedPath {
    /// It is empty, absolute, or has a part that is no name.
    #[error("it is not a path of names below the folder")]
    NoNames,
    /// It is too long.
    #[error("it is longer than {} bytes", limits::LONGEST_PATH)]
    TooLong,
    /// It has a control character.
    #[error("its name has a control character")]
    Control,
}

/// Why files cannot be those of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// There are too many.
    #[error("a release has at most {most} files, and this one has {0}", most = limits::MOST_FILES)]
    TooMany(usize),
    /// They are too large together.
    #[error("the files of a release have at most {} bytes", limits::MOST_BYTES)]
    TooLarge,
    /// A path leads through what is no folder.
    #[error("{0} is below what is no folder")]
    NotBelowAFolder(PackedPath),
    /// A link says nothing that a link can say.
    #[error("the link {0} is empty, too long, or has a zero byte")]
    BadLink(PackedPath),
}

impl Manifest {
    /// Checks what is at each path.
    ///
    /// # Errors
    /// It cannot be unpacked, or not within the limits.
    pub fn new(entries: BTreeMap<PackedPath, Packed>) -> Result<Self, BadManifest> {
        if entries.len() > limits::MOST_FILES {
            return Err(BadManifest::TooMany(entries.len()));
        }
        let mut left = limits::MOST_BYTES;
        for (path, packed) in &entries {
            match packed {
                Packed::File { size, .. } => {
                    left = left.checked_sub(*size).ok_or(BadManifest::TooLarge)?;
                }
                Packed::Link { target } => {
                    if target.is_empty()
                        || target.len() > limits::LONGEST_LINK
                        || target.contains('\0')
                    {
                        return Err(BadManifest::BadLink(path.clone()));
                    }
                }
                Packed::Folder => {}
            }
            let is_folder = |above| matches!(entries.get(above), None | Some(Packed::Folder));
            if !path.folders().all(is_folder) {
                return Err(BadManifest::NotBelowAFolder(path.clone()));
            }
        }
        Ok(Self(entries))
    }

    /// What is at each path, in the order of the paths.
    pub fn entries(&self) -> &BTreeMap<PackedPath, Packed> {
        &self.0
    }

    /// The contents, each with its length in bytes.
    pub fn contents(&self) -> BTreeMap<Digest, u64> {
        self.files().collect()
    }

    /// The length of each file in bytes.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.files().map(|(_, size)| size)
    }

    fn files(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.0.values().filter_map(|packed| match packed {
            Packed::File { digest, size, .. } => Some((*digest, *size)),
            Packed::Link { .. } | Packed::Folder => None,
        })
    }

    /// It as it is kept: the same files are the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only text keys, which JSON can hold")
    }

    /// Its own digest.
    pub fn digest(&self) -> Digest {
        digest_of(&self.encode())
    }
}

impl TryFrom<BTreeMap<PackedPath, Packed>> for Manifest {
    type Error = BadManifest;
    fn try_from(entries: BTreeMap<PackedPath, Packed>) -> Result<Self, BadManifest> {
        Self::new(entries)
    }
}

impl PackedPath {
    /// Checks a path, its parts divided by `/`.
    ///
    /// # Errors
    /// It cannot be packed.
    pub fn new(path: impl Into<String>) -> Result<Self, BadPackedPath> {
        let path = path.into();
        if path.len() > limits::LONGEST_PATH {
            return Err(BadPackedPath::TooLong);
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadPackedPath::NoNames);
        }
        if path.chars().any(char::is_control) {
            return Err(BadPackedPath::Control);
        }
        Ok(Self(path))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The paths of the folders that it is in, the outermost first.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
}

/// It is compared as its text is.
impl Borrow<str> for PackedPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for PackedPath {
    type Error = BadPackedPath;
    fn try_from(text: String) -> Result<Self, BadPackedPath> {
        Self::new(text)
    }
}

impl From<PackedPath> for String {
    fn from(path: PackedPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(paths: &[(&str, Packed)]) -> Result<Manifest, BadManifest> {
        let entry =
            |(path, packed): &(&str, Packed)| (PackedPath::new(*path).unwrap(), packed.clone());
        Manifest::new(paths.iter().map(entry).collect())
    }

    fn file(size: u64) -> Packed {
        Packed::File {
            digest: digest_of(b""),
            size,
            executable: false,
            modified: 0,
        }
    }

    fn link(target: &str) -> Packed {
        Packed::Link {
            target: target.to_owned(),
        }
    }

    #[test]
    fn a_path_stays_below_its_folder() {
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            ".",
        ] {
            assert_eq!(PackedPath::new(bad), Err(BadPackedPath::NoNames), "{bad}");
        }
        assert_eq!(PackedPath::new("a\nb"), Err(BadPackedPath::Control));
        assert_eq!(
            PackedPath::new("a".repeat(2000)),
            Err(BadPackedPath::TooLong)
        );
        for good in ["a", "a/b", "..a", "a b/ü", ".env"] {
            assert!(PackedPath::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn nothing_is_below_a_link_or_a_file() {
        let below = |above| manifest(&[("a", above), ("a/b/c", file(1))]);
        let path = PackedPath::new("a/b/c").unwrap();
        let refused = Err(BadManifest::NotBelowAFolder(path));
        assert_eq!(below(link("/etc")), refused);
        assert_eq!(below(file(1)), refused);
        assert!(below(Packed::Folder).is_ok());
    }

    #[test]
    fn what_has_no_bounds_is_refused() {
        let large = [("a", file(u64::MAX)), ("b", file(1))];
        assert_eq!(manifest(&large), Err(BadManifest::TooLarge));
        assert!(manifest(&[("a", link(""))]).is_err());
        assert!(manifest(&[("a", link(&"x".repeat(5000)))]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_what_was_encoded(
            names in prop::collection::btree_map("[a-z]{1,3}(/[a-z]{1,3}){0,3}", 0u64..9, 0..20)
        ) {
            let entries = names.into_iter().map(|(path, kind)| {
                let packed = match kind {
                    0 => Packed::Folder,
                    1 => link("x"),
                    size => file(size),
                };
                (PackedPath::new(path).unwrap(), packed)
            });
            if let Ok(manifest) = Manifest::new(entries.collect()) {
                let decoded: Manifest = serde_json::from_slice(&manifest.encode()).unwrap();
                prop_assert_eq!(decoded.digest(), manifest.digest());
                prop_assert_eq!(decoded, manifest);
            }
        }

        #[test]
        fn any_bytes_are_a_manifest_or_refused(text in "\\PC{0,200}") {
            // What counts is that it says so and does not panic.
            let _ = serde_json::from_str::<Manifest>(&text);
        }
    }
}
