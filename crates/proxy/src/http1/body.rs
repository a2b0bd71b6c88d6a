//! Relaying a body, in either direction: bytes are read only when the last ones were written, so
//! the slower side sets the pace and memory stays at one buffer per side.

use std::io;
use std::time::Duration;

use super::chunked::{CHUNK_OVERHEAD, Decoder, Step, encode, encode_end};
use crate::buffers::Pooled;
use crate::http::message::Body;
use crate::http::phases::BodyError;
use crate::limits::{BUFFER_BYTES, COPIED_BYTES, TURN_BYTES};
use crate::measure::Meter;
use crate::socket::Socket;

/// How content leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Plain,
    /// In chunks.
    Chunked,
}

/// A body on its way from one socket to another.
pub(crate) struct Relay<'a> {
    pub(crate) from: &'a Socket,
    /// What was read from `from` and not yet used. Beyond the body's end it is left alone.
    pub(crate) input: &'a mut Pooled,
    pub(crate) to: &'a Socket,
    /// What is to be written before the body, such as a head, so that both leave at once.
    pub(crate) out: &'a mut Pooled,
    /// Longest silence of either side.
    pub(crate) idle: Duration,
    pub(crate) turn: Turn,
    /// Counts the bytes of content.
    pub(crate) moved: Meter<'a>,
    /// How many bytes of content may follow.
    pub(crate) limit: u64,
}

/// Keeps a body whose sender and receiver are always ready from keeping the worker to itself:
/// reading and writing wait only for them, and the runtime interrupts nobody.
#[derive(Debug, Default)]
pub(crate) struct Turn(usize);

impl Turn {
    /// Notes that so many bytes were moved; others have their turn when it is enough.
    async fn moved(&mut self, count: usize) {
        self.0 += count;
        if self.0 >= TURN_BYTES {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

impl Relay<'_> {
    /// Relays what is in `out` and then `body`.
    pub(crate) async fn run(mut self, body: Body, coding: Coding) -> Result<(), BodyError> {
        match body {
            Body::None => self.flush().await,
            Body::Length(length) => self.length(length).await,
            Body::Chunked => self.chunked(coding).await,
            Body::UntilClose => self.until_close(coding).await,
        }
    }

    async fn length(&mut self, mut left: u64) -> Result<(), BodyError> {
        if left > BUFFER_BYTES as u64 {
            self.input.enlarge();
        }
        loop {
            let available = self.input.bytes().len();
            let count = available.min(usize::try_from(left).unwrap_or(usize::MAX));
            if count <= COPIED_BYTES && !self.out.is_empty() {
                self.out.append(&self.input.bytes()[..count]);
                self.flush().await?;
            } else {
                let parts = [self.out.bytes(), &self.input.bytes()[..count]];
                self.to.write_parts(parts, self.idle).await.map_err(sink)?;
                self.out.clear();
            }
            self.input.consume(count);
            self.moved.add(count);
            left -= count as u64;
            if left == 0 {
                return Ok(());
            }
            if self.read().await? == 0 {
                return Err(BodyError::Source);
            }
        }
    }

    async fn chunked(&mut self, coding: Coding) -> Result<(), BodyError> {
        let mut decoder = Decoder::new();
        loop {
            match decoder
                .step(self.input.bytes())
                .map_err(BodyError::Malformed)?
            {
                Step::Framing(count) => self.input.consume(count),
                Step::Data(count) => {
                    let left = self.limit.checked_sub(count as u64);
                    self.limit = left.ok_or(BodyError::TooLong)?;
                    self.content(count, coding).await?;
                }
                Step::Incomplete => {
                    self.flush().await?;
                    if self.read().await? == 0 {
                        return Err(BodyError::Source);
                    }
                }
                Step::End(count, trailers) => {
                    if coding == Coding::Chunked {
                        let trailers = &self.input.bytes()[trailers];
                        encode_end(self.out, trailers);
                    }
                    self.input.consume(count);
                    return self.flush().await;
                }
            }
        }
    }

    async fn until_close(&mut self, coding: Coding) -> Result<(), BodyError> {
        loop {
            let available = self.input.bytes().len();
            if available > 0 {
                self.content(available, coding).await?;
            }
            self.flush().await?;
            if self.read().await? == 0 {
                break;
            }
        }
        if coding == Coding::Chunked {
            encode_end(self.out, b"");
        }
        self.flush().await
    }

    /// Puts the first `count` bytes of the input into `out`, which is flushed as it fills.
    async fn content(&mut self, mut count: usize, coding: Coding) -> Result<(), BodyError> {
        self.moved.add(count);
        if self.input.is_full() {
            self.input.enlarge();
            self.out.enlarge();
        }
        while count > 0 {
            if self.out.room() <= CHUNK_OVERHEAD {
                self.flush().await?;
            }
            let piece = count.min(self.out.room() - CHUNK_OVERHEAD);
            match coding {
                Coding::Plain => self.out.append(&self.input.bytes()[..piece]),
                Coding::Chunked => encode(self.out, &self.input.bytes()[..piece]),
            }
            self.input.consume(piece);
            count -= piece;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BodyError> {
        if !self.out.is_empty() {
            self.to
                .write_all(self.out.bytes(), self.idle)
                .await
                .map_err(sink)?;
            self.out.clear();
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<usize, BodyError> {
        match tokio::time::timeout(self.idle, self.from.read(self.input)).await {
            Ok(Ok(count)) => {
                self.turn.moved(count).await;
                Ok(count)
            }
            Ok(Err(_)) => Err(BodyError::Source),
            Err(_) => Err(BodyError::Idle),
        }
    }
}

/// Which error it was does not matter: the receiver will not get the rest.
fn sink(_: io::Error) -> BodyError {
    BodyError::Sink
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn others_have_their_turn_after_so_many_bytes() {
        let context = &mut Context::from_waker(Waker::noop());
        let mut turn = Turn::default();
        for _ in 0..3 {
            assert!(pin!(turn.moved(TURN_BYTES - 1)).poll(context).is_ready());
            assert!(pin!(turn.moved(1)).poll(context).is_pending());
        }
    }
}
