//! The time that leases are judged by.

use std::time::{Duration, Instant};

/// Tells how much time has passed. It never goes back and knows nothing of wall time, so setting
/// the machine's clock neither ends a lease nor prolongs it.
pub trait Clock: Send + Sync + 'static {
    /// The time since some fixed moment of the clock's choosing.
    fn now(&self) -> Duration;
}

/// The operating system's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    start: Instant,
}

impl MonotonicClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
