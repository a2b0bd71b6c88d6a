//! Where content comes from: a piece at a time, whichever codec brings it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::fields;
use crate::buffers::Pooled;
use crate::files::FileSource;
use crate::http::field_section::FieldSection;
use crate::http::message::Body;
use crate::http::phases::BodyError;
use crate::http1::chunked::{Decoder, Step};
use crate::http2::{Handle, Received};
use crate::limits::REPLAY_BYTES;
use crate::socket::{Socket, within};
use crate::worker::Worker;

/// A piece of a body.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Data(Bytes),
    /// What follows the content; nothing follows it.
    Trailers(FieldSection),
}

/// Where pieces come from.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// There are none.
    Nothing,
    /// A body in HTTP/1.1.
    Http1(Http1Source<'a>),
    /// A stream of HTTP/2.
    Http2(Http2Source),
    /// A file.
    File(FileSource),
    /// This, in one piece.
    Whole(Bytes),
}

impl Source<'_> {
    /// The next piece; none at the end. `idle` is the longest silence.
    pub(crate) async fn next(&mut self, idle: Duration) -> Result<Option<Piece>, BodyError> {
        let next = async {
            match self {
                Self::Nothing => Ok(None),
                Self::Whole(bytes) if bytes.is_empty() => Ok(None),
                Self::Whole(bytes) => Ok(Some(Piece::Data(std::mem::take(bytes)))),
                Self::Http1(source) => source.next().await,
                Self::Http2(source) => source.next().await,
                Self::File(source) => match source.next().await {
                    Ok(data) => Ok(data.map(Piece::Data)),
                    Err(error) => {
                        tracing::warn!(%error, "a file cannot be read to its end");
                        Err(BodyError::Source)
                    }
                },
            }
        };
        within(idle, next).await.unwrap_or(Err(BodyError::Idle))
    }

    /// Whether it is known that nothing follows.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Http1(source) => source.is_over(),
            Self::Http2(source) => source.0.is_at_end(),
            Self::File(source) => source.is_over(),
        }
    }

    /// Notes that so many bytes were passed on, for which as many may follow.
    pub(crate) fn passed_on(&mut self, count: usize) {
        if let Self::Http2(source) = self {
            source.0.passed_on(count);
        }
    }
}

/// A body in HTTP/2. What nobody takes of it does not hold up others on its connection.
#[derive(Debug)]
pub(crate) struct Http2Source(Handle);

impl From<Handle> for Http2Source {
    fn from(stream: Handle) -> Self {
        Self(stream)
    }
}

impl Drop for Http2Source {
    fn drop(&mut self) {
        self.0.ignore();
    }
}

impl Http2Source {
    async fn next(&mut self) -> Result<Option<Piece>, BodyError> {
        match self.0.receive().await {
            Ok(Received::Content(content)) => Ok(Some(Piece::Data(content))),
            Ok(Received::Trailers(trailers)) => Ok(Some(Piece::Trailers(trailers))),
            Ok(Received::End) => Ok(None),
            Err(_) => Err(BodyError::Source),
        }
    }
}

/// A body in HTTP/1.1, from a socket and what was read from it before.
#[derive(Debug)]
pub(crate) struct Http1Source<'a> {
    worker: &'a Worker,
    socket: &'a Socket,
    input: &'a mut Option<Pooled>,
    rest: Rest,
}

/// What is left of a body.
#[derive(Debug)]
enum Rest {
    Nothing,
    Length(u64),
    Chunks(Decoder),
    UntilClose,
}

impl<'a> Http1Source<'a> {
    /// The body that begins in `input` and goes on from `socket`. What follows it stays there.
    pub(crate) fn new(
        worker: &'a Worker,
        socket: &'a Socket,
        input: &'a mut Option<Pooled>,
        body: Body,
    ) -> Self {
        let rest = match body {
            Body::None => Rest::Nothing,
            Body::Length(length) => Rest::Length(length),
            Body::Chunked => Rest::Chunks(Decoder::new()),
            Body::UntilClose => Rest::UntilClose,
        };
        Self {
            worker,
            socket,
            input,
            rest,
        }
    }

    /// All that a connection brings until it ends: no body, but bytes of another protocol.
    pub(crate) fn raw(
        worker: &'a Worker,
        socket: &'a Socket,
        input: &'a mut Option<Pooled>,
    ) -> Self {
        Self::new(worker, socket, input, Body::UntilClose)
    }

    fn is_over(&self) -> bool {
        matches!(self.rest, Rest::Nothing | Rest::Length(0))
    }

    async fn next(&mut self) -> Result<Option<Piece>, BodyError> {
        loop {
            if self.is_over() {
                return Ok(None);
            }
            if let Some(piece) = self.buffered()? {
                return Ok(piece);
            }
            if !self.read().await? {
                return match self.rest {
                    Rest::UntilClose => {
                        self.rest = Rest::Nothing;
                        Ok(None)
                    }
                    _ => Err(BodyError::Source),
                };
            }
        }
    }

