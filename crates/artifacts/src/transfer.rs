//! Contents as they are sent to a server: for each a line with its digest and its length in bytes,
//! and then the content itself. `sha256sum` and `cat` can write it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use model::Digest;

use crate::limits::{MOST_BYTES, MOST_BYTES_IN_BATCH, MOST_IN_BATCH};

/// The longest line before a content: a digest, a space, a length, the end of the line.
const LONGEST_LINE: usize = 64 + 1 + 20 + 1;

/// How much is read at a time.
const PIECE: usize = 128 * 1024;

/// A content to be sent, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The file.
    pub path: PathBuf,
}

/// Parts what is to be sent into as many parts as limits ask for.
pub fn batches(sources: Vec<Source>) -> Vec<Vec<Source>> {
    let mut batches: Vec<Vec<Source>> = Vec::new();
    let mut bytes = u64::MAX;
    for source in sources {
        bytes = bytes.saturating_add(source.size);
        match batches.last_mut() {
            Some(batch) if batch.len() < MOST_IN_BATCH && bytes <= MOST_BYTES_IN_BATCH => {
                batch.push(source);
            }
            _ => {
                bytes = source.size;
                batches.push(vec![source]);
            }
        }
    }
    batches
}

/// Contents, piece by piece.
#[derive(Debug)]
pub struct Sender {
    sources: std::vec::IntoIter<Source>,
    current: Option<(File, Source, u64)>,
}

impl Sender {
    /// Those of `sources`.
    pub fn new(sources: Vec<Source>) -> Self {
        Self {
            sources: sources.into_iter(),
            current: None,
        }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// A file cannot be read, or is shorter than it was.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((file, source, left)) = &mut self.current else {
            let Some(source) = self.sources.next() else {
                return Ok(None);
            };
            let line = format!("{} {}\n", source.digest, source.size);
            if source.size > 0 {
                let file = File::open(&source.path).map_err(|error| at(&source.path, error))?;
                let size = source.size;
                self.current = Some((file, source, size));
            }
            return Ok(Some(line.into_bytes()));
        };
        let most = usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0; most];
        let read = file
            .read(&mut piece)
            .map_err(|error| at(&source.path, error))?;
        if read == 0 {
            let changed = io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter");
            return Err(at(&source.path, changed));
        }
        piece.truncate(read);
        *left -= read as u64;
        if *left == 0 {
            self.current = None;
        }
        Ok(Some(piece))
    }
}

fn at(path: &std::path::Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What was received, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A content begins.
    Begin(Digest),
    /// A piece of it.
    Content(&'a [u8]),
    /// It has ended.
    End,
}

/// Why what was received cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The line before a content is none.
    #[error("a content does not begin with a line of its SHA-256, a space and its length in bytes")]
    Line,
    /// A content is too large.
    #[error("a content has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// There are too many contents at a time.
    #[error("there are more than {MOST_IN_BATCH} contents at a time")]
    TooMany,
    /// It ended in the middle.
    #[error("it ended in the middle of a content")]
    Cut,
}

/// Reads what a [`Sender`] sends, in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Receiver {
    line: Vec<u8>,
    left: Option<u64>,
    count: usize,
}

impl Receiver {
    /// Takes the next bytes, and tells what they are.
    ///
    /// # Errors
    /// They cannot be read, or what is told cannot be taken.
    pub fn take<E: From<TransferError>>(
        &mut self,
        mut bytes: &[u8],
        mut tell: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            match self.left {
                Some(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (content, rest) = bytes.split_at(length);
                    tell(Piece::Content(content))?;
                    bytes = rest;
                    self.left = Some(left - length as u64);
                }
                None => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let length = end.map_or(bytes.len(), |end| end + 1);
                    if self.line.len() + length > LONGEST_LINE {
                        return Err(TransferError::Line.into());
                    }
                    let (line, rest) = bytes.split_at(length);
                    self.line.extend_from_slice(line);
                    bytes = rest;
                    if end.is_none() {
                        return Ok(());
                    }
                    let (digest, size) = read_line(&self.line)?;
                    self.line.clear();
                    self.count += 1;
                    if self.count > MOST_IN_BATCH {
                        return Err(TransferError::TooMany.into());
                    }
                    tell(Piece::Begin(digest))?;
                    self.left = Some(size);
                }
            }
            if self.left == Some(0) {
                self.left = None;
                tell(Piece::End)?;
            }
        }
        Ok(())
    }

    /// Says whether what came was whole.
    ///
    /// # Errors
    /// It was not.
    pub fn end(&self) -> Result<(), TransferError> {
        match self.left.is_none() && self.line.is_empty() {
            true => Ok(()),
            false => Err(TransferError::Cut),
        }
    }
}

