//! What a client costs us with frames, counted as they arrive.
//!
//! Each kind of frame that makes work without carrying a request has a budget. It is earned by
//! what justifies such frames, so that no honest peer runs out of it: a window update needs bytes
//! that we sent, a ping or new settings need requests or content in either direction, and of the
//! requests that a peer makes at most half may be cancelled unanswered in the long run. Time earns
//! a little too, for connections that are only kept alive. (RFC 9113 section 10.5; the attacks
//! are CVE-2019-9512 to 9518, CVE-2023-44487 and CVE-2024-27316.)

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::frame::{FrameHeader, flag, kind};
use super::reason::Reason;
use crate::limits::{
    FRAMES_CONTROL, FRAMES_PER_SECOND, FRAMES_RESET, FRAMES_WINDOW, FRAMES_WINDOW_PER_SECOND,
};

/// A budget of frames.
#[derive(Debug)]
struct Budget {
    left: Cell<u32>,
    most: u32,
    /// What time earns.
    per_second: u32,
    /// Until when time has earned what it does.
    paid_until: Cell<Instant>,
}

impl Budget {
    fn new(most: u32, per_second: u32) -> Self {
        Self {
            left: Cell::new(most),
            most,
            per_second,
            paid_until: Cell::new(Instant::now()),
        }
    }

    fn earn(&self, frames: u32) {
        self.left
            .set(self.left.get().saturating_add(frames).min(self.most));
    }

