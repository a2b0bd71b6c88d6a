//! Reads the log of one instance, also while it is written.
//!
//! No file is held open and no more than one small buffer is kept, so that the logs of thousands
//! of instances, most of them long gone, can be read side by side.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::line::{self, LONGEST_LINE};
use super::{Cursor, Record, Stream, Timestamp, segments};

/// How much is read at once.
const READ: usize = 8 * 1024;

/// How much is read when that held no whole line.
const LONG_READ: usize = 2 * LONGEST_LINE;

/// The records of one instance, in order, from any place on.
pub struct Records {
    folder: PathBuf,
    instance: Arc<str>,
    /// The first byte not handed out yet.
    next: Cursor,
    /// Where to stop, though more may follow.
    end: Option<Cursor>,
    /// The time of the latest record, for what carries none itself.
    time: Timestamp,
    /// Bytes of the segment; those from `used` on begin at `next`.
    buffer: Vec<u8>,
    used: usize,
}

/// What reading found.
enum Found {
    /// A whole line at least.
    Lines,
    /// Not a whole line, for now; what there is of one is in the buffer.
    End,
    /// No such segment.
    Nothing,
}

impl Records {
    /// Reads the log in `folder` from the oldest record on. The folder may appear later.
    ///
    /// # Errors
    /// The folder exists and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let first = segments::list(folder)?.first().copied().unwrap_or(1);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            folder: folder.to_owned(),
            instance: Arc::from(name),
            next: Cursor::start_of(first),
            end: None,
            time: Timestamp::default(),
            buffer: Vec::new(),
            used: 0,
        })
    }

    /// Where the next record begins.
    pub fn cursor(&self) -> Cursor {
        self.next
    }

    /// Goes on at `cursor`, which must have come from [`Records::cursor`] for the same folder.
    pub fn seek(&mut self, cursor: Cursor) {
        self.next = cursor;
        self.forget();
    }

    /// The folder that is read.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads nothing that begins at or after `end`.
    pub(super) fn stop_at(&mut self, end: Cursor) {
        self.end = Some(end);
    }

    /// The next record, or `None` if there is no more at present; ask again when there may be.
    ///
    /// Where segments were removed before they were read, a record of Roadbed's own says how
    /// many. Where a file was damaged, as a power loss can do, one holds what is left.
    ///
    /// # Errors
    /// A segment cannot be read. The same place is tried again by the next call.
    pub fn try_next(&mut self) -> io::Result<Option<Record>> {
        // A later segment was seen before the latest read of this one, which thus met its end.
        let mut complete = false;
        loop {
            if self.end.is_some_and(|end| self.next >= end) {
                self.forget();
                return Ok(None);
            }
            if let Some(length) = self.buffer[self.used..].iter().position(|&b| b == b'\n') {
                return Ok(Some(self.take(length, 1)));
            }
            match self.read()? {
                Found::Lines => {}
                Found::Nothing => match self.skip_removed()? {
                    Some(0) => complete = false,
                    Some(removed) => return Ok(Some(self.removed(removed))),
                    None => return Ok(None),
                },
                Found::End if complete && self.buffer.is_empty() => {
                    self.next = Cursor::start_of(self.next.segment + 1);
                    complete = false;
                }
                Found::End if complete || self.buffer.len() >= LONG_READ => {
                    return Ok(Some(self.take(self.buffer.len(), 0)));
                }
                Found::End => {
                    complete = segments::length(&self.folder, self.next.segment + 1)?.is_some();
                    if !complete {
                        self.forget();
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Fills the buffer from `next` on. What it held of an unfinished line is read anew.
    fn read(&mut self) -> io::Result<Found> {
        self.used = 0;
        self.buffer.clear();
        let Some(file) = segments::open(&self.folder, self.next.segment)? else {
            return Ok(Found::Nothing);
        };
        for size in [READ, LONG_READ] {
            self.buffer.resize(size, 0);
            let filled = segments::read_at(&file, &mut self.buffer, self.next.offset)?;
            self.buffer.truncate(filled);
            if self.buffer.contains(&b'\n') {
                return Ok(Found::Lines);
            }
            if filled < size {
                break;
            }
        }
        Ok(Found::End)
    }

    /// Takes `length` bytes from the buffer as a record, and skips `newline` more.
    fn take(&mut self, length: usize, newline: usize) -> Record {
        let bytes = &self.buffer[self.used..self.used + length];
        let (at, stream, partial, text) = match line::parse(bytes) {
            Some(line) => (line.at, line.stream, line.partial, line.text.to_vec()),
            None => {
                let text = [b"roadbed: damaged record: ", bytes].concat();
                (self.time, Stream::Stderr, false, text)
            }
        };
        self.time = at;
        self.used += length + newline;
        self.next.offset += (length + newline) as u64;
        Record {
            instance: self.instance.clone(),
            at,
            stream,
            text,
            partial,
        }
    }

    /// Goes on at the oldest segment that is left, and returns how many were jumped; `None` if
    /// there is nothing to go on with.
    fn skip_removed(&mut self) -> io::Result<Option<u64>> {
        let numbers = segments::list(&self.folder)?;
        let Some(&oldest) = numbers.first() else {
            return Ok(None);
        };
        let next = numbers
            .iter()
            .copied()
            .find(|&number| number >= self.next.segment);
        // Numbers below those read mean that someone emptied the folder and it was begun anew.
        let next = next.unwrap_or(oldest);
        let removed = next.saturating_sub(self.next.segment);
        if next != self.next.segment {
            self.next = Cursor::start_of(next);
        }
        Ok(Some(removed))
    }

    fn removed(&self, segments: u64) -> Record {
        let were = if segments == 1 {
            "segment was"
        } else {
            "segments were"
        };
        let text = format!("roadbed: {segments} {were} rotated away before they were read");
        Record {
            instance: self.instance.clone(),
            at: self.time,
            stream: Stream::Stderr,
            text: text.into_bytes(),
            partial: false,
        }
    }

    fn forget(&mut self) {
        self.buffer = Vec::new();
        self.used = 0;
    }
}
