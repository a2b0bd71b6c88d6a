//! How things are printed for people: progress on standard error, colour only on a terminal, columns.

use std::io::{self, IsTerminal, Write};

/// Prints a line of progress. With nobody to read it there is nobody to tell.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Passes a line of a log on, with its newline, among the progress; whether anybody reads it.
pub(crate) fn pass_on(line: &str) -> bool {
    io::stderr().lock().write_all(line.as_bytes()).is_ok()
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
