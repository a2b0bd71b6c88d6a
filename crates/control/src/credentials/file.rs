//! Reading the files: bounded, and without waiting for what is no file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{FileProblem, NamedFile};

/// What a file should be, and what is said if it is not.
pub(crate) struct Expected {
    /// The largest file that is read, in bytes.
    pub(crate) largest: u64,
    /// What to do about what is no file.
    pub(crate) name_one: &'static str,
    /// What is wrong with a file that is no text, and what to do about it.
    pub(crate) not_text: &'static str,
    pub(crate) make_text: &'static str,
}

/// A certificate or key. A chain of certificates has a few KiB, a key less.
const IN_PEM: Expected = Expected {
    largest: 64 * 1024,
    name_one: "name a file in PEM",
    not_text: "it is not PEM, which is text",
    make_text: "`openssl x509 -inform der -in FILE -out NEW` writes a certificate as PEM, \
                `openssl pkey` likewise a key",
};

/// What of a file changes when it is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// That of the file to which `path` leads; none if it cannot be looked at.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// The text of a file in PEM.
pub(super) fn read(file: &NamedFile) -> Result<String, FileProblem> {
    read_text(file, &IN_PEM)
}

/// The text of a file that should be as `expected`.
pub(crate) fn read_text(file: &NamedFile, expected: &Expected) -> Result<String, FileProblem> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileProblem {
            is_missing: true,
            ..FileProblem::new(
                file,
                format!("there is no {}", file.path.display()),
                "make it, or mend its path: relative ones are those below the app's folder",
            )
        },
        io::ErrorKind::PermissionDenied => FileProblem::new(
            file,
            "the server may not read it",
            "let the user who runs the server read it, and no others",
        ),
        _ => FileProblem::new(
            file,
            format!("it cannot be read: {error}"),
            "check the disk that it is on",
        ),
    };
    // Asked before opening: to open a pipe would wait for whoever writes into it.
    if !fs::metadata(&file.path).map_err(unreadable)?.is_file() {
        let problem = "it is not a regular file";
        return Err(FileProblem::new(file, problem, expected.name_one));
    }
    let mut bytes = Vec::new();
    File::open(&file.path)
        .and_then(|opened| opened.take(expected.largest + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > expected.largest {
        return Err(FileProblem::new(
            file,
            format!("it has more than {} KiB", expected.largest / 1024),
            "name one that holds only what is needed here",
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| FileProblem::new(file, expected.not_text, expected.make_text))
}
