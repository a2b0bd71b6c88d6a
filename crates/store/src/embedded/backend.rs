//! How the database reads and writes its file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A file whose space is reserved as it grows. So a full disk shows when the file is to grow, and
/// not when a page in it is overwritten or when it is repaired: what is stored stays readable, and
/// the store can be opened, on a disk without any space left.
#[derive(Debug)]
pub(super) struct ReservedFile {
    file: File,
}

impl ReservedFile {
    /// Takes over `file`; nobody else may change it.
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }

    fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), from, to - from) {
            Ok(()) => Ok(()),
            // The file system cannot reserve: a full disk then shows later, as a failed write.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file.set_len(to),
            Err(error) => {
                // Some file systems keep what they could reserve. The failure is what is reported;
                // a file that stays longer than it is used does no harm.
                let _ = self.file.set_len(from);
                Err(error.into())
            }
        }
    }
}

impl redb::StorageBackend for ReservedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let current = self.file.metadata()?.len();
        if length > current {
            self.grow(current, length)
        } else {
            self.file.set_len(length)
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
