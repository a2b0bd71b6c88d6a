//! Whether there is too much to be packed, and where most of it is. Pure.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use crate::PackError;
use crate::limits::{MOST_BYTES, MOST_FILES};

/// Something that would be packed.
#[derive(Debug, Clone)]
pub(crate) struct Found<'a> {
    pub(crate) path: &'a Path,
    pub(crate) bytes: u64,
}

impl<'a> From<(&'a PathBuf, &Metadata)> for Found<'a> {
    fn from((path, metadata): (&'a PathBuf, &Metadata)) -> Self {
        let bytes = if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
        Self { path, bytes }
    }
}

/// Where most of something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Most {
    /// The folder or file, below the app's folder; empty where it is in no one place.
    pub path: PathBuf,
    /// How much of it is there.
    pub there: u64,
    /// How much there is in all.
    pub all: u64,
}

/// Why all of `found` cannot be packed.
pub(crate) fn too_much<'a>(found: impl Iterator<Item = Found<'a>> + Clone) -> Option<PackError> {
    let files = found.clone().map(|found| (found.path, 1));
    if files.clone().count() > MOST_FILES {
        return Some(PackError::TooMany(most(files)));
    }
    let bytes = found.map(|found| (found.path, found.bytes));
    let all: u64 = bytes.clone().map(|(_, bytes)| bytes).sum();
    (all > MOST_BYTES).then(|| PackError::TooLarge(most(bytes)))
}

/// The innermost place with more than half of what is above it.
fn most<'a>(amounts: impl Iterator<Item = (&'a Path, u64)>) -> Most {
    let mut below: BTreeMap<&Path, u64> = BTreeMap::new();
    for (path, amount) in amounts {
        for above in path.ancestors() {
            *below.entry(above).or_default() += amount;
        }
    }
    let root = Path::new("");
    let all = below.get(root).copied().unwrap_or_default();
    let (mut path, mut there) = (root, all);
    loop {
        let inner = below
            .iter()
            .filter(|(inner, _)| inner.parent() == Some(path));
        match inner.max_by_key(|(_, amount)| **amount) {
            Some((inner, amount)) if *amount > there / 2 => (path, there) = (inner, *amount),
            _ => break,
        }
    }
    Most {
        path: path.to_owned(),
        there,
        all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_it_too_much_is_named() {
        let paths: Vec<PathBuf> = (0..60_000)
            .map(|number| PathBuf::from(format!("web/node_modules/{}/{number}", number % 100)))
            .chain((0..900).map(|number| PathBuf::from(format!("src/{number}"))))
            .collect();
        let found = paths.iter().map(|path| Found { path, bytes: 1 });
        let Some(PackError::TooMany(most)) = too_much(found) else {
            panic!("too many");
        };
        assert_eq!(most.path, Path::new("web/node_modules"));
        assert_eq!((most.there, most.all), (60_000, 60_900));
    }

    #[test]
    fn one_large_file_is_named() {
        let paths = [("data/all.db", MOST_BYTES), ("web", 1), ("data/x", 1)];
        let found = paths.iter().map(|(path, bytes)| Found {
            path: Path::new(path),
            bytes: *bytes,
        });
        let Some(PackError::TooLarge(most)) = too_much(found) else {
            panic!("too large");
        };
        assert_eq!(most.path, Path::new("data/all.db"));
        assert_eq!(most.all, MOST_BYTES + 2);
    }
}
