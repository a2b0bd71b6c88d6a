//! The last few lines of a log, short enough to stand in a message.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::position;
use super::{Cursor, Records, Stream};

/// The most bytes that are kept of one line.
const LONGEST: usize = 1024;

/// Keeps the last lines that it is shown.
pub(super) struct LastLines {
    most: usize,
    lines: VecDeque<String>,
    /// Whether the latest piece of each stream was not the last of its line.
    unfinished: [bool; 2],
}

impl LastLines {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            lines: VecDeque::new(),
            unfinished: [false; 2],
        }
    }

    /// Takes note of a line, or of a piece of one, given in two parts.
    pub(super) fn push(&mut self, stream: Stream, text: (&[u8], &[u8]), partial: bool) {
        let unfinished = &mut self.unfinished[stream as usize];
        // A piece is longer than what is kept of a line, so only the first one counts.
        let goes_on = std::mem::replace(unfinished, partial);
        if goes_on || self.most == 0 {
            return;
        }
        let mut line = match self.lines.len() >= self.most {
            true => self.lines.pop_front().unwrap_or_default(),
            false => String::new(),
        };
        line.clear();
        let mut kept = Vec::with_capacity(LONGEST.min(text.0.len() + text.1.len()));
        kept.extend(text.0.iter().chain(text.1).take(LONGEST));
        line.push_str(&String::from_utf8_lossy(&kept));
        if text.0.len() + text.1.len() > kept.len() {
            // The cut may have gone through a character.
            line.truncate(line.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
            line.push('…');
        }
        self.lines.push_back(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// The last lines in an instance's log folder, oldest first and at most `most`, as text; each is
/// cut after 1 KiB, and `…` then stands at its end. None if there is no such folder.
///
/// # Errors
/// A segment cannot be read.
pub fn last_lines(folder: &Path, most: usize) -> io::Result<Vec<String>> {
    let (mut records, end) = (Records::open(folder)?, position::end(folder)?);
    let start = records.cursor();
    // A line that was split has several records, so the first of these may be the end of a line
    // whose beginning is further back; such a rest is shown as a line.
    let (start, _) = position::tail(folder, most, start, end.unwrap_or(start))?;
    records.seek(start);
    records.stop_at(end.unwrap_or(Cursor::start_of(0)));
    let mut last = LastLines::new(most);
    while let Some(record) = records.try_next()? {
        last.push(record.stream, (&record.text, b""), record.partial);
    }
    Ok(last.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_ones_and_cuts_long_ones() {
        let mut last = LastLines::new(2);
        last.push(Stream::Stdout, (b"one", b""), false);
        last.push(Stream::Stdout, (b"t", b"wo\xff"), false);
        let long = "ä".repeat(LONGEST);
        last.push(Stream::Stderr, (b"x", long.as_bytes()), true);
        last.push(Stream::Stderr, (b"", b"its rest"), false);
        let lines = last.lines();
        assert_eq!(lines[0], "two\u{fffd}");
        assert!(lines[1].starts_with("xä") && lines[1].ends_with("ä…"));
        assert!(lines[1].len() <= LONGEST + '…'.len_utf8());
        assert_eq!(lines.len(), 2);
    }
}