    /// Earns what has become due since it last did.
    fn pass_time(&self) {
        let each = Duration::from_secs(1) / self.per_second;
        let due = self.paid_until.get().elapsed().as_nanos() / each.as_nanos();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.paid_until.set(self.paid_until.get() + each * due);
            self.earn(due);
        }
    }

    /// Takes one; whether there was one.
    fn spend(&self) -> bool {
        self.pass_time();
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// The accounts of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    window: Budget,
    control: Budget,
    reset: Budget,
    /// Bytes that were sent and have not earned a window update yet.
    sent: Cell<usize>,
    /// The same for other frames: peers measure with pings how fast content arrives.
    sent_control: Cell<usize>,
    /// Requests are counted in pairs: two allow one to be cancelled.
    odd: Cell<bool>,
    /// Bytes of content that arrived, or are about to, in all.
    content: Cell<u64>,
    excess: Cell<Option<Excess>>,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Excess {
    /// What its peer does.
    pub(crate) what: &'static str,
    /// What it is told.
    pub(crate) reason: Reason,
}

impl Guard {
    /// The accounts of a connection of which no frame has arrived.
    pub(crate) fn new() -> Self {
        Self {
            window: Budget::new(FRAMES_WINDOW, FRAMES_WINDOW_PER_SECOND),
            control: Budget::new(FRAMES_CONTROL, FRAMES_PER_SECOND),
            reset: Budget::new(FRAMES_RESET, FRAMES_PER_SECOND),
            sent: Cell::new(0),
            sent_control: Cell::new(0),
            odd: Cell::new(false),
            content: Cell::new(0),
            excess: Cell::new(None),
        }
    }

    /// What the peer has overdone, if anything.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    fn exceeded(&self, what: &'static str, reason: Reason) {
        let first = self.excess.get().unwrap_or(Excess { what, reason });
        self.excess.set(Some(first));
    }

    /// How many bytes of content have arrived in all.
    pub(crate) fn content(&self) -> u64 {
        self.content.get()
    }

    /// Notes that so many bytes were sent to the peer.
    pub(crate) fn sent(&self, count: usize) {
        // A peer that lags behind may update the windows of stream and connection for every piece
        // that it has read, and so twice for a short message with its frame.
        const BYTES_PER_UPDATE: usize = 16;
        // What answers a ping or settings has less than a third of this, and pays for no other.
        const BYTES_PER_CONTROL: usize = 64;
        let earn = |budget: &Budget, sent: &Cell<usize>, bytes_each: usize| {
            let all = sent.get() + count;
            budget.earn(u32::try_from(all / bytes_each).unwrap_or(u32::MAX));
            sent.set(all % bytes_each);
        };
        earn(&self.window, &self.sent, BYTES_PER_UPDATE);
        earn(&self.control, &self.sent_control, BYTES_PER_CONTROL);
    }

    /// Notes that a request's answer has begun. To cancel the rest of it is how some answers end,
    /// such as those of events without end.
    pub(crate) fn answered(&self) {
        self.reset.earn(1);
    }

    /// Counts a stream that we had to reset, where that was its client's doing (CVE-2025-8671).
    pub(super) fn reset(&self, reason: Reason) {
        let is_ours = [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR].contains(&reason);
        if !is_ours && !self.reset.spend() {
            let what = "most of what it asks for has to be reset";
            self.exceeded(what, Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Counts a frame that has arrived, other than the first.
    pub(super) fn frame(&self, header: &FrameHeader) {
        let (budget, what) = match header.kind {
            kind::DATA if header.length > 0 || header.has(flag::END_STREAM) => {
                self.content.set(self.content.get() + header.length as u64);
                return self.control.earn(1);
            }
            kind::HEADERS => {
                self.control.earn(1);
                // Some open the window of each stream as they open it.
                self.window.earn(2);
                if self.odd.replace(!self.odd.get()) {
                    self.reset.earn(1);
                }
                return;
            }
            kind::RST_STREAM => (&self.reset, "it cancels most of what it asks for"),
            kind::WINDOW_UPDATE => (&self.window, "it updates windows for nothing"),
            kind::CONTINUATION => (&self.control, "it sends headers in too many pieces"),
            // Content of no bytes, PRIORITY, SETTINGS, PING, GOAWAY and what is not known.
            _ => (
                &self.control,
                "it sends too many frames that ask for nothing",
            ),
        };
        if !budget.spend() {
            self.exceeded(what, Reason::ENHANCE_YOUR_CALM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> FrameHeader {
        FrameHeader {
            length,
            kind,
            flags: 0,
            stream: 1,
        }
    }

    fn after(frames: impl IntoIterator<Item = FrameHeader>) -> Guard {
        let guard = Guard::new();
        frames.into_iter().for_each(|header| guard.frame(&header));
        guard
    }

    #[test]
    fn frames_that_ask_for_nothing_are_bounded_and_earned_by_content() {
        let ping = || frame(kind::PING, 8);
        let most = FRAMES_CONTROL as usize;
        assert_eq!(after((0..most).map(|_| ping())).excess(), None);
        assert!(after((0..=most).map(|_| ping())).excess().is_some());
        let earned = (0..10 * most).flat_map(|_| [frame(kind::DATA, 7), ping()]);
        assert_eq!(after(earned).excess(), None);
    }

    #[test]
    fn pings_are_earned_by_what_is_sent_and_by_time_but_not_by_their_answers() {
        let ping = || frame(kind::PING, 8);
        let guard = after([]);
        for _ in 0..10 * FRAMES_CONTROL {
            guard.sent(100);
            guard.frame(&ping());
        }
        assert_eq!(guard.excess(), None);
        let guard = after([]);
        for _ in 0..2 * FRAMES_CONTROL {
            guard.frame(&ping());
            guard.sent(17);
        }
        assert!(guard.excess().is_some());
        let guard = after((0..FRAMES_CONTROL).map(|_| ping()));
        let earlier = guard.control.paid_until.get() - Duration::from_secs(2);
        guard.control.paid_until.set(earlier);
        (0..2 * FRAMES_PER_SECOND).for_each(|_| guard.frame(&ping()));
        assert_eq!(guard.excess(), None);
    }

    #[test]
    fn at_most_half_of_the_requests_may_be_cancelled() {
        let request = || frame(kind::HEADERS, 4);
        let cancel = || frame(kind::RST_STREAM, 4);
        let half = (0..10_000).flat_map(|_| [request(), request(), cancel()]);
        assert_eq!(after(half).excess(), None);
        let all = (0..2 * FRAMES_RESET).flat_map(|_| [request(), cancel()]);
        assert_eq!(after(all).excess(), None);
        let all = (0..10 * FRAMES_RESET).flat_map(|_| [request(), cancel()]);
        assert!(after(all).excess().is_some());
        let guard = after([]);
        for _ in 0..10 * FRAMES_RESET {
            guard.frame(&request());
            guard.answered();
            guard.frame(&cancel());
        }
        assert_eq!(guard.excess(), None);
    }

    #[test]
    fn windows_are_updated_for_what_was_sent() {
        let update = || frame(kind::WINDOW_UPDATE, 4);
        let guard = after((0..FRAMES_WINDOW).map(|_| update()));
        assert_eq!(guard.excess(), None);
        for _ in 0..10 * FRAMES_WINDOW {
            guard.sent(100);
            (0..2).for_each(|_| guard.frame(&update()));
        }
        assert_eq!(guard.excess(), None);
        let guard = after((0..10 * FRAMES_WINDOW).map(|_| update()));
        assert!(guard.excess().is_some());
    }

    #[test]
    fn content_of_no_bytes_asks_for_nothing() {
        let empty = || frame(kind::DATA, 0);
        let most = FRAMES_CONTROL as usize;
        assert!(after((0..=most).map(|_| empty())).excess().is_some());
        let last = |_| FrameHeader {
            flags: flag::END_STREAM,
            ..empty()
        };
        assert_eq!(after((0..10 * most).map(last)).excess(), None);
    }
}
