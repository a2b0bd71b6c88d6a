//! Waiting for the signals that end a program, on a thread of its own instead of in a handler.

use std::io;
use std::mem::MaybeUninit;

/// SIGTERM and SIGINT, held back until they are waited for.
pub(crate) struct Signals(libc::sigset_t);

/// Holds SIGTERM and SIGINT back from this thread and every thread that it starts.
pub(crate) fn block() -> io::Result<Signals> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set that the other calls are given, the signals exist,
    // and a null pointer for the old mask is allowed.
    let (set, error) = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set: libc::sigset_t = set.assume_init();
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        (
            set,
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()),
        )
    };
    if error == 0 {
        Ok(Signals(set))
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

impl Signals {
    /// Waits until one of them arrives and returns its number.
    pub(crate) fn wait(&self) -> i32 {
        let mut signal = 0;
        // SAFETY: both pointers are valid for the call. It fails only for a set with signals that
        // do not exist, and this one has two that do.
        unsafe { libc::sigwait(&self.0, &mut signal) };
        signal
    }
}
