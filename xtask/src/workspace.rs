//! Where things are in the checkout, and commands that run there.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Workspaces of their own, which Cargo does not reach from the root; `fuzz` included.
const OTHER_WORKSPACES: [&str; 3] = ["examples/shop", "examples/trivial", "fuzz"];

/// The folder of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The folders of all Cargo workspaces that are there, the main one first.
pub(crate) fn all() -> Vec<PathBuf> {
    let others = OTHER_WORKSPACES.iter().map(|folder| root().join(folder));
    std::iter::once(root().to_owned())
        .chain(others.filter(|folder| folder.join("Cargo.toml").exists()))
        .collect()
}

/// `cargo` with these words, run in `folder`. Workspaces other than the main one build into their
/// own `target`, where their `roadbed.toml` looks for programs.
pub(crate) fn cargo(folder: &Path, words: &str) -> Command {
    let mut command = command(
        folder,
        &std::env::var("CARGO").unwrap_or("cargo".into()),
        words,
    );
    if folder != root() {
        command.env("CARGO_TARGET_DIR", folder.join("target"));
    }
    command
}

/// A program with these words, run in `folder`.
pub(crate) fn command(folder: &Path, program: &str, words: &str) -> Command {
    let mut command = Command::new(program);
    command.args(words.split_whitespace()).current_dir(folder);
    command
}

/// A folder's name as people know it: relative to the checkout.
pub(crate) fn name(folder: &Path) -> String {
    match folder.strip_prefix(root()) {
        Ok(inner) if inner.as_os_str().is_empty() => "the workspace".to_owned(),
        Ok(inner) => inner.display().to_string(),
        Err(_) => folder.display().to_string(),
    }
}
