//! `roadbed logs`: what instances have written, read from disk, whether or not a server runs.

use std::process::ExitCode;
use std::time::Duration;

use model::{AppName, ServiceName};
use runner::logs::{Merged, Selection, Timestamp};

use crate::arguments::Logs;
use crate::commands::access_log;
use crate::commands::log_lines::Form;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Reader, print};
use crate::terminal::progress;

/// How many bytes of lines are printed at once while there are more at hand.
const BATCH: usize = 32 * 1024;

pub(crate) fn run(logs: &Logs, context: &Context) -> Result<ExitCode, Failure> {
    let of = logs.of.as_deref().map(parse).transpose()?;
    let since_age = logs.since.map(|age| since(Timestamp::now(), age));
    if logs.access {
        let (app, service) = of.map_or((None, None), |(app, service)| (Some(app), service));
        let since = since_age.map(|since| since.to_string());
        return access_log::run(logs, (app.as_ref(), service.as_ref()), since, context);
    }
    let Some((app, service)) = of else {
        return Err(Failure::usage("whose logs?").hint("write `roadbed logs APP`"));
    };
    context.home.check()?;
    let root = context.home.logs();
    match check_present(&root, &app, service.as_ref()) {
        Err(failure) if logs.follow => progress(&format!("{}; waiting for it", failure.message())),
        present => present?,
    }
    let selection = Selection {
        tail: logs.tail,
        since: since_age,
        follow: logs.follow,
    };
    let form = Form::new(logs.timestamps, logs.json);
    let mut merged = Merged::open(&root, &app, service.as_ref(), selection)
        .map_err(|error| unreadable(&root, &error))?;
    let mut text = String::new();
    loop {
        // What is at hand goes out together; before waiting for more, all of it.
        let wait = if text.is_empty() {
            None
        } else {
            Some(Duration::ZERO)
        };
        let record = merged
            .next(wait)
            .map_err(|error| unreadable(&root, &error))?;
        let ended = record.is_none();
        if let Some(record) = record {
            text.push_str(&form.line(&record, app.as_str()));
        }
        if (ended || text.len() >= BATCH) && !text.is_empty() {
            if print(&text)? == Reader::Gone {
                return Ok(ExitCode::SUCCESS);
            }
            text.clear();
            continue;
        }
        if ended && !logs.follow {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn since(now: Timestamp, age: Duration) -> Timestamp {
    let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_sub(age))
}

/// Reads `APP` or `APP/SERVICE`.
fn parse(of: &str) -> Result<(AppName, Option<ServiceName>), Failure> {
    let problem = |error: String| {
        Failure::usage(format!("{of:?} does not name an app or a service: {error}"))
            .hint("write `roadbed logs APP` or `roadbed logs APP/SERVICE`")
    };
    let (app, service) = match of.split_once('/') {
        Some((app, service)) => (app, Some(service)),
        None => (of, None),
    };
    let app = AppName::new(app).map_err(|error| problem(error.to_string()))?;
    let service = service.map(ServiceName::new).transpose();
    Ok((app, service.map_err(|error| problem(error.to_string()))?))
}

/// That there is nothing may be a slip of the pen; then the names that there are help.
fn check_present(
    root: &std::path::Path,
    app: &AppName,
    service: Option<&ServiceName>,
) -> Result<(), Failure> {
    let of_app = root.join(app.as_str());
    let (folder, within, what) = match service {
        Some(service) if of_app.is_dir() => (of_app.join(service.as_str()), of_app, "service"),
        _ => (of_app, root.to_owned(), "app"),
    };
    if folder.is_dir() {
        return Ok(());
    }
    let entries = std::fs::read_dir(&within)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let failure = Failure::new(format!(
        "no {what} {name:?} has a log in {}",
        within.display()
    ));
    Err(match names.is_empty() {
        true => failure.hint("nothing has been started with this home yet; see --home"),
        false => failure.hint(format!("there are: {}", names.join(", "))),
    })
}

fn unreadable(root: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot read the logs in {}: {error}",
        root.display()
    ))
    .hint("they belong to the user who started the server")
}
