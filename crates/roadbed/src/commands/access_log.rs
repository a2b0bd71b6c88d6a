//! `roadbed logs --access`: the access log of the proxy, read from disk, whether or not anything
//! runs.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use model::{AppName, ServiceName};
use serde_json::Value;

use crate::arguments::Logs;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Reader, print};
use crate::terminal::progress;

/// How long to wait before another look for lines, which the proxy writes together.
const PAUSE: Duration = Duration::from_millis(100);

/// What is shown.
struct Selection<'a> {
    app: Option<&'a AppName>,
    service: Option<&'a ServiceName>,
    /// The oldest time, as lines have it.
    since: Option<String>,
}

pub(crate) fn run(
    logs: &Logs,
    (app, service): (Option<&AppName>, Option<&ServiceName>),
    since: Option<String>,
    context: &Context,
) -> Result<ExitCode, Failure> {
    context.home.check()?;
    let folder = context.home.access_logs();
    let unreadable = |error: io::Error| {
        let folder = folder.display();
        Failure::new(format!("cannot read the access log in {folder}: {error}"))
            .hint("it belongs to the user who started the server")
    };
    let selection = Selection {
        app,
        service,
        since,
    };
    if numbers(&folder).map_err(unreadable)?.is_empty() {
        let hint = "`roadbed up --access-log errors` or `--access-log all` has one written";
        if !logs.follow {
            return Err(Failure::new("there is no access log").hint(hint));
        }
        progress("there is no access log; waiting for it");
    }
    let mut lines = Lines::new(folder.clone());
    let mut tail = logs.tail.map(|most| (most, VecDeque::new()));
    loop {
        match lines.next().map_err(unreadable)? {
            Some(line) => {
                let Some(text) = selection.show(&line, logs.json) else {
                    continue;
                };
                match &mut tail {
                    None if print(&text)? == Reader::Gone => return Ok(ExitCode::SUCCESS),
                    None => {}
                    Some((most, last)) => {
                        last.push_back(text);
                        if last.len() > *most {
                            last.pop_front();
                        }
                    }
                }
            }
            None => {
                // All that was there has been read.
                let last: String = tail.take().into_iter().flat_map(|(_, last)| last).collect();
                if print(&last)? == Reader::Gone || !logs.follow {
                    return Ok(ExitCode::SUCCESS);
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

impl Selection<'_> {
    /// What is printed of a line; none where it is not shown, or is none.
    fn show(&self, line: &[u8], json: bool) -> Option<String> {
        let value: Value = serde_json::from_slice(line).ok()?;
        let is = |field: &str, name: Option<&str>| name.is_none_or(|name| value[field] == *name);
        let is_selected = is("app", self.app.map(AppName::as_str))
            && is("service", self.service.map(ServiceName::as_str));
        let time = value["time"].as_str()?;
        if !is_selected || self.since.as_deref().is_some_and(|since| time < since) {
            return None;
        }
        match json {
            true => Some(String::from_utf8_lossy(line).into_owned()),
            false => Some(readable(&value, time)),
        }
    }
}

/// A line for people.
fn readable(value: &Value, time: &str) -> String {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let status = match (value["status"].as_u64(), value["cut"] == true) {
        (Some(status), false) => status.to_string(),
        (_, true) => "cut".to_owned(),
        (None, false) => "-".to_owned(),
    };
    let grpc = value["grpc_status"].as_u64();
    let grpc = grpc
        .map(|status| format!(" grpc {status}"))
        .unwrap_or_default();
    let asked = match text("method") {
        "" => "(no request that could be read)".to_owned(),
        method => format!("{method} {}{}", text("host"), text("path")),
    };
    let milliseconds = value["duration_ms"].as_f64().unwrap_or_default();
    let by = match (text("instance"), text("service")) {
        ("", "") => String::new(),
        ("", service) => format!(" {}/{service}", text("app")),
        (instance, _) => format!(" {instance}"),
    };
    let reason = match text("reason") {
        "" => String::new(),
        reason => format!(" {reason}"),
    };
    let from = match text("caller") {
        "" => text("client"),
        caller => caller,
    };
    let line =
        format!("{time} {status}{grpc} {asked} {milliseconds:.1} ms from {from}{by}{reason}");
    // What a client sends must not rewrite the terminal.
    line.replace(char::is_control, "\u{fffd}") + "\n"
}

/// The lines of all files, in order.
struct Lines {
    folder: PathBuf,
    /// The file that is being read.
    current: Option<(u64, BufReader<File>)>,
    /// What there is of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl Lines {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            current: None,
            begun: Vec::new(),
        }
    }

    /// The next line with its end; none while there is no more.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.read()? {
                return Ok(Some(line));
            }
            let current = self.current.as_ref().map_or(0, |(number, _)| *number);
            let numbers = numbers(&self.folder)?;
            let Some(next) = numbers.into_iter().find(|number| *number > current) else {
                return Ok(None);
            };
            // More may have been written before the next file was begun.
            if let Some(line) = self.read()? {
                return Ok(Some(line));
            }
            self.begun.clear();
            match File::open(path(&self.folder, next)) {
                Ok(file) => self.current = Some((next, BufReader::new(file))),
                // The oldest go at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((_, file)) = &mut self.current else {
            return Ok(None);
        };
        file.read_until(b'\n', &mut self.begun)?;
        let is_whole = self.begun.ends_with(b"\n");
        Ok(is_whole.then(|| std::mem::take(&mut self.begun)))
    }
}

/// The numbers of the files, in order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.jsonl"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_read_in_order_over_files_and_only_when_they_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = Lines::new(folder.path().to_owned());
        assert_eq!(lines.next().unwrap(), None);
        let write = |number: u64, text: &str| {
            let mut options = File::options();
            let mut file = options
                .append(true)
                .create(true)
                .open(path(folder.path(), number))
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write(3, "a\nb");
        let mut next = || {
            lines
                .next()
                .unwrap()
                .map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(next().as_deref(), Some("a\n"));
        assert_eq!(next(), None);
        write(3, "c\nd\n");
        write(4, "e\n");
        for expected in [Some("bc\n"), Some("d\n"), Some("e\n"), None] {
            assert_eq!(next().as_deref(), expected);
        }
    }

    #[test]
    fn lines_are_chosen_by_service_and_time_and_control_characters_are_not_shown() {
        let line = br#"{"time":"2026-01-02T00:00:00.000000Z","status":200,"method":"GET","host":"a","path":"/\u001b","duration_ms":1.25,"client":"192.0.2.1","app":"shop","service":"web","instance":"shop.web.1.1"}"#;
        let (shop, other) = (AppName::new("shop").unwrap(), AppName::new("x").unwrap());
        let show = |app, since: Option<&str>| {
            let selection = Selection {
                app,
                service: None,
                since: since.map(str::to_owned),
            };
            selection.show(line, false)
        };
        let shown = "2026-01-02T00:00:00.000000Z 200 GET a/\u{fffd} 1.2 ms from 192.0.2.1 \
                     shop.web.1.1\n";
        assert_eq!(show(Some(&shop), None).as_deref(), Some(shown));
        assert_eq!(show(None, Some("2026-01-01")).as_deref(), Some(shown));
        assert_eq!(show(Some(&other), None), None);
        assert_eq!(show(None, Some("2026-01-03")), None);
    }
}
