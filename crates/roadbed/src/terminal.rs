//! What is printed: data on standard output, progress and problems on standard error, colour only
//! on a terminal.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::Failure;

/// Prints a line of progress. With nobody to read it there is nobody to tell.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints data. That its reader has gone (`| head`) is no failure, but there is nothing left to do:
/// the caller is told to end.
pub(crate) fn print(text: &str) -> Result<Reader, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(format!(
            "cannot write to standard output: {error}"
        ))),
    }
}

/// Prints data as the whole result of a command.
pub(crate) fn print_result(text: &str) -> Result<ExitCode, Failure> {
    print(text).map(|_| ExitCode::SUCCESS)
}

/// Prints a value as JSON for people and programs.
pub(crate) fn print_json(value: &impl Serialize) -> Result<ExitCode, Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
    text.push('\n');
    print_result(&text)
}

/// Whether anybody reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody may.
    Reads,
    /// Nobody does any more.
    Gone,
}

/// Whether standard error takes colour.
pub(crate) fn colour_on_stderr() -> bool {
    wanted(io::stderr().is_terminal())
}

/// Whether standard output takes colour.
pub(crate) fn colour_on_stdout() -> bool {
    wanted(io::stdout().is_terminal())
}

/// <https://no-color.org>
fn wanted(is_terminal: bool) -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !unwanted && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Lines up columns, two spaces apart; the last one is as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".into(), "bb".into()],
            vec!["ccc".into(), "d".into()],
        ];
        assert_eq!(table(&rows), "a    bb\nccc  d\n");
    }
}
