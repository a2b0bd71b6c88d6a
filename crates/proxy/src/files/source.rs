//! A file that is being sent, piece by piece.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Effort, read};
use crate::limits::{LARGE_BUFFER_BYTES, TURN_BYTES};

/// The content of a file that is still to be sent.
#[derive(Debug)]
pub(crate) struct FileSource {
    file: Arc<File>,
    rest: Range<u64>,
    /// How much was read since the worker's other connections had their turn.
    turn: usize,
}

impl FileSource {
    /// What `part` has of `file`.
    pub(super) fn new(file: File, part: Range<u64>) -> Self {
        Self {
            file: Arc::new(file),
            rest: part,
            turn: 0,
        }
    }

    /// Whether all of it was read.
    pub(crate) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// It cannot be read, or has become shorter.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.is_over() {
            return Ok(None);
        }
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            tokio::task::yield_now().await;
        }
        let left = self.rest.end - self.rest.start;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let mut bytes = vec![0; most.min(LARGE_BUFFER_BYTES)];
        let place = self.rest.start;
        let count = match read(&self.file, &mut bytes, place, Effort::Memory) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let file = self.file.clone();
                let reading = tokio::task::spawn_blocking(move || {
                    let count = read(&file, &mut bytes, place, Effort::Disk)?;
                    Ok::<_, io::Error>((count, bytes))
                });
                let count;
                (count, bytes) = reading.await.map_err(io::Error::other)??;
                count
            }
            count => count?,
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(count);
        self.rest.start += count as u64;
        self.turn += count;
        Ok(Some(bytes.into()))
    }
}
