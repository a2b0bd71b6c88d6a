//! Appends what an instance writes to its log: the part of the shim that lives longest.
//!
//! A shim exists per instance, so this keeps little in memory, and since an instance must not
//! notice what happens to its log, nothing here fails the caller. While the disk refuses to take
//! more, lines are counted instead, and the count is logged as soon as writing works again. The
//! bytes of a record that was written in part are kept and completed then.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use model::Exit;

use super::last_lines::LastLines;
use super::line::{self, HEAD_BYTES, LONGEST_LINE, LONGEST_TEXT};
use super::{Stream, Timestamp, segments};

/// Records are gathered up to this many bytes before they are written.
const BATCH: usize = 32 * 1024;

/// How much of an instance's log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// The most bytes in one segment. One that is empty takes a record of any size.
    pub segment_bytes: u64,
    /// The most segments, of which the oldest is removed for a new one; two at least.
    pub segments: usize,
}

impl Default for LogLimits {
    /// 8 segments of 4 MiB.
    fn default() -> Self {
        Self {
            segment_bytes: 4 * 1024 * 1024,
            segments: 8,
        }
    }
}

/// Writes the log of one instance.
pub struct LogWriter {
    folder: PathBuf,
    limits: LogLimits,
    /// The segment being written; opened when there is something to write.
    file: Option<File>,
    /// Its number.
    segment: u64,
    /// Its length in bytes.
    length: u64,
    /// Whole records that are not in the file yet. Only while the disk refuses does anything stay
    /// here, and then the first may be written in part.
    batch: Vec<u8>,
    /// The time of the latest record.
    clock: Timestamp,
    unfinished: [Unfinished; 2],
    refused: Option<Refused>,
    last: LastLines,
}

/// The line that a stream has not ended yet.
#[derive(Default)]
struct Unfinished {
    text: Vec<u8>,
    /// Whether a piece of it was lost, and the line counted.
    lost: bool,
}

/// Writing did not work the last time.
struct Refused {
    /// Lines lost since.
    lines: u64,
    /// Why, in words.
    reason: String,
}

