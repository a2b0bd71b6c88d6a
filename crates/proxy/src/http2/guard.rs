//! What a peer costs us with frames, counted beneath the library that answers them.
//!
//! Each kind of frame that makes work without carrying a request has a budget. It is earned by
//! what justifies such frames, so that no honest peer runs out of it: a window update needs bytes
//! that we sent, a ping or new settings need requests or content in either direction, and of the
//! requests that a peer makes at most half may be cancelled unanswered in the long run. Time earns
//! a little too, for connections that are only kept alive. (RFC 9113 section 10.5; the attacks
//! are CVE-2019-9512 to 9518, CVE-2023-44487 and CVE-2024-27316.)

use std::cell::Cell;
use std::time::{Duration, Instant};

use h2::Reason;

use crate::limits::{
    FRAMES_CONTROL, FRAMES_PER_SECOND, FRAMES_RESET, FRAMES_WINDOW, FRAMES_WINDOW_PER_SECOND,
};

/// The client's side of a connection begins with this (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

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

/// Where in a peer's bytes the next one is.
#[derive(Debug, Clone, Copy)]
enum Position {
    /// Within the preface, of which so many bytes are left.
    Preface(usize),
    /// Within a frame's header, of which so many bytes are there.
    Header([u8; 9], usize),
    /// Within a frame's payload, of which so many bytes are left.
    Payload(usize),
}

