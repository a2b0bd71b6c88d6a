//! Records of logs as lines for people and for programs.

use std::io::IsTerminal;

use runner::logs::{Record, Stream};
use serde::Serialize;

use crate::follow::short;
use crate::terminal::{colour_on_stderr, colour_on_stdout};

/// Colours that are told apart on dark and light ground: cyan, yellow, green, magenta, blue.
const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];

/// How records are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// With their times.
    pub(super) timestamps: bool,
    /// As JSON.
    pub(super) json: bool,
    colour: bool,
    is_terminal: bool,
}

/// What `--json` prints for a record.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    instance: &'a str,
    stream: &'static str,
    text: String,
    /// Whether the line goes on in the instance's next record.
    partial: bool,
}

impl Form {
    pub(super) fn new(timestamps: bool, json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self {
            timestamps,
            json,
            colour: colour_on_stdout(),
            is_terminal,
        }
    }

    /// The form of lines on standard error.
    pub(super) fn beside_progress() -> Self {
        Self {
            timestamps: false,
            json: false,
            colour: colour_on_stderr(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// The record as a line with its newline.
    pub(super) fn line(&self, record: &Record, app: &str) -> String {
        let text = String::from_utf8_lossy(&record.text);
        if self.json {
            let line = Line {
                at: record.at.to_string(),
                instance: &record.instance,
                stream: match record.stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                },
                text: text.into_owned(),
                partial: record.partial,
            };
            // Nothing in it can fail to be JSON.
            return serde_json::to_string(&line).unwrap_or_default() + "\n";
        }
        let time = match self.timestamps {
            true => format!("{}Z ", &record.at.to_string()[..23]),
            false => String::new(),
        };
        let instance = short(&record.instance, app);
        let text = if self.is_terminal {
            harmless(&text)
        } else {
            text.into_owned()
        };
        match self.colour {
            true => {
                let sum: usize = instance.bytes().map(usize::from).sum();
                let colour = COLOURS[sum % COLOURS.len()];
                format!("{time}\x1b[{colour}m{instance}\x1b[0m | {text}\n")
            }
            false => format!("{time}{instance} | {text}\n"),
        }
    }
}

/// The text without control characters, by which what an instance writes could rewrite the
/// terminal. Colour sequences are kept.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let kept = colour_sequence(rest);
        match kept {
            0 => {
                let control = rest.chars().next().map_or(1, char::len_utf8);
                out.push('\u{fffd}');
                rest = &rest[control..];
            }
            length => {
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The length of the sequence `ESC [ digits and semicolons m` that `text` begins with; 0 if none.
fn colour_sequence(text: &str) -> usize {
    let Some(inner) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    let parameters = inner
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b';')
        .count();
    match inner.as_bytes().get(parameters) {
        Some(b'm') => 2 + parameters + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runner::logs::Timestamp;

    #[test]
    fn a_record_is_a_line_for_people_or_programs() {
        let record = Record {
            instance: "shop.web.1.2".into(),
            at: Timestamp(0),
            stream: Stream::Stderr,
            text: b"hello \xff".to_vec(),
            partial: false,
        };
        let form = Form {
            timestamps: true,
            json: false,
            colour: false,
            is_terminal: true,
        };
        assert_eq!(
            form.line(&record, "shop"),
            "1970-01-01T00:00:00.000Z web.1.2 | hello \u{fffd}\n"
        );
        let json = Form { json: true, ..form }.line(&record, "shop");
        assert_eq!(
            json,
            "{\"at\":\"1970-01-01T00:00:00.000000000Z\",\"instance\":\"shop.web.1.2\",\
             \"stream\":\"stderr\",\"text\":\"hello \u{fffd}\",\"partial\":false}\n"
        );
    }

    #[test]
    fn colours_pass_and_other_controls_do_not() {
        assert_eq!(harmless("a\x1b[1;31mb\x1b[0m\tc"), "a\x1b[1;31mb\x1b[0m\tc");
        assert_eq!(
            harmless("a\x1b[2Jb\rc\x1b]0;x\x07"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}]0;x\u{fffd}"
        );
    }
}
