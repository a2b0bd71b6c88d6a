//! The numbered files in an instance's log folder.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The path of segment `number`.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

/// The numbers of the segments in `folder`, oldest first; none if it does not exist.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in optional(std::fs::read_dir(folder))?.into_iter().flatten() {
        numbers.extend(entry?.file_name().to_str().and_then(number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let number: u64 = digits.parse().ok()?;
    // One spelling only: a stray "1.log" is not ours. Nor is one that none can come after.
    (format!("{number:010}") == digits && number < u64::MAX).then_some(number)
}

/// Opens segment `number` to append to it, and creates it where needed.
pub(super) fn append_to(folder: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path(folder, number))
}

/// Opens segment `number` to read; `None` if it does not exist.
pub(super) fn open(folder: &Path, number: u64) -> io::Result<Option<File>> {
    optional(File::open(path(folder, number)))
}

/// The length of segment `number` in bytes; `None` if it does not exist.
pub(super) fn length(folder: &Path, number: u64) -> io::Result<Option<u64>> {
    Ok(optional(std::fs::metadata(path(folder, number)))?.map(|metadata| metadata.len()))
}

/// Removes segment `number`, if it is there.
pub(super) fn remove(folder: &Path, number: u64) -> io::Result<()> {
    optional(std::fs::remove_file(path(folder, number))).map(|_| ())
}

/// Fills `buffer` from `offset` on, as far as the file reaches; returns how far.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Takes "not found" for an answer.
fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_its_own_files_in_order_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "0000000010.log",
            "0000000009.log",
            "1.log",
            "x.log",
            "0000000001.txt",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(list(folder.path()).unwrap(), [9, 10]);
        assert_eq!(list(&folder.path().join("absent")).unwrap(), [0u64; 0]);
    }

    #[test]
    fn numbers_beyond_ten_digits_still_sort() {
        assert_eq!(number("10000000000.log"), Some(10_000_000_000));
    }
}
