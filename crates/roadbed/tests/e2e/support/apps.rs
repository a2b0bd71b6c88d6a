//! Apps for the tests, made of the example `trivial`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Builds the program of an example, once, and says where it is. It takes a moment when nothing
/// has changed.
pub(crate) fn build_example(example: &str) -> PathBuf {
    let folder = repository().join("examples").join(example);
    let output = Command::new(std::env::var("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--release", "--quiet", "--target-dir", "target"])
        .current_dir(&folder)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.join("target/release")
}

/// The program `trivial`.
pub(crate) fn trivial() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build_example("trivial").join("trivial"))
}

/// An app's folder, with the program `trivial` in it.
pub(crate) struct AppFolder {
    folder: TempDir,
}

impl AppFolder {
    /// An app that is declared so.
    pub(crate) fn new(declaration: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("app")
            .tempdir_in("/tmp")
            .unwrap();
        fs::copy(trivial(), folder.path().join("trivial")).unwrap();
        let app = Self { folder };
        app.declare(declaration);
        app
    }

    /// One instance at the edge, on [`SOLO`], that is run so.
    pub(crate) fn solo(run: &str) -> Self {
        let app = Self::new("");
        app.solo_runs(run);
        app
    }

    /// Replaces the declaration by that of [`AppFolder::solo`] with another command: a TOML value
    /// or more lines of the service.
    pub(crate) fn solo_runs(&self, run: &str) {
        self.solo_runs_within(run, "30s");
    }

    /// The same, with a deadline for getting ready: for tests of that.
    pub(crate) fn solo_runs_within(&self, run: &str, deadline: &str) {
        self.declare(&format!(
            r#"
app = "solo"
[services.web]
run    = {run}
expose = {{ host = "{SOLO}" }}
health = {{ path = "/healthz", deadline = "{deadline}", interval = "250ms" }}
"#
        ));
    }

    /// Two services of two instances each: `front` at the edge calls `back`.
    pub(crate) fn pair() -> Self {
        Self::new(PAIR)
    }

    /// Replaces the declaration.
    pub(crate) fn declare(&self, declaration: &str) {
        fs::write(self.folder.path().join("roadbed.toml"), declaration).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }
}

/// The host of [`AppFolder::solo`].
pub(crate) const SOLO: &str = "solo.localhost";

/// The host of `front`.
pub(crate) const HOST: &str = "pair.localhost";

/// The path by which `front` has `back` answer, with the number of its process.
pub(crate) const VIA: &str = "/via/back/";

/// See [`AppFolder::pair`].
pub(crate) const PAIR: &str = r#"
app = "pair"

[services.front]
run      = "./trivial"
replicas = 2
uses     = ["back"]
expose   = { host = "pair.localhost" }
health   = { path = "/healthz", interval = "250ms" }

[services.back]
run      = "./trivial"
replicas = 2
health   = { path = "/healthz", interval = "250ms" }
"#;
