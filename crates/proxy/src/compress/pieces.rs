//! Content that is compressed piece by piece. What has come is passed on as soon as nothing more is
//! there, so that events that a server sends one by one are not held back.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::encoder::Encoder;
use super::{Compression, Slot};
use crate::http::field_section::FieldSection;
use crate::http::phases::BodyError;
use crate::limits::{COMPRESSED_PIECE, COMPRESSED_TURN};
use crate::translate::sink::Pieces;
use crate::translate::source::{Piece, Source};

/// The compressed content of a source.
pub(crate) struct Compressed<'a> {
    source: Source<'a>,
    /// Until the end of the content.
    encoder: Option<Encoder>,
    /// Something was written that cannot be read yet from what was made.
    is_behind: bool,
    /// How much was taken from the source and not passed on yet.
    owed: usize,
    trailers: Option<FieldSection>,
    _slot: Slot,
}

impl<'a> Compressed<'a> {
    /// What is in `source`.
    pub(crate) fn new(source: Source<'a>, compression: Compression) -> Self {
        let Compression { encoder, _slot } = compression;
        Self {
            source,
            encoder: Some(encoder),
            is_behind: false,
            owed: 0,
            trailers: None,
            _slot,
        }
    }

    /// The next piece of the source; none where that has nothing at the moment and something can be
    /// passed on meanwhile.
    async fn next_of_source(&mut self, idle: Duration) -> Option<Result<Option<Piece>, BodyError>> {
        let is_behind = self.is_behind;
        let mut next = pin!(self.source.next(idle));
        poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending if is_behind => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Ends the content; the last of what was made.
    fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.is_behind = false;
        self.encoder.take().map_or(Ok(Vec::new()), Encoder::finish)
    }

    /// Has all that was written be passed on.
    fn flush(&mut self) -> io::Result<Vec<u8>> {
        self.is_behind = false;
        match &mut self.encoder {
            Some(encoder) => {
                encoder.flush()?;
                Ok(encoder.take())
            }
            None => Ok(Vec::new()),
        }
    }

    /// Takes content; what is passed on of what was made, if that is enough for a piece.
    fn write(&mut self, content: &[u8]) -> io::Result<Vec<u8>> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(Vec::new());
        };
        encoder.write(content)?;
        self.owed += content.len();
        self.is_behind = true;
        match encoder.made() >= COMPRESSED_PIECE {
            true => Ok(encoder.take()),
            false => Ok(Vec::new()),
        }
    }
}

impl Pieces for Compressed<'_> {
    async fn next(&mut self, idle: Duration) -> Result<Option<Piece>, BodyError> {
        loop {
            if self.encoder.is_none() {
                return Ok(self.trailers.take().map(Piece::Trailers));
            }
            let made = if self.owed >= COMPRESSED_TURN {
                // So much that others have their turn, and the sender may send as much again.
                tokio::task::yield_now().await;
                self.flush()
            } else {
                match self.next_of_source(idle).await {
                    None => self.flush(),
                    Some(Ok(Some(Piece::Data(content)))) => self.write(&content),
                    Some(Ok(Some(Piece::Trailers(trailers)))) => {
                        self.trailers = Some(trailers);
                        self.finish()
                    }
                    Some(Ok(None)) => self.finish(),
                    Some(Err(error)) => return Err(error),
                }
            };
            let made = made.map_err(|_| BodyError::Source)?;
            if !made.is_empty() {
                return Ok(Some(Piece::Data(made.into())));
            }
        }
    }

    fn is_over(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    fn passed_on(&mut self, _: usize) {
        self.source.passed_on(std::mem::take(&mut self.owed));
    }
}
