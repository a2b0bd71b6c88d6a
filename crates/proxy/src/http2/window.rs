//! How much a peer may send ahead: as much as is on its way at a time, and no more. A window that
//! is smaller leaves the line idle; one that is larger only fills our memory.
//!
//! What is on its way is the bandwidth times the delay. It is found as gRPC and others find it: a
//! ping leaves when content arrives, and what has arrived by its answer is one sample. A window
//! grows when a sample nearly fills it, and never shrinks.

use tokio::time::Instant;

use crate::limits::{HTTP2_LARGEST_WINDOW, HTTP2_STREAM_WINDOW};

/// The window of one connection's streams.
#[derive(Debug)]
pub(crate) struct Window {
    size: u32,
    /// The most bytes a second that any sample had.
    rate: f64,
    /// What had arrived when the ping left that is on its way, and when that was.
    asked: Option<(u64, Instant)>,
    /// What had arrived by the last answer.
    seen: u64,
}

impl Window {
    /// The window that a connection begins with.
    pub(crate) fn new() -> Self {
        Self {
            size: HTTP2_STREAM_WINDOW,
            rate: 0.0,
            asked: None,
            seen: 0,
        }
    }

    /// Whether the answer to a ping is waited for.
    pub(crate) fn is_measuring(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether a ping should leave `now`, when `arrived` bytes of content have arrived in all.
    pub(crate) fn asks(&mut self, arrived: u64, now: Instant) -> bool {
        // What is small against the window is not held up by it, and pings would cost more than
        // such messages do.
        let is_worth_it = arrived >= self.seen + u64::from(self.size / 8);
        if self.asked.is_some() || self.size == HTTP2_LARGEST_WINDOW || !is_worth_it {
            return false;
        }
        self.asked = Some((arrived, now));
        true
    }

    /// Takes the answer to a ping, which came `now`, by when `arrived` bytes have arrived in all;
    /// the size that the window has from now on, where that is more than before.
    pub(crate) fn answered(&mut self, arrived: u64, now: Instant) -> Option<u32> {
        self.seen = arrived;
        let (before, asked) = self.asked.take()?;
        let sample = arrived.saturating_sub(before);
        let delay = now.duration_since(asked);
        let rate = sample as f64 / delay.as_secs_f64().max(1e-6);
        // A sample that is no faster shows that something else than the window is the limit.
        if rate < self.rate {
            return None;
        }
        self.rate = rate;
        let fills = sample * 3 >= u64::from(self.size) * 2;
        let wanted = u32::try_from(sample * 2).unwrap_or(u32::MAX);
        let size = wanted.min(HTTP2_LARGEST_WINDOW);
        if !fills || size <= self.size {
            return None;
        }
        self.size = size;
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DELAY: Duration = Duration::from_millis(50);

    #[test]
    fn it_grows_while_samples_fill_it_and_stays_below_its_limit() {
        let (mut window, mut arrived) = (Window::new(), u64::from(HTTP2_STREAM_WINDOW));
        let (mut sizes, mut now) = (vec![HTTP2_STREAM_WINDOW], Instant::now());
        while window.asks(arrived, now) {
            (arrived, now) = (arrived + u64::from(window.size), now + DELAY);
            sizes.extend(window.answered(arrived, now));
            arrived += u64::from(window.size);
        }
        assert!(sizes.len() > 2 && sizes.is_sorted());
        assert_eq!(sizes.last(), Some(&HTTP2_LARGEST_WINDOW));
    }

    #[test]
    fn it_stays_as_it_is_where_it_is_not_the_limit() {
        let (mut window, now) = (Window::new(), Instant::now());
        let step = u64::from(HTTP2_STREAM_WINDOW / 8);
        for round in (1..100).step_by(2) {
            assert!(!window.asks(round * step - 1, now), "too little to ask");
            assert!(window.asks(round * step, now));
            assert!(!window.asks(round * step + 1, now), "one ping at a time");
            assert_eq!(window.answered((round + 1) * step, now + DELAY), None);
        }
        // Nor where a longer queue brings more bytes but not faster.
        let (mut window, full) = (Window::new(), u64::from(HTTP2_STREAM_WINDOW));
        assert!(window.asks(full, now));
        assert!(window.answered(2 * full, now + DELAY / 100).is_some());
        assert!(window.asks(3 * full, now));
        let arrived = 3 * full + u64::from(window.size);
        assert_eq!(window.answered(arrived, now + DELAY), None);
    }
}
