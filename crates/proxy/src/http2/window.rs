//! How much a peer may send ahead: as much as is on its way at a time, and no more. A window that
//! is smaller leaves the line idle; one that is larger only fills our memory.
//!
//! What is on its way is the bandwidth times the delay. It is found as gRPC and others find it: a
//! ping leaves when content arrives, and what has arrived by its answer is one sample. A window
//! grows when a sample nearly fills it, and never shrinks.

use std::task::Context;
use std::time::{Duration, Instant};

use h2::{Ping, PingPong};

use crate::limits::{HTTP2_LARGEST_WINDOW, HTTP2_STREAM_WINDOW};

/// The window of one connection's streams.
#[derive(Debug)]
pub(crate) struct Window {
    size: u32,
    /// The most bytes a second that any sample had.
    rate: f64,
    /// What had arrived when the ping left that is on its way.
    asked_at: Option<u64>,
    /// What had arrived by the last answer.
    seen: u64,
}

impl Window {
    /// The window that a connection begins with.
    pub(crate) fn new() -> Self {
        Self {
            size: HTTP2_STREAM_WINDOW,
            rate: 0.0,
            asked_at: None,
            seen: 0,
        }
    }

    fn is_measuring(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Whether a ping should leave now, when `arrived` bytes of content have arrived in all.
    pub(crate) fn asks(&mut self, arrived: u64) -> bool {
        // What is small against the window is not held up by it, and pings would cost more than
        // such messages do.
        let is_worth_it = arrived >= self.seen + u64::from(self.size / 8);
        if self.asked_at.is_some() || self.size == HTTP2_LARGEST_WINDOW || !is_worth_it {
            return false;
        }
        self.asked_at = Some(arrived);
        true
    }

    /// Takes the answer to a ping, `delay` after it left, by which `arrived` bytes have arrived in
    /// all; the size that it should have, where that is more.
    pub(crate) fn answered(&mut self, arrived: u64, delay: Duration) -> Option<u32> {
        self.seen = arrived;
        let sample = arrived.saturating_sub(self.asked_at.take()?);
        let rate = sample as f64 / delay.as_secs_f64().max(1e-6);
        // A sample that is no faster shows that something else than the window is the limit.
        if rate < self.rate {
            return None;
        }
        self.rate = rate;
        let fills = sample * 3 >= u64::from(self.size) * 2;
        let wanted = u32::try_from(sample * 2).unwrap_or(u32::MAX);
        let size = wanted.min(HTTP2_LARGEST_WINDOW);
        (fills && size > self.size).then_some(size)
    }

    /// Notes that the peer was told of a new size.
    pub(crate) fn grown(&mut self, size: u32) {
        self.size = size;
    }
}

/// Measures a connection by pings.
#[derive(Debug)]
pub(crate) struct Prober {
    pings: PingPong,
    window: Window,
    asked: Instant,
}

impl Prober {
    /// Measures by `pings`.
    pub(crate) fn new(pings: PingPong) -> Self {
        Self {
            pings,
            window: Window::new(),
            asked: Instant::now(),
        }
    }

    /// Asks, or takes an answer, where it is time to; `arrived` is how much content has arrived in
    /// all, and `tell` tells the peer of a new size.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        arrived: u64,
        tell: impl FnOnce(u32) -> Result<(), h2::Error>,
    ) {
        if self.window.is_measuring() {
            // An error is the connection's end, which others tell of.
            if self.pings.poll_pong(cx).is_ready()
                && let Some(size) = self.window.answered(arrived, self.asked.elapsed())
                // It is not taken while the peer has not confirmed the last one.
                && tell(size).is_ok()
            {
                self.window.grown(size);
            }
        } else if self.window.asks(arrived) {
            self.asked = Instant::now();
            // Fails only with the connection.
            let _ = self.pings.send_ping(Ping::opaque());
            // Has this task woken by the answer.
            let _ = self.pings.poll_pong(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(50);

    #[test]
    fn it_grows_while_samples_fill_it_and_stays_below_its_limit() {
        let (mut window, mut arrived) = (Window::new(), u64::from(HTTP2_STREAM_WINDOW));
        let mut sizes = vec![HTTP2_STREAM_WINDOW];
        while window.asks(arrived) {
            arrived += u64::from(window.size);
            if let Some(size) = window.answered(arrived, DELAY) {
                window.grown(size);
                sizes.push(size);
            }
            arrived += u64::from(window.size);
        }
        assert!(sizes.len() > 2 && sizes.is_sorted());
        assert_eq!(sizes.last(), Some(&HTTP2_LARGEST_WINDOW));
    }

    #[test]
    fn it_stays_as_it_is_where_it_is_not_the_limit() {
        let mut window = Window::new();
        let step = u64::from(HTTP2_STREAM_WINDOW / 8);
        for round in (1..100).step_by(2) {
            assert!(!window.asks(round * step - 1), "too little to ask");
            assert!(window.asks(round * step));
            assert!(!window.asks(round * step + 1), "one ping at a time");
            assert_eq!(window.answered((round + 1) * step, DELAY), None);
        }
        // Nor where a longer queue brings more bytes but not faster.
        let (mut window, full) = (Window::new(), u64::from(HTTP2_STREAM_WINDOW));
        assert!(window.asks(full));
        let size = window.answered(2 * full, DELAY / 100);
        window.grown(size.unwrap());
        assert!(window.asks(3 * full));
        assert_eq!(
            window.answered(3 * full + u64::from(window.size), DELAY),
            None
        );
    }
}
