//! Problems as they are found: each with the place in the source that it is about.

use std::ops::Range;

use toml::Spanned;

use crate::limits::MOST_PROBLEMS;
use crate::written::{Described, Written};

/// The longest piece of the user's text that a message repeats, in characters.
const LONGEST_QUOTE: usize = 60;

/// Collects problems.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    /// Whether parts of the file could not be read, so that an absence proves nothing.
    incomplete: bool,
}

/// One problem and its place, in bytes of the source.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether the text here could not even be read.
    pub(crate) is_syntax: bool,
}

impl Finding {
    /// Adds what to do next.
    pub(crate) fn hint(&mut self, hint: impl Into<Option<String>>) {
        self.hint = hint.into();
    }
}

impl Findings {
    /// Notes a problem.
    pub(crate) fn add(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Finding {
        self.found.push(Finding {
            span,
            message: message.into(),
            hint: None,
            is_syntax: false,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// Notes something that is wrong because something else is not there. Where the syntax is
    /// broken it may well be there, in the part that could not be read: then nothing is noted.
    pub(crate) fn add_absence(
        &mut self,
        span: Range<usize>,
        message: String,
        hint: Option<String>,
    ) {
        if !self.incomplete {
            self.add(span, message).hint(hint);
        }
    }

    /// Notes that the syntax is broken.
    pub(crate) fn add_syntax(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.incomplete = true;
        self.add(span, message).is_syntax = true;
    }

    /// The value, where there is one. One of the wrong type is noted as a problem of `key`.
    pub(crate) fn value<T: Described>(
        &mut self,
        key: &str,
        written: Written<T>,
    ) -> Option<Spanned<T>> {
        match written {
            Written::Absent => None,
            Written::Value(value) => Some(value),
            Written::WrongType(span) => {
                self.add(span, format!("`{key}` takes {}", T::DESCRIPTION));
                None
            }
        }
    }

    /// An item of the list under `key`; one that is not a string is noted.
    pub(crate) fn item(&mut self, key: &str, written: Written<String>) -> Option<Spanned<String>> {
        match written {
            Written::Absent => None,
            Written::Value(value) => Some(value),
            Written::WrongType(span) => {
                self.add(
                    span,
                    format!("every item of `{key}` is a string, in quotation marks"),
                );
                None
            }
        }
    }

    /// Whether so much is wrong that looking further helps nobody. Whoever loops over the user's
    /// items asks, which bounds the time that a hostile file can cost.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MOST_PROBLEMS
    }

    /// Whether the syntax is broken.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found, in no certain order.
    pub(crate) fn into_found(self) -> Vec<Finding> {
        self.found
    }
}

/// The user's text as it stands in a message: quoted, on one line, of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("\"{}…\"", text[..end].escape_debug()),
        None => format!("\"{}\"", text.escape_debug()),
    }
}
