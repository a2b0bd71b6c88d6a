//! Finding what is to be packed: what `.gitignore` and `.roadbedignore` leave, and what the app
//! names. Links are never followed, and nothing is opened.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

use crate::PackError;
use crate::named::Named;
use crate::too_much::{Found, too_much};

/// Says what is not part of a release, in addition to `.gitignore` and in the same way.
const IGNORE_FILE: &str = ".roadbedignore";

/// How much of a folder that has too much is looked at, to say where it is.
const MOST_SEEN: usize = 500_000;

/// What is at each path below a folder.
pub(crate) type Seen = BTreeMap<PathBuf, Metadata>;

/// Finds what is to be packed of `folder`; nothing in `apart` is.
pub(crate) fn walk(folder: &Path, named: &Named, apart: &Path) -> Result<Seen, PackError> {
    let mut seen = Seen::new();
    let is_in_repository = folder.ancestors().any(|above| above.join(".git").exists());
    let mut by_rules = builder(folder, apart);
    by_rules
        .git_ignore(true)
        // Rules above the folder count up to where the repository begins, as they do for git.
        .require_git(is_in_repository)
        .parents(is_in_repository)
        .add_custom_ignore_filename(IGNORE_FILE);
    add(&mut seen, folder, &by_rules)?;
    for whole in &named.whole {
        add_whole(&mut seen, folder, whole, apart)?;
    }
    for word in &named.words {
        add_what_it_leads_to(&mut seen, folder, word);
    }
    match too_much(seen.iter().map(Found::from)) {
        Some(error) => Err(error),
        None => Ok(seen),
    }
}

/// Adds what an app says has to be there, with all that is in it.
fn add_whole(seen: &mut Seen, folder: &Path, path: &str, apart: &Path) -> Result<(), PackError> {
    let Ok(real) = fs::canonicalize(folder.join(path)) else {
        return Err(PackError::NotThere {
            path: path.to_owned(),
            folder: folder.to_owned(),
        });
    };
    if !real.starts_with(folder) {
        return Err(PackError::Outside {
            path: path.to_owned(),
            leads_to: real,
        });
    }
    add_links_on_the_way(seen, folder, Path::new(path));
    add(seen, folder, &builder(&real, apart))
}

/// A walk over everything below `path` but what is never packed.
fn builder(path: &Path, apart: &Path) -> WalkBuilder {
    let mut builder = WalkBuilder::new(path);
    let apart = apart.to_owned();
    builder
        .standard_filters(false)
        .follow_links(false)
        .filter_entry(move |entry| entry.file_name() != ".git" && entry.path() != apart);
    builder
}

fn add(seen: &mut Seen, folder: &Path, walk: &WalkBuilder) -> Result<(), PackError> {
    for entry in walk.build() {
        let entry = entry.map_err(|error| PackError::Walk(error.to_string()))?;
        let Some(path) = relative(&entry, folder) else {
            continue;
        };
        // What has gone since its folder was read was not there.
        if let Ok(metadata) = fs::symlink_metadata(entry.path()) {
            seen.insert(path, metadata);
        }
        if seen.len() > MOST_SEEN {
            break;
        }
    }
    Ok(())
}

fn relative(entry: &DirEntry, folder: &Path) -> Option<PathBuf> {
    let path = entry.path().strip_prefix(folder).ok()?;
    (path != Path::new("")).then(|| path.to_owned())
}

/// Adds the file at `path`, and where that is a link what it leads to, as long as that is below the
/// folder. Folders are not added: too many words happen to name one.
fn add_what_it_leads_to(seen: &mut Seen, folder: &Path, path: &str) {
    let full = folder.join(path);
    let Ok(real) = fs::canonicalize(&full) else {
        return;
    };
    let Ok(real) = real.strip_prefix(folder) else {
        add_links_on_the_way(seen, folder, Path::new(path));
        return;
    };
    if real.iter().any(|part| part == ".git") {
        return;
    }
    let Ok(metadata) = fs::symlink_metadata(folder.join(real)) else {
        return;
    };
    if metadata.is_file() {
        add_links_on_the_way(seen, folder, Path::new(path));
        seen.insert(real.to_owned(), metadata);
    }
}

/// Adds the links that a path leads through, each as far as it is found below the folder.
fn add_links_on_the_way(seen: &mut Seen, folder: &Path, path: &Path) {
    let mut path = path.to_owned();
    // As many as the kernel follows.
    for _ in 0..40 {
        let above: Vec<&Path> = path.ancestors().collect();
        let link = above.into_iter().rev().find_map(|above| {
            let metadata = fs::symlink_metadata(folder.join(above)).ok()?;
            metadata.is_symlink().then(|| (above.to_owned(), metadata))
        });
        let Some((link, metadata)) = link else {
            return;
        };
        let Ok(target) = fs::read_link(folder.join(&link)) else {
            return;
        };
        let rest = path.strip_prefix(&link).unwrap_or(Path::new(""));
        let next = link
            .parent()
            .unwrap_or(Path::new(""))
            .join(target)
            .join(rest);
        seen.insert(link, metadata);
        let next = next.to_str().and_then(crate::named::below);
        let Some(next) = next else {
            return;
        };
        path = PathBuf::from(next);
    }
}
