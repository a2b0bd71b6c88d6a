//! What is wrong with a file, for a person and for a program.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::findings::{Finding, Findings};
use crate::limits::MOST_PROBLEMS;

/// Everything that is wrong with one file.
///
/// Serialized, it is an object with these keys, which stay: `file` (string), `problems` (a list,
/// see [`Problem`]) and `more` (whether the search stopped before the end of the file because so
/// much was found).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The file, as the caller named it.
    pub file: String,
    /// The problems by their places; at least one.
    pub problems: Vec<Problem>,
    /// Whether there may be more than are listed.
    pub more: bool,
    #[serde(skip)]
    source: String,
}

/// One thing that is wrong.
///
/// Serialized, it is an object with the keys `message`, `line`, `column` and `hint` (a string or
/// null), which stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong, on one line.
    pub message: String,
    /// The line where it starts, counted from 1.
    pub line: usize,
    /// The character of that line where it starts, counted from 1.
    pub column: usize,
    /// What to do next, where there is something to say.
    pub hint: Option<String>,
    /// What to underline, in bytes of the source.
    #[serde(skip)]
    span: Range<usize>,
}

impl Problems {
    /// Makes a report of `findings`, of which there is at least one.
    pub(crate) fn new(file: &str, source: &str, findings: Findings) -> Self {
        let more = findings.is_full();
        let mut found = findings.into_found();
        found.sort_by_key(|finding| (finding.span.start, finding.span.end));
        // Where the syntax of a line is broken, the parser stumbles on and what it makes of the
        // line is a guess: the first error says all that is known, the others are left out.
        let mut broken = BTreeMap::new();
        for finding in found.iter().filter(|finding| finding.is_syntax) {
            broken
                .entry(line(source, finding.span.start))
                .or_insert(finding.span.clone());
        }
        found.retain(
            |finding| match broken.get(&line(source, finding.span.start)) {
                Some(first) => finding.is_syntax && finding.span == *first,
                None => true,
            },
        );
        found.truncate(MOST_PROBLEMS);
        let problems = found
            .into_iter()
            .map(|finding| problem(source, finding))
            .collect();
        Self {
            file: file.to_owned(),
            problems,
            more,
            source: source.to_owned(),
        }
    }

    /// The problems as text for a terminal: each with the line that it is about, underlined, and
    /// a hint; then their number. `colour` adds ANSI escapes.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&renderer.render(&[self.report(problem)]));
            text.push_str("\n\n");
        }
        text.push_str(&self.to_string());
        text.push('\n');
        text
    }

    fn report<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let (excerpt, span, has_line_start) = excerpt(&self.source, &problem.span);
        let snippet = Snippet::source(excerpt)
            .line_start(problem.line)
            .annotation(AnnotationKind::Primary.span(span));
        let title = Level::ERROR.primary_title(problem.message.as_str());
        // The renderer counts columns within the excerpt.
        let located = if has_line_start {
            title.element(snippet.path(self.file.as_str()))
        } else {
            let origin = Origin::path(self.file.as_str());
            title
                .element(origin.line(problem.line).char_column(problem.column))
                .element(snippet)
        };
        let hint = problem.hint.as_deref();
        located.elements(hint.map(|hint| Level::HELP.with_name("hint").message(hint)))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "1 problem in {}", self.file),
            count if self.more => write!(f, "{count} problems in {}, perhaps more", self.file),
            count => write!(f, "{count} problems in {}", self.file),
        }
    }
}

impl std::error::Error for Problems {}