/// The accounts of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    position: Cell<Position>,
    window: Budget,
    control: Budget,
    reset: Budget,
    /// Bytes that were sent and have not earned a window update yet.
    sent: Cell<usize>,
    /// The same for other frames: peers measure with pings how fast content arrives.
    sent_control: Cell<usize>,
    /// Requests are counted in pairs: two allow one to be cancelled.
    odd: Cell<bool>,
    /// When the header block began that has not ended.
    block_since: Cell<Option<Instant>>,
    /// Bytes of content that arrived, or are about to, in all.
    content: Cell<u64>,
    /// No frame has arrived yet.
    is_new: Cell<bool>,
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
    /// The accounts of a connection whose peer begins with the preface.
    pub(crate) fn new() -> Self {
        Self {
            position: Cell::new(Position::Preface(PREFACE.len())),
            window: Budget::new(FRAMES_WINDOW, FRAMES_WINDOW_PER_SECOND),
            control: Budget::new(FRAMES_CONTROL, FRAMES_PER_SECOND),
            reset: Budget::new(FRAMES_RESET, FRAMES_PER_SECOND),
            sent: Cell::new(0),
            sent_control: Cell::new(0),
            odd: Cell::new(false),
            block_since: Cell::new(None),
            content: Cell::new(0),
            is_new: Cell::new(true),
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

    /// Whether the peer has been sending one header block for longer than `limit`.
    pub(crate) fn is_slow(&self, limit: Duration) -> bool {
        let since = self.block_since.get();
        since.is_some_and(|since| since.elapsed() > limit)
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

    /// Looks at bytes that arrived.
    pub(crate) fn received(&self, mut bytes: &[u8]) {
        let mut position = self.position.get();
        while !bytes.is_empty() {
            let used;
            (position, used) = match position {
                Position::Preface(left) => {
                    let used = left.min(bytes.len());
                    match left - used {
                        0 => (Position::Header([0; 9], 0), used),
                        left => (Position::Preface(left), used),
                    }
                }
                Position::Header(mut header, have) => {
                    let used = (9 - have).min(bytes.len());
                    header[have..have + used].copy_from_slice(&bytes[..used]);
                    match have + used {
                        9 => (Position::Payload(self.frame(header)), used),
                        have => (Position::Header(header, have), used),
                    }
                }
                Position::Payload(left) => {
                    let used = left.min(bytes.len());
                    match left - used {
                        0 => (Position::Header([0; 9], 0), used),
                        left => (Position::Payload(left), used),
                    }
                }
            };
            bytes = &bytes[used..];
        }
        // A payload of nothing needs no byte to end.
        if let Position::Payload(0) = position {
            position = Position::Header([0; 9], 0);
        }
        self.position.set(position);
    }

    /// Counts a frame; how long its payload is.
    fn frame(&self, header: [u8; 9]) -> usize {
        let length =
            usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
        let (kind, flags) = (header[3], header[4]);
        const END_HEADERS: u8 = 0x4;
        const SETTINGS: u8 = 0x4;
        if self.is_new.replace(false) {
            // RFC 9113 section 3.4. The one that has to be there costs nothing.
            if kind != SETTINGS {
                self.exceeded("its first frame is not SETTINGS", Reason::PROTOCOL_ERROR);
            }
            return length;
        }
        let (budget, what) = match kind {
            // DATA. What has no content is the library's to bound.
            0 => {
                self.content.set(self.content.get() + length as u64);
                if length > 0 {
                    self.control.earn(1);
                }
                return length;
            }
            // HEADERS
            1 => {
                self.control.earn(1);
                // Some open the window of each stream as they open it.
                self.window.earn(2);
                if self.odd.replace(!self.odd.get()) {
                    self.reset.earn(1);
                }
                if flags & END_HEADERS == 0 {
                    self.block_since.set(Some(Instant::now()));
                }
                return length;
            }
            3 => (&self.reset, "it cancels most of what it asks for"),
            8 => (&self.window, "it updates windows for nothing"),
            // CONTINUATION
            9 => {
                if flags & END_HEADERS != 0 {
                    self.block_since.set(None);
                }
                (&self.control, "it sends headers in too many pieces")
            }
            // PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY and what is not known.
            _ => (
                &self.control,
                "it sends too many frames that ask for nothing",
            ),
        };
        if !budget.spend() {
            self.exceeded(what, Reason::ENHANCE_YOUR_CALM);
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    fn after(frames: impl IntoIterator<Item = Vec<u8>>) -> Guard {
        let guard = Guard::new();
        guard.received(PREFACE);
        guard.received(&frame(4, 0, &[]));
        frames.into_iter().for_each(|bytes| guard.received(&bytes));
        guard
    }

    #[test]
    fn frames_that_ask_for_nothing_are_bounded_and_earned_by_content() {
        let ping = || frame(6, 0, &[0; 8]);
        let most = FRAMES_CONTROL as usize;
        assert_eq!(after((0..most).map(|_| ping())).excess(), None);
        assert!(after((0..=most).map(|_| ping())).excess().is_some());
        let earned = (0..10 * most).flat_map(|_| [frame(0, 0, b"content"), ping()]);
        assert_eq!(after(earned).excess(), None);
    }

    #[test]
    fn pings_are_earned_by_what_is_sent_and_by_time_but_not_by_their_answers() {
        let ping = || frame(6, 0, &[0; 8]);
        let guard = after([]);
        for _ in 0..10 * FRAMES_CONTROL {
            guard.sent(100);
            guard.received(&ping());
        }
        assert_eq!(guard.excess(), None);
        let guard = after([]);
        for _ in 0..2 * FRAMES_CONTROL {
            guard.received(&ping());
            guard.sent(17);
        }
        assert!(guard.excess().is_some());
        let guard = after((0..FRAMES_CONTROL).map(|_| ping()));
        let earlier = guard.control.paid_until.get() - Duration::from_secs(2);
        guard.control.paid_until.set(earlier);
        (0..2 * FRAMES_PER_SECOND).for_each(|_| guard.received(&ping()));
        assert_eq!(guard.excess(), None);
    }

    #[test]
    fn a_client_begins_with_its_settings() {
        let guard = Guard::new();
        guard.received(PREFACE);
        guard.received(&frame(1, 0x5, b"head"));
        let reason = guard.excess().map(|excess| excess.reason);
        assert_eq!(reason, Some(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn at_most_half_of_the_requests_may_be_cancelled() {
        let request = || frame(1, 0x4, b"head");
        let cancel = || frame(3, 0, &[0, 0, 0, 8]);
        let half = (0..10_000).flat_map(|_| [request(), request(), cancel()]);
        assert_eq!(after(half).excess(), None);
        let all = (0..2 * FRAMES_RESET).flat_map(|_| [request(), cancel()]);
        assert_eq!(after(all).excess(), None);
        let all = (0..10 * FRAMES_RESET).flat_map(|_| [request(), cancel()]);
        assert!(after(all).excess().is_some());
        let guard = after([]);
        for _ in 0..10 * FRAMES_RESET {
            guard.received(&request());
            guard.answered();
            guard.received(&cancel());
        }
        assert_eq!(guard.excess(), None);
    }

    #[test]
    fn windows_are_updated_for_what_was_sent() {
        let update = || frame(8, 0, &[0, 0, 0, 1]);
        let guard = after((0..FRAMES_WINDOW).map(|_| update()));
        assert_eq!(guard.excess(), None);
        for _ in 0..10 * FRAMES_WINDOW {
            guard.sent(100);
            (0..2).for_each(|_| guard.received(&update()));
        }
        assert_eq!(guard.excess(), None);
        let guard = after((0..10 * FRAMES_WINDOW).map(|_| update()));
        assert!(guard.excess().is_some());
    }

    #[test]
    fn a_header_block_is_slow_until_it_ends() {
        let guard = after([frame(1, 0, b"he")]);
        assert!(guard.is_slow(Duration::ZERO) && !guard.is_slow(Duration::from_secs(60)));
        guard.received(&frame(9, 0x4, b"ad"));
        assert!(!guard.is_slow(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn frames_are_counted_alike_however_they_are_split(
            frames in prop::collection::vec((0..12u8, any::<u8>(), 0..20usize), 0..40),
            mut cuts in prop::collection::vec(0..600usize, 0..20),
        ) {
            let mut bytes = PREFACE.to_vec();
            for (kind, flags, length) in frames {
                bytes.extend(frame(kind, flags, &vec![7; length]));
            }
            let (whole, pieces) = (Guard::new(), Guard::new());
            whole.received(&bytes);
            cuts.retain(|&cut| cut < bytes.len());
            cuts.sort_unstable();
            let mut from = 0;
            for to in cuts.into_iter().chain([bytes.len()]) {
                pieces.received(&bytes[from..to]);
                from = to;
            }
            let seen = |guard: &Guard| {
                let at = matches!(guard.position.get(), Position::Header(_, 0));
                (guard.window.left.get(), guard.control.left.get(), guard.reset.left.get(), at)
            };
            prop_assert_eq!(seen(&whole), seen(&pieces));
            prop_assert!(seen(&whole).3);
        }
    }
}
