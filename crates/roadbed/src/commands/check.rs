//! `roadbed check`: is this file valid?

use std::process::ExitCode;

use serde::Serialize;
use spec::LoadError;

use crate::arguments::Check;
use crate::failure::Failure;
use crate::follow::plural;
use crate::output::{print, print_json, print_result};

/// What `--json` prints for a valid file.
#[derive(Serialize)]
struct Valid<'a> {
    file: String,
    app: &'a str,
    services: Vec<&'a str>,
    problems: [(); 0],
    more: bool,
}

pub(crate) fn run(check: &Check) -> Result<ExitCode, Failure> {
    match spec::load(&check.app.path) {
        Ok(loaded) => {
            let services: Vec<&str> = loaded
                .app
                .services
                .keys()
                .map(|name| name.as_str())
                .collect();
            if check.json {
                return print_json(&Valid {
                    file: loaded.file.display().to_string(),
                    app: loaded.app.name.as_str(),
                    services,
                    problems: [],
                    more: false,
                });
            }
            let count = services.len();
            print_result(&format!(
                "{} is valid: app {}, {count} {}\n",
                loaded.file.display(),
                loaded.app.name,
                plural(count, "service")
            ))
        }
        Err(LoadError::Invalid(problems)) if check.json => {
            let mut text = serde_json::to_string_pretty(&problems)
                .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
            text.push('\n');
            print(&text)?;
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error.into()),
    }
}
