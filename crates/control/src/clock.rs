//! The server's clock: it tells the time of day, and never jumps.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Reads the wall clock once and then counts on by the monotonic one, so that setting the
/// machine's time neither ends nor extends any deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Timestamp,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            started_at: Timestamp(0).after(since_epoch),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.started_at.after(self.started.elapsed())
    }
}
