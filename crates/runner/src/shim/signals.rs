//! Signals as something to wait for and read, instead of something that interrupts.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What the signals that came since the last look ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) stop: bool,
    pub(super) kill: bool,
}

/// The shim's signals. While this lives, nothing but SIGKILL ends the shim from outside.
#[derive(Debug)]
pub(super) struct Signals {
    handle: OwnedFd,
}

impl Signals {
    /// Blocks every signal, other than those by which the kernel reports a fault of the shim's own.
    pub(super) fn block() -> io::Result<Self> {
        // SAFETY: all calls work on a set that the first one initializes, or report an error.
        unsafe {
            let mut set = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigfillset(set.as_mut_ptr());
            for fault in [
                libc::SIGSEGV,
                libc::SIGBUS,
                libc::SIGFPE,
                libc::SIGILL,
                libc::SIGABRT,
            ] {
                libc::sigdelset(set.as_mut_ptr(), fault);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::sigemptyset(set.as_mut_ptr());
            for read in [libc::SIGCHLD, libc::SIGTERM, libc::SIGUSR1] {
                libc::sigaddset(set.as_mut_ptr(), read);
            }
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let handle = libc::signalfd(-1, set.as_ptr(), flags);
            if handle < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self {
                handle: OwnedFd::from_raw_fd(handle),
            })
        }
    }

    /// Takes all signals that are there.
    pub(super) fn take(&self) -> Asked {
        let mut asked = Asked::default();
        while let Some(signal) = self.take_one() {
            asked.stop |= signal == libc::SIGTERM;
            asked.kill |= signal == libc::SIGUSR1;
        }
        asked
    }

    fn take_one(&self) -> Option<i32> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes, into memory of that size; what it wrote
        // is only looked at when it wrote all of it.
        unsafe {
            let read = libc::read(self.handle.as_raw_fd(), info.as_mut_ptr().cast(), size);
            (read == size.cast_signed()).then(|| info.assume_init().ssi_signo.cast_signed())
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Gives a new process what a program expects to begin with: no signal blocked or ignored.
/// Otherwise a server started under `nohup`, say, would hand that on to every instance.
pub(super) fn reset_for_program() -> io::Result<()> {
    // The kernel is asked directly: the C library refuses to touch the two signals that it keeps for
    // itself, and leaves them ignored in what it spawns.
    let default = [0u64; 4];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads a `struct sigaction`, of which this is one with no handler, no
        // flags and an empty mask of 8 bytes, and writes nothing. SIGKILL and SIGSTOP refuse, and
        // have their defaults anyway.
        unsafe {
            let nowhere = std::ptr::null_mut::<u64>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                nowhere,
                8usize,
            )
        };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialized before it is used.
    let set = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
