//! The file of counts: a line of fixed length for each name, changed in place.
//!
//! Several instances may share it, as two releases do during a deploy: who changes a count holds
//! the file's lock, and every count is read from the file. Only where a name's line is, which never
//! changes, is remembered.

use std::collections::HashMap;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A line: the name, filled up with spaces; a space; the count, filled up with zeros; a line feed.
const LINE: usize = 64;
const NAME: usize = 43;
const DIGITS: usize = LINE - NAME - 2;

/// How many names there may be; they are never removed.
const MOST_NAMES: u64 = 10_000;

/// The counts.
#[derive(Debug)]
pub(crate) struct Table {
    file: Arc<File>,
    /// Where in the file each name's line starts.
    lines: HashMap<String, u64>,
    /// How much of the file `lines` knows.
    known: u64,
}

/// A request that the table refused.
#[derive(Debug)]
pub(crate) enum TableError {
    /// The name is empty, too long or has a character that is not allowed.
    BadName,
    /// There are too many names already.
    Full,
    /// The file cannot be read or written, or is damaged.
    File(io::Error),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => {
                write!(
                    f,
                    "a name is 1 to {NAME} lower-case letters, digits, hyphens and colons"
                )
            }
            Self::Full => write!(f, "there are {MOST_NAMES} names already"),
            Self::File(error) => write!(f, "the file of counts: {error}"),
        }
    }
}

impl From<io::Error> for TableError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Table {
    /// Opens the file in `folder`, making both where they are missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, TableError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let path = folder.join("counts.txt");
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = Arc::new(options.open(path)?);
        let mut table = Self {
            file,
            lines: HashMap::new(),
            known: 0,
        };
        table.learn()?;
        Ok(table)
    }

    /// The file, to have it written to the disk.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// The count of a name.
    pub(crate) fn get(&mut self, name: &str) -> Result<u64, TableError> {
        check(name)?;
        match self.find(name)? {
            Some(line) => self.read(line),
            None => Ok(0),
        }
    }

    /// Adds one to the count of a name and returns it.
    pub(crate) fn increment(&mut self, name: &str) -> Result<u64, TableError> {
        check(name)?;
        self.file.lock()?;
        let count = self.increment_locked(name);
        // It fails only for a file that is not open.
        let _ = self.file.unlock();
        count
    }

    fn increment_locked(&mut self, name: &str) -> Result<u64, TableError> {
        let Some(line) = self.find(name)? else {
            if self.known >= MOST_NAMES * LINE as u64 {
                return Err(TableError::Full);
            }
            // Over whatever one that died while writing left after the last whole line.
            let line = format!("{name:NAME$} {:0DIGITS$}\n", 1);
            self.file.write_all_at(line.as_bytes(), self.known)?;
            self.learn()?;
            return Ok(1);
        };
        let count = self.read(line)? + 1;
        let digits = format!("{count:0DIGITS$}");
        self.file
            .write_all_at(digits.as_bytes(), line + NAME as u64 + 1)?;
        Ok(count)
    }

    fn find(&mut self, name: &str) -> Result<Option<u64>, TableError> {
        if !self.lines.contains_key(name) {
            self.learn()?;
        }
        Ok(self.lines.get(name).copied())
    }

    /// Reads the names that were appended since the last time.
    fn learn(&mut self) -> Result<(), TableError> {
        let length = self.file.metadata()?.len();
        let mut line = [0; LINE];
        while self.known + LINE as u64 <= length {
            self.file.read_exact_at(&mut line, self.known)?;
            let name = std::str::from_utf8(&line[..NAME]).map(str::trim_end);
            match name {
                Ok(name) if check(name).is_ok() && line[LINE - 1] == b'\n' => {
                    self.lines.insert(name.to_owned(), self.known);
                }
                _ => return Err(self.damaged(self.known)),
            }
            self.known += LINE as u64;
        }
        Ok(())
    }

    fn read(&self, line: u64) -> Result<u64, TableError> {
        let mut digits = [0; DIGITS];
        self.file
            .read_exact_at(&mut digits, line + NAME as u64 + 1)?;
        let count = std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| digits.parse().ok());
        count.ok_or_else(|| self.damaged(line))
    }

    fn damaged(&self, line: u64) -> TableError {
        let message = format!("line {} is damaged", line / LINE as u64 + 1);
        TableError::File(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

fn check(name: &str) -> Result<(), TableError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b':');
    if (1..=NAME).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(TableError::BadName)
    }
}