    /// What follows from the bytes that are there; none when it takes more of them.
    fn buffered(&mut self) -> Result<Option<Option<Piece>>, BodyError> {
        let Some(input) = self.input.as_mut() else {
            return Ok(None);
        };
        while !input.is_empty() {
            let count = match &mut self.rest {
                Rest::Nothing => return Ok(Some(None)),
                Rest::UntilClose => input.bytes().len(),
                Rest::Length(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let count = input.bytes().len().min(most);
                    *left -= count as u64;
                    count
                }
                Rest::Chunks(decoder) => {
                    match decoder.step(input.bytes()).map_err(BodyError::Malformed)? {
                        Step::Incomplete => return Ok(None),
                        Step::Framing(count) => {
                            input.consume(count);
                            continue;
                        }
                        Step::Data(count) => count,
                        Step::End(count, lines) => {
                            let trailers = fields::parse_trailers(&input.bytes()[lines]);
                            input.consume(count);
                            self.rest = Rest::Nothing;
                            let any = !trailers.is_empty();
                            return Ok(Some(any.then_some(Piece::Trailers(trailers))));
                        }
                    }
                }
            };
            let data = Bytes::copy_from_slice(&input.bytes()[..count]);
            input.consume(count);
            return Ok(Some(Some(Piece::Data(data))));
        }
        Ok(None)
    }

    /// Reads more; false at the connection's end.
    async fn read(&mut self) -> Result<bool, BodyError> {
        let read = match self.input.as_mut().filter(|input| !input.is_empty()) {
            // Part of a chunk's line or of trailers, for which a buffer has always room.
            Some(input) => self.socket.read(input).await.map(|count| count > 0),
            None => {
                *self.input = None;
                let first = self.socket.read_first(&self.worker.buffers).await;
                first.map(|first| {
                    *self.input = first;
                    self.input.is_some()
                })
            }
        };
        read.map_err(|_| BodyError::Source)
    }
}

/// A request's body, which can be sent again from its beginning as long as it is short.
#[derive(Debug)]
pub(crate) struct Replayable<'a> {
    source: Source<'a>,
    /// What was taken from the source, in order, while all of it is here.
    kept: Vec<Piece>,
    /// What of it is to be sent again.
    again: VecDeque<Piece>,
    size: usize,
    /// How many bytes of content may follow from the source.
    limit: u64,
    /// The last piece was sent before, and paid for then.
    is_repeated: bool,
    /// The same for another attempt at the same time, where there may be one.
    taken: Option<Rc<Taken>>,
}

/// What was taken of a body so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pieces: RefCell<Vec<Piece>>,
    is_whole: Cell<bool>,
    is_lost: Cell<bool>,
}

impl Taken {
    /// All of the body, where it has come to its end and was short.
    pub(crate) fn whole(&self) -> Option<Vec<Piece>> {
        let is_there = self.is_whole.get() && !self.is_lost.get();
        is_there.then(|| self.pieces.borrow().clone())
    }

    fn note(&self, piece: Option<&Piece>, is_over: bool, is_short: bool) {
        if !is_short {
            self.is_lost.set(true);
            self.pieces.borrow_mut().clear();
        } else if let Some(piece) = piece {
            self.pieces.borrow_mut().push(piece.clone());
        }
        self.is_whole.set(is_over);
    }
}

impl<'a> Replayable<'a> {
    /// What is in `source`, which may have `limit` bytes of content.
    pub(crate) fn new(source: Source<'a>, limit: u64) -> Self {
        Self {
            source,
            limit,
            kept: Vec::new(),
            again: VecDeque::new(),
            size: 0,
            is_repeated: false,
            taken: None,
        }
    }

    /// What is taken of it from now on, and all of it if that is known to be nothing.
    pub(crate) fn share(&mut self) -> Rc<Taken> {
        let taken = Rc::<Taken>::default();
        taken.is_whole.set(self.is_over());
        self.taken = Some(taken.clone());
        taken
    }

    /// What is in `pieces`, all of which is there.
    pub(crate) fn of(pieces: Vec<Piece>) -> Self {
        Self {
            again: pieces.into(),
            ..Self::new(Source::Nothing, u64::MAX)
        }
    }

    /// All of it, where it has come to its end and is still here.
    pub(crate) fn whole(&self) -> Option<Vec<Piece>> {
        (self.size <= REPLAY_BYTES && self.source.is_over()).then(|| self.kept.clone())
    }

    /// Begins again; false when that is not possible any more.
    pub(crate) fn rewind(&mut self) -> bool {
        self.again = self.kept.iter().cloned().collect();
        self.size <= REPLAY_BYTES
    }

    /// As [`Source::next`].
    pub(crate) async fn next(&mut self, idle: Duration) -> Result<Option<Piece>, BodyError> {
        if let Some(piece) = self.again.pop_front() {
            self.is_repeated = true;
            return Ok(Some(piece));
        }
        self.is_repeated = false;
        let piece = self.source.next(idle).await?;
        if let Some(piece) = &piece {
            if let Piece::Data(data) = piece {
                let left = self.limit.checked_sub(data.len() as u64);
                self.limit = left.ok_or(BodyError::TooLong)?;
                self.size = self.size.saturating_add(data.len());
            }
            match self.size <= REPLAY_BYTES {
                true => self.kept.push(piece.clone()),
                false => self.kept.clear(),
            }
        }
        if let Some(taken) = &self.taken {
            let is_over = piece.is_none() || self.source.is_over();
            taken.note(piece.as_ref(), is_over, self.size <= REPLAY_BYTES);
        }
        Ok(piece)
    }

    /// As [`Source::is_over`].
    pub(crate) fn is_over(&self) -> bool {
        self.again.is_empty() && self.source.is_over()
    }

    /// As [`Source::passed_on`].
    pub(crate) fn passed_on(&mut self, count: usize) {
        if !self.is_repeated {
            self.source.passed_on(count);
        }
    }

    /// Keeps nothing from now on: it will not be sent again.
    pub(crate) fn forget(&mut self) {
        self.size = REPLAY_BYTES + 1;
        self.kept.clear();
    }
}
