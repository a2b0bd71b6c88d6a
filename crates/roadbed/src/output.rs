//! Data, on standard output: all that a command prints there.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::Failure;

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
