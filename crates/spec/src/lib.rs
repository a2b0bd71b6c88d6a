//! From `roadbed.toml` as written to a valid app, or to everything that is wrong with it.
//!
//! The way of a file: `load` reads it, toml's parser makes a syntax tree that keeps places and
//! survives syntax errors, `keys` takes out what is unknown, serde makes the as-written types of
//! `app_file` of the rest (a value of the wrong type does not stop it, see `written`), and
//! `validate` makes a [`model::App`] of those. Each step notes what it finds and goes on, so that
//! one run reports everything.

mod app_file;
mod command;
mod duration;
mod findings;
mod flat;
mod keys;
mod limits;
mod load;
mod problem;
mod schema;
mod size;
mod validate;
mod written;

use model::App;
use serde::Deserialize;
use toml::de::{DeTable, Deserializer};

use app_file::AppFile;
use findings::Findings;
use validate::Valid;

pub use flat::flat_keys;
pub use load::{FILE_NAME, LoadError, Loaded, load};
pub use problem::{Problem, Problems};
pub use schema::json_schema;

/// Reads a number of bytes as people write it: `512MiB`.
///
/// # Errors
///
/// Why it is none, as a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    size::parse(text).map_err(|error| error.to_string())
}

/// Reads an app from `source`, without a look at the disk. `file` is only for messages.
///
/// # Errors
///
/// Everything that is wrong with the text.
pub fn parse(file: &str, source: &str) -> Result<App, Problems> {
    read(file, source).map(|valid| valid.app)
}

fn read(file: &str, source: &str) -> Result<Valid, Problems> {
    let mut findings = Findings::default();
    match check(source, &mut findings) {
        Some(valid) if findings.is_empty() => Ok(valid),
        _ => Err(Problems::new(file, source, findings)),
    }
}

/// Returns the app, or notes why there is none.
fn check(source: &str, findings: &mut Findings) -> Option<Valid> {
    if source.len() as u64 > limits::MOST_BYTES {
        let most = limits::MOST_BYTES / 1024;
        findings.add(
            0..0,
            format!("the file is larger than {most} KiB, the most that is read"),
        );
        return None;
    }
    let (mut tree, errors) = DeTable::parse_recoverable(source);
    for error in errors.iter().take(limits::MOST_PROBLEMS) {
        let end = source.len();
        findings.add_syntax(error.span().unwrap_or(end..end), error.message());
    }
    keys::keep_known(tree.get_mut(), findings);
    let place = tree.span();
    match AppFile::deserialize(Deserializer::from(tree)) {
        Ok(written) => validate::app(written, source, findings),
        // Every key of the file is optional to serde and catches its own errors, so this is not
        // known to happen; were it to, it is told and not hidden.
        Err(error) => {
            findings.add(error.span().unwrap_or(place), error.message());
            None
        }
    }
}
