//! How a command fails: what is wrong, the evidence, and what to do next.

use std::process::ExitCode;

use control::{ApiError, HomeError};
use spec::LoadError;

use crate::terminal;

/// Something was refused or failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    /// Lines that show it, such as the last of a log.
    evidence: Vec<String>,
    hint: Option<String>,
    /// Text that stands for all of that, because it has a form of its own.
    rendered: Option<String>,
}

impl Failure {
    /// A refusal or failure, with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
            evidence: Vec::new(),
            hint: None,
            rendered: None,
        }
    }

    /// Bad usage, with exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            ..Self::new(message)
        }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds lines that show what happened.
    pub(crate) fn evidence(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    /// What is wrong, without evidence and hint.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong and the evidence for it.
    pub(crate) fn in_one_line(&self) -> String {
        let lines = std::iter::once(&self.message).chain(&self.evidence);
        let lines: Vec<&str> = lines.map(String::as_str).collect();
        lines.join("; ")
    }

    /// What to do next, where that is known.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints it on standard error and says which exit code to end with.
    pub(crate) fn report(self) -> ExitCode {
        terminal::progress(&self.render(terminal::colour_on_stderr()));
        ExitCode::from(self.code)
    }

    fn render(&self, colour: bool) -> String {
        if let Some(text) = &self.rendered {
            return text.trim_end().to_owned();
        }
        let (error, hint) = match colour {
            true => ("\x1b[1;31merror:\x1b[0m", "\x1b[1;36mhint:\x1b[0m"),
            false => ("error:", "hint:"),
        };
        let mut text = format!("{error} {}", self.message);
        for line in &self.evidence {
            text.push_str("\n  | ");
            text.push_str(line);
        }
        if let Some(line) = &self.hint {
            text.push_str(&format!("\n{hint} {line}"));
        }
        text
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let failure = Self::new(error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let failure = Self::new(error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let rendered = match &error {
            LoadError::Invalid(problems) => problems.render(terminal::colour_on_stderr()),
            // These bring their hints along, each on a line of its own.
            other => format!("error: {other}"),
        };
        Self {
            code: 2,
            rendered: Some(rendered),
            ..Self::new(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_is_wrong_shows_it_and_says_what_to_do() {
        let failure = Failure::new("web ended")
            .evidence(["panic".to_owned(), "at line 3".to_owned()])
            .hint("mend it");
        assert_eq!(
            failure.render(false),
            "error: web ended\n  | panic\n  | at line 3\nhint: mend it"
        );
    }
}
