//! One stream of a connection, and what is remembered of those that are over.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use crate::http::field_section::FieldSection;
use crate::http2::head::AnswerHead;
use crate::http2::reason::Reason;

/// Why a stream was over before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// The other side says that it has not looked at the request (RFC 9113 section 8.7).
    pub(crate) is_unprocessed: bool,
    /// What arrived broke a rule, so that we ended it.
    pub(crate) is_malformed: bool,
}

impl Failure {
    /// That of a stream that is not there, which is one that is over.
    pub(super) const OVER: Self = Self::of(Reason::STREAM_CLOSED);

    /// One of which no more is known than its reason.
    pub(crate) const fn of(reason: Reason) -> Self {
        Self {
            reason,
            is_unprocessed: false,
            is_malformed: false,
        }
    }
}

/// A stream, from its first head until both sides have ended it and nobody here holds it.
#[derive(Debug)]
pub(super) struct Stream {
    /// Heads of answers that nobody has taken yet.
    pub(super) heads: VecDeque<AnswerHead>,
    /// A head that is not informational has arrived.
    pub(super) has_head: bool,
    /// Content that nobody has taken yet.
    pub(super) content: Vec<u8>,
    pub(super) trailers: Option<FieldSection>,
    /// The other side has ended it.
    pub(super) is_received: bool,
    /// Content is dropped as it arrives: nobody wants it.
    pub(super) is_ignored: bool,
    /// How much content has to follow, where the head said so.
    pub(super) length: Option<u64>,
    /// An answer that tells the length of content that it does not have.
    pub(super) is_bodiless: bool,
    /// What the other side may send.
    pub(super) receive_window: i64,
    /// What has been passed on, and is not in the window again yet.
    pub(super) unclaimed: u32,
    /// What of the connection's window has arrived on this stream and was not passed on yet.
    pub(super) owed: u32,
    /// What we may send.
    pub(super) send_window: i64,
    /// We have ended it.
    pub(super) is_sent: bool,
    pub(super) failure: Option<Failure>,
    /// It was we who reset it.
    pub(super) is_reset_by_us: bool,
    /// Somebody here holds it.
    pub(super) is_held: bool,
    /// It counts among those that are open.
    pub(super) is_counted: bool,
    /// It is in the queue of those that wait to send.
    pub(super) is_waiting: bool,
    pub(super) wakers: Wakers,
}

/// Who waits for something to happen on a stream.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    /// For a head, content or trailers.
    pub(super) receiving: Option<Waker>,
    /// For room to send.
    pub(super) sending: Option<Waker>,
    /// For the stream's end.
    pub(super) ending: Option<Waker>,
}

/// Has the task of `context` woken by `slot`.
pub(super) fn register(slot: &mut Option<Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        None => *slot = Some(context.waker().clone()),
    }
}

/// Wakes whoever waits there.
pub(super) fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}

impl Stream {
    /// A stream of which nothing has arrived and nothing was sent.
    pub(super) fn new(receive_window: u32, send_window: u32) -> Self {
        Self {
            heads: VecDeque::new(),
            has_head: false,
            content: Vec::new(),
            trailers: None,
            is_received: false,
            is_ignored: false,
            length: None,
            is_bodiless: false,
            receive_window: i64::from(receive_window),
            unclaimed: 0,
            owed: 0,
            send_window: i64::from(send_window),
            is_sent: false,
            failure: None,
            is_reset_by_us: false,
            is_held: true,
            is_counted: true,
            is_waiting: false,
            wakers: Wakers::default(),
        }
    }

    /// Whether both sides are done with it.
    pub(super) fn is_over(&self) -> bool {
        self.failure.is_some() || (self.is_received && self.is_sent)
    }

    /// Wakes everybody.
    pub(super) fn wake_all(&mut self) {
        wake(&mut self.wakers.receiving);
        wake(&mut self.wakers.sending);
        wake(&mut self.wakers.ending);
    }
}

/// How a stream ended that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By both sides.
    Orderly,
    /// The other side may not know yet.
    ResetByUs,
    ResetByPeer,
}

/// The last streams that ended, as many as may be on their way.
#[derive(Debug, Default)]
pub(super) struct Memory(VecDeque<(u32, Ended)>);

impl Memory {
    const MOST: usize = 256;

    pub(super) fn remember(&mut self, id: u32, how: Ended) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((id, how));
    }

    pub(super) fn recall(&self, id: u32) -> Option<Ended> {
        let mut all = self.0.iter().rev();
        all.find(|(other, _)| *other == id).map(|(_, how)| *how)
    }
}
