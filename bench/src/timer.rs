//! Waits of microseconds, by the kernel's timer; a runtime's own counts in milliseconds.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's.
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// A timer that is not set. Only within a runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(register(timer)?))
    }

    /// Waits for so long. One wait at a time: another one sets the timer anew.
    pub(crate) async fn wait(&self, time: Duration) {
        let none = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A time of 0 would stop the timer.
        let time = time.max(Duration::from_nanos(1));
        let setting = Itimerspec {
            it_interval: none,
            it_value: Timespec::try_from(time).expect("a wait of less than an age"),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &setting)
            .expect("the timer takes any time");
        loop {
            let mut ready = self.0.readable().await.expect("the runtime is there");
            let mut expirations = [0; 8];
            match read(&self.0, &mut expirations) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                _ => return,
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "what takes its place is unsafe, for descriptors that somebody else may close"
)]
fn register(timer: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_wait_is_never_shorter_than_asked_for() {
        let timer = Timer::new().unwrap();
        for micros in [0, 30, 2000, 1] {
            let (start, time) = (Instant::now(), Duration::from_micros(micros));
            timer.wait(time).await;
            assert!(start.elapsed() >= time, "{micros}");
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_does_not_end_the_next_one() {
        let timer = Timer::new().unwrap();
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = timer.wait(Duration::from_micros(10)) => {}
            () = std::future::ready(()) => {}
        }
        // It is up before the next one begins.
        while begun.elapsed() < Duration::from_micros(100) {
            std::hint::spin_loop();
        }
        let (start, time) = (Instant::now(), Duration::from_millis(5));
        timer.wait(time).await;
        assert!(start.elapsed() >= time);
    }
}