impl LogWriter {
    /// Continues the log in `folder`, which is created where needed. A record that an earlier
    /// writer left torn is ended, and times go on from its last one.
    ///
    /// # Errors
    /// The folder cannot be created or read. Full disks are no error here.
    pub fn open(folder: &Path, limits: LogLimits) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let numbers = segments::list(folder)?;
        let segment = numbers.last().copied().unwrap_or(1);
        let mut writer = Self {
            folder: folder.to_owned(),
            limits: LogLimits {
                segments: limits.segments.max(2),
                ..limits
            },
            file: None,
            segment,
            length: segments::length(folder, segment)?.unwrap_or(0),
            batch: Vec::new(),
            clock: Timestamp::default(),
            unfinished: Default::default(),
            refused: None,
            last: LastLines::new(Exit::MOST_LINES),
        };
        // The newest segment is still empty when a writer was killed right after creating it.
        for &number in numbers.iter().rev().take(2) {
            let end = End::of_segment(folder, number)?;
            if end.torn && number == segment {
                writer.batch.push(b'\n');
            }
            writer.clock = writer.clock.max(end.time.unwrap_or_default());
        }
        Ok(writer)
    }

    /// Logs `bytes` as they were read from the instance: any part of any number of lines.
    pub fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        self.begin();
        while !bytes.is_empty() {
            // One byte more than fits tells a line that fits exactly from one that does not.
            let room = LONGEST_TEXT - self.unfinished[stream as usize].text.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            if let Some(end) = window.iter().position(|&byte| byte == b'\n') {
                self.record(stream, &bytes[..end], false);
                bytes = &bytes[end + 1..];
            } else if window.len() > room {
                self.record(stream, &bytes[..room], true);
                bytes = &bytes[room..];
            } else {
                self.unfinished[stream as usize]
                    .text
                    .extend_from_slice(bytes);
                break;
            }
        }
        self.end();
    }

    /// Ends what each stream has not ended itself, as when the instance is gone. Writing may go
    /// on afterwards.
    pub fn finish(&mut self) {
        self.begin();
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.unfinished[stream as usize].text.is_empty() {
                self.record(stream, &[], false);
            }
        }
        self.end();
    }

    /// The last lines that this writer was given, oldest first and at most [`Exit::MOST_LINES`],
    /// as text; each is cut after 1 KiB. Lines that the disk refused are among them.
    pub fn last_lines(&self) -> Vec<String> {
        self.last.lines()
    }

    /// Reads the clock, and tries again what the disk refused before.
    fn begin(&mut self) {
        self.clock = self.clock.max(Timestamp::now());
        let Some(refused) = self.refused.take() else {
            return;
        };
        let outcome = self.flush().and_then(|()| match refused.lines {
            0 => Ok(()),
            lines => {
                let plural = if lines == 1 { "" } else { "s" };
                let note = format!("roadbed: {lines} line{plural} lost: {}", refused.reason);
                self.append(Stream::Stderr, (note.as_bytes(), b""), false)
            }
        });
        if let Err(error) = outcome {
            self.refused = Some(Refused {
                lines: refused.lines,
                reason: reason(&error),
            });
        }
    }

    fn end(&mut self) {
        if self.refused.is_none()
            && let Err(error) = self.flush()
        {
            self.refused = Some(Refused {
                lines: 0,
                reason: reason(&error),
            });
        }
    }

    /// Logs the unfinished text of `stream` and then `piece`, or counts the line as lost.
    fn record(&mut self, stream: Stream, piece: &[u8], partial: bool) {
        let mut line = std::mem::take(&mut self.unfinished[stream as usize]);
        self.last.push(stream, (&line.text, piece), partial);
        if self.refused.is_none()
            && let Err(error) = self.append(stream, (&line.text, piece), partial)
        {
            self.refused = Some(Refused {
                lines: 0,
                reason: reason(&error),
            });
        }
        if let Some(refused) = &mut self.refused
            && !line.lost
        {
            refused.lines += 1;
            line.lost = true;
        }
        line.lost &= partial;
        line.text.clear();
        self.unfinished[stream as usize] = line;
    }

    /// Adds a record to the batch. On an error it is not in there.
    fn append(&mut self, stream: Stream, text: (&[u8], &[u8]), partial: bool) -> io::Result<()> {
        let size = HEAD_BYTES + text.0.len() + text.1.len() + 1;
        let before = self.length + self.batch.len() as u64;
        if before > 0 && before + size as u64 > self.limits.segment_bytes {
            self.flush()?;
            self.rotate()?;
        } else if self.batch.len() + size > BATCH {
            self.flush()?;
        }
        line::encode(&mut self.batch, self.clock, stream, text, partial);
        Ok(())
    }

    /// Writes the batch. On an error it holds what was not written.
    fn flush(&mut self) -> io::Result<()> {
        while !self.batch.is_empty() {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(segments::append_to(&self.folder, self.segment)?),
            };
            match file.write(&self.batch) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.length += written as u64;
                    self.batch.drain(..written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on in a new segment. The oldest goes first, so that the bound always holds.
    fn rotate(&mut self) -> io::Result<()> {
        let numbers = segments::list(&self.folder)?;
        let surplus = (numbers.len() + 1).saturating_sub(self.limits.segments);
        for &number in &numbers[..surplus] {
            segments::remove(&self.folder, number)?;
        }
        self.file = Some(segments::append_to(&self.folder, self.segment + 1)?);
        self.segment += 1;
        self.length = 0;
        Ok(())
    }
}

/// Why a write failed, in few words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "no space left".into(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        _ => error.to_string(),
    }
}

/// How a segment ends.
struct End {
    /// Its last line has no newline.
    torn: bool,
    /// The time of its last record, if it has one.
    time: Option<Timestamp>,
}

impl End {
    fn of_segment(folder: &Path, number: u64) -> io::Result<Self> {
        let Some(file) = segments::open(folder, number)? else {
            return Ok(Self {
                torn: false,
                time: None,
            });
        };
        // Room for a torn line and a whole one before it, each as long as can be.
        let mut bytes = vec![0; 2 * LONGEST_LINE];
        let start = file.metadata()?.len().saturating_sub(bytes.len() as u64);
        let filled = segments::read_at(&file, &mut bytes, start)?;
        let bytes = &bytes[..filled];
        let mut lines = bytes.rsplit(|&byte| byte == b'\n');
        Ok(Self {
            torn: bytes.last().is_some_and(|&byte| byte != b'\n'),
            time: lines.find_map(|line| line::parse(line).map(|record| record.at)),
        })
    }
}
