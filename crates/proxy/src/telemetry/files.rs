//! The access log on disk: numbered files of lines in a folder of their own, of which the oldest
//! goes when a new one is begun. Names never change, so that a reader can follow them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::limits::{ACCESS_LOG_FILE_BYTES, ACCESS_LOG_FILES};

/// The ending of the files' names.
const ENDING: &str = ".jsonl";

/// The newest file, and how much is in it.
#[derive(Debug)]
struct Newest {
    file: File,
    number: u64,
    length: u64,
}

/// The files in a folder; nothing is opened before there is something to write.
#[derive(Debug)]
pub(crate) struct LogFiles {
    folder: PathBuf,
    newest: Option<Newest>,
    /// How long a file may become.
    limit: u64,
}

impl LogFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            newest: None,
            limit: ACCESS_LOG_FILE_BYTES,
        }
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// They are not on disk.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // After a failure the file is opened anew.
        let mut newest = match self.newest.take() {
            Some(newest) => newest,
            None => open_newest(&self.folder)?,
        };
        if newest.length > 0 && newest.length + lines.len() as u64 > self.limit {
            newest = self.begin(newest.number + 1)?;
        }
        if let Err(error) = newest.file.write_all(lines) {
            // None of them is there, rather than some. Where that cannot be either, what is there
            // of a line is ended when the file is opened the next time.
            let _ = newest.file.set_len(newest.length);
            return Err(error);
        }
        newest.length += lines.len() as u64;
        self.newest = Some(newest);
        Ok(())
    }

    /// Begins another file, and removes those that are too old.
    fn begin(&self, number: u64) -> io::Result<Newest> {
        for old in numbers(&self.folder)? {
            if old + (ACCESS_LOG_FILES as u64) <= number {
                fs::remove_file(path(&self.folder, old))?;
            }
        }
        open(&self.folder, number)
    }
}

fn open_newest(folder: &Path) -> io::Result<Newest> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    open(folder, numbers(folder)?.last().copied().unwrap_or(1))
}

fn open(folder: &Path, number: u64) -> io::Result<Newest> {
    let path = path(folder, number);
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(&path)?;
    let length = file.metadata()?.len();
    let mut newest = Newest {
        file,
        number,
        length,
    };
    // A loss of power or a full disk may have cut a line.
    if length > 0 && last_byte(&path)? != b'\n' {
        newest.file.write_all(b"\n")?;
        newest.length += 1;
    }
    Ok(newest)
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let (mut file, mut byte) = (File::open(path)?, [0]);
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// The numbers of the files that are there, in order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}{ENDING}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn files(folder: &Path, limit: u64) -> LogFiles {
        LogFiles {
            limit,
            ..LogFiles::new(folder.join("log"))
        }
    }

    #[test]
    fn files_are_for_their_user_alone_bounded_and_few() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path(), 10);
        for number in 0..100 {
            files.append(format!("{number:04}\n").as_bytes()).unwrap();
        }
        let log = folder.path().join("log");
        let numbers = numbers(&log).unwrap();
        assert_eq!(numbers.len(), ACCESS_LOG_FILES);
        let read = |number: &u64| fs::read_to_string(path(&log, *number)).unwrap();
        let lines: String = numbers.iter().map(read).collect();
        let first = 100 - 2 * ACCESS_LOG_FILES;
        let expected: String = (first..100)
            .map(|number| format!("{number:04}\n"))
            .collect();
        assert_eq!(lines, expected);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&log), mode(&path(&log, numbers[0]))), (0o700, 0o600));
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_others_follow() {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), 100).append(b"one\ntw").unwrap();
        files(folder.path(), 100).append(b"three\n").unwrap();
        let text = fs::read_to_string(path(&folder.path().join("log"), 1)).unwrap();
        assert_eq!(text, "one\ntw\nthree\n");
    }
}