fn problem(source: &str, finding: Finding) -> Problem {
    let span = on_one_line(source, finding.span);
    let line_start = source[..span.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    Problem {
        message: finding.message,
        line: line(source, span.start),
        column: source[line_start..span.start].chars().count() + 1,
        hint: finding.hint,
        span,
    }
}

/// The line, counted from 1, of the byte at `offset`.
pub(crate) fn line(source: &str, offset: usize) -> usize {
    let before = &source.as_bytes()[..offset.min(source.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Cuts `span` to whole characters of one line: a table or list of many lines is recognized by
/// its first. What is at the end of the file is shown after its last text, not below it.
fn on_one_line(source: &str, span: Range<usize>) -> Range<usize> {
    let last = source.trim_end_matches(['\n', '\r']).len();
    let start = source.floor_char_boundary(span.start.min(last));
    let end = source.ceil_char_boundary(span.end.clamp(start, source.len()));
    let line = source[start..end]
        .split(['\n', '\r'])
        .next()
        .unwrap_or_default();
    start..start + line.len()
}

/// The part of the line around `span` that can matter, `span` within it, and whether it has the
/// start of the line. A line can be as long as the file; what is far away is not worth laying out.
fn excerpt<'a>(source: &'a str, span: &Range<usize>) -> (&'a str, Range<usize>, bool) {
    const MARGIN: usize = 600; // in bytes, beyond the width at which the renderer cuts
    let end = span.end.min(source.ceil_char_boundary(span.start + MARGIN));
    let margin_start = source.floor_char_boundary(span.start.saturating_sub(MARGIN));
    let newline = source[margin_start..span.start].rfind('\n');
    let first = newline.map_or(margin_start, |newline| margin_start + newline + 1);
    let after = &source[end..source.ceil_char_boundary(end + MARGIN)];
    let last = end + after.find(['\n', '\r']).unwrap_or(after.len());
    let whole = newline.is_some() || margin_start == 0;
    (&source[first..last], span.start - first..end - first, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(source: &str, span: Range<usize>) -> Problems {
        let mut findings = Findings::default();
        findings.add(span, "it is wrong");
        Problems::new("roadbed.toml", source, findings)
    }

    #[test]
    fn counts_lines_and_characters_from_one() {
        let source = "é = 1\r\n  ü = \"x\"\n";
        let at = source.find("\"x\"").unwrap();
        let found = &problems(source, at..at + 3).problems[0];
        assert_eq!((found.line, found.column), (2, 7));
    }

    #[test]
    fn any_span_can_be_shown() {
        for source in [
            "",
            "\n",
            "a",
            "\r\n\r\n",
            "é\u{0}\u{1b}[31m\t界\u{feff}\u{301}",
            "a\n\n\nb",
        ] {
            for start in 0..=source.len() + 2 {
                for end in 0..=source.len() + 2 {
                    let problems = problems(source, start..end);
                    let Problem { line, column, .. } = problems.problems[0];
                    let text = problems.render(false);
                    assert!(text.contains("it is wrong"), "{text}");
                    assert!(!text.contains('\u{1b}'), "{text:?}");
                    assert!(
                        text.contains(&format!("roadbed.toml:{line}:{column}")),
                        "{text}"
                    );
                    assert!(text.ends_with("1 problem in roadbed.toml\n"), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_problem() {
        let source = format!(
            "a = 1\n{} WRONG {}",
            "é".repeat(400_000),
            "ü".repeat(400_000)
        );
        let at = source.find("WRONG").unwrap();
        let text = problems(&source, at..at + 5).render(false);
        assert!(text.contains("roadbed.toml:2:400002\n"), "{text}");
        assert!(
            text.contains("WRONG") && text.contains(" ^^^^^\n"),
            "{text}"
        );
        assert!(text.len() < 1_000, "{text}");
    }

    #[test]
    fn the_shape_for_programs_is_stable() {
        let json = serde_json::to_value(problems("a", 0..1)).unwrap();
        let expected = serde_json::json!({
            "file": "roadbed.toml",
            "problems": [{ "message": "it is wrong", "line": 1, "column": 1, "hint": null }],
            "more": false,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn colour_is_an_option() {
        assert!(problems("a", 0..1).render(true).contains("\u{1b}["));
    }
}
