//! What a command printed and how it ended, and what users are promised of that.

use std::process::Output;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Finished {
    /// Asserts that a command was refused or failed: exit code 1, one error with each of `texts`
    /// on standard error, the last line what to do next, and nothing that is taken for data.
    #[track_caller]
    pub(crate) fn failed(&self, texts: &[&str]) -> &Self {
        self.says(1, texts);
        let errors = self.stderr.matches("error: ").count();
        assert_eq!(errors, 1, "one thing is wrong: {self:?}");
        let last = self.stderr.lines().next_back().unwrap_or_default();
        assert!(last.starts_with("hint: "), "no next step: {self:?}");
        self
    }

    /// Asserts that a command was used badly, or that what it was to read is invalid: exit code
    /// 2, and each of `texts` on standard error.
    #[track_caller]
    pub(crate) fn invalid(&self, texts: &[&str]) -> &Self {
        self.says(2, texts)
    }

    #[track_caller]
    fn says(&self, code: i32, texts: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "no data: {self:?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }
}