fn read_line(line: &[u8]) -> Result<(Digest, u64), TransferError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| TransferError::Line)?;
    let (digest, size) = text.split_once(' ').ok_or(TransferError::Line)?;
    let digest = digest.parse().map_err(|_| TransferError::Line)?;
    if !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TransferError::Line);
    }
    let size = size.parse().map_err(|_| TransferError::Line)?;
    match size <= MOST_BYTES {
        true => Ok((digest, size)),
        false => Err(TransferError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest_of;

    /// What comes out when `bytes` come in pieces that end where `cuts` say.
    fn received(bytes: &[u8], cuts: &[usize]) -> Result<Vec<(Digest, Vec<u8>)>, TransferError> {
        let mut all: Vec<(Digest, Vec<u8>)> = Vec::new();
        let mut receiver = Receiver::default();
        let mut whole = 0;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            receiver.take(&bytes[pair[0]..pair[1]], |piece| {
                match piece {
                    Piece::Begin(digest) => all.push((digest, Vec::new())),
                    Piece::Content(content) => all.last_mut().unwrap().1.extend(content),
                    Piece::End => whole += 1,
                }
                Ok::<(), TransferError>(())
            })?;
        }
        receiver.end()?;
        assert_eq!(whole, all.len());
        Ok(all)
    }

    proptest! {
        #[test]
        fn what_is_sent_is_received_in_whatever_pieces(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let sources = contents.iter().enumerate().map(|(number, content)| {
                let path = folder.path().join(number.to_string());
                std::fs::write(&path, content).unwrap();
                Source { digest: digest_of(content), size: content.len() as u64, path }
            });
            let mut sender = Sender::new(sources.collect());
            let mut bytes = Vec::new();
            while let Some(piece) = sender.next_piece().unwrap() {
                bytes.extend(piece);
            }
            let expected: Vec<_> = contents.iter().map(|c| (digest_of(c), c.clone())).collect();
            prop_assert_eq!(received(&bytes, &cuts), Ok(expected));
            if let Some(cut) = cuts.first().filter(|_| !bytes.is_empty()) {
                let short = &bytes[..cut % bytes.len()];
                // Cut between two contents it is whole.
                let whole = received(short, &cuts).map(|all| all.len());
                prop_assert!(whole.is_ok_and(|count| count < contents.len()) || received(short, &cuts).is_err());
            }
        }

        #[test]
        fn any_bytes_are_contents_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = received(&bytes, &[7]);
        }
    }

    #[test]
    fn a_line_has_one_spelling() {
        let digest = digest_of(b"");
        assert_eq!(
            received(format!("{digest} 0\n").as_bytes(), &[]),
            Ok(vec![(digest, vec![])])
        );
        for bad in [
            format!("{digest}  0\n"),
            format!("{digest} +0\n"),
            format!("{digest} 0\r\n"),
            format!("{digest} \n"),
            format!(" {digest} 0\n"),
            "\n".to_owned(),
        ] {
            assert_eq!(
                received(bad.as_bytes(), &[]),
                Err(TransferError::Line),
                "{bad:?}"
            );
        }
        let large = format!("{digest} {}\n", u64::MAX);
        assert_eq!(
            received(large.as_bytes(), &[]),
            Err(TransferError::TooLarge)
        );
        let endless = vec![b'a'; 1000];
        assert_eq!(received(&endless, &[3, 80]), Err(TransferError::Line));
    }

    #[test]
    fn what_is_sent_at_a_time_has_limits() {
        let source = |size| Source {
            digest: digest_of(b""),
            size,
            path: PathBuf::new(),
        };
        let sizes = |sources: Vec<Source>| -> Vec<usize> {
            batches(sources).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(vec![]), [0; 0]);
        assert_eq!(sizes(vec![source(1); 2000]), [1024, 976]);
        let large = vec![source(1), source(MOST_BYTES_IN_BATCH), source(1), source(1)];
        assert_eq!(sizes(large), [1, 1, 2]);
        let text = format!("{} 0\n", digest_of(b"")).repeat(1025);
        assert_eq!(received(text.as_bytes(), &[]), Err(TransferError::TooMany));
    }
}
