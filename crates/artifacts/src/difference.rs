//! What differs between the files of two releases. Pure.

use std::collections::BTreeSet;

use crate::{Manifest, Packed, PackedPath};

/// Paths at which two manifests differ, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference(pub Vec<FileChange>);

/// What differs at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path.
    pub path: PackedPath,
    /// What was there, if anything was.
    pub before: Option<Packed>,
    /// What is there, if anything is.
    pub after: Option<Packed>,
}

/// What differs in `after`. When a file was changed last makes no difference.
pub fn difference(before: &Manifest, after: &Manifest) -> Difference {
    let (before, after) = (before.entries(), after.entries());
    let paths: BTreeSet<&PackedPath> = before.keys().chain(after.keys()).collect();
    let changes = paths.into_iter().filter_map(|path| {
        let (old, new) = (before.get(path), after.get(path));
        let differs = match (old, new) {
            (Some(old), Some(new)) => !is_same(old, new),
            _ => true,
        };
        differs.then(|| FileChange {
            path: path.clone(),
            before: old.cloned(),
            after: new.cloned(),
        })
    });
    Difference(changes.collect())
}

fn is_same(old: &Packed, new: &Packed) -> bool {
    let content = |packed: &Packed| match packed {
        Packed::File {
            digest, executable, ..
        } => Some((*digest, *executable)),
        Packed::Link { .. } | Packed::Folder => None,
    };
    match (content(old), content(new)) {
        (Some(old), Some(new)) => old == new,
        _ => old == new,
    }
}

impl Difference {
    /// How many paths are new, have changed, and have gone.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |kind: fn(&FileChange) -> bool| self.0.iter().filter(|c| kind(c)).count();
        (
            count(|change| change.before.is_none()),
            count(|change| change.before.is_some() && change.after.is_some()),
            count(|change| change.after.is_none()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest_of;

    #[test]
    fn what_differs_is_told_and_when_it_was_changed_is_not() {
        let file = |content: &str, executable, modified| Packed::File {
            digest: digest_of(content.as_bytes()),
            size: content.len() as u64,
            executable,
            modified,
        };
        let manifest = |entries: &[(&str, Packed)]| {
            let entry =
                |(path, packed): &(&str, Packed)| (PackedPath::new(*path).unwrap(), packed.clone());
            Manifest::new(entries.iter().map(entry).collect()).unwrap()
        };
        let before = manifest(&[
            ("gone", Packed::Folder),
            ("mode", file("x", false, 1)),
            ("same", file("x", false, 1)),
            ("text", file("x", false, 1)),
        ]);
        let after = manifest(&[
            ("mode", file("x", true, 1)),
            ("new", file("y", false, 1)),
            ("same", file("x", false, 2)),
            ("text", file("y", false, 1)),
        ]);
        let found = difference(&before, &after);
        let paths: Vec<&str> = found.0.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["gone", "mode", "new", "text"]);
        assert_eq!(found.counts(), (1, 2, 1));
        assert_eq!(difference(&before, &before), Difference::default());
    }
}
