//! The process between the server and a program: it outlives the server, owns the program's
//! output and exit status, and ends all that the program started.
//!
//! There is one for each unit, so it is kept small: one thread, no runtime, buffers of a few KiB.
//! It makes no choices beyond its launch record: what the server wants later, it says by signal
//! (SIGTERM: stop; SIGUSR1: end at once). What the shim has to say, it writes to its folder.

mod children;
mod oom;
mod restart;
mod signals;
mod spawn;
mod supervise;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{getpid, set_child_subreaper};

use crate::folder::{LaunchRecord, UnitFolder};
use crate::logs::{LogLimits, LogWriter};
use crate::machine::{Identity, boot_id};
use crate::program::{LaunchError, failed};
use signals::Signals;
use supervise::Supervisor;

/// Runs the shim of the start recorded in `folder`. To be called by the program given to
/// [`crate::Processes::new`], when its arguments are `shim FOLDER`, before it does anything else:
/// no thread may run yet.
pub fn main(folder: &Path) -> ExitCode {
    let ended = match detach() {
        Ok(Side::Parent) => return ExitCode::SUCCESS,
        Ok(Side::Shim) => run(&UnitFolder::at(folder.to_owned())),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The server put a file there.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

enum Side {
    Parent,
    Shim,
}

/// Forks, so that the shim is not a child of the server, and has a session of its own, so that no
/// terminal's signal reaches it.
fn detach() -> io::Result<Side> {
    // SAFETY: this process has one thread (it has just begun, see `main`), so the child may go on
    // with everything the parent could do.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            rustix::process::setsid()?;
            Ok(Side::Shim)
        }
        _ => Ok(Side::Parent),
    }
}

fn run(folder: &UnitFolder) -> io::Result<()> {
    close_inherited();
    let signals = Signals::block()?;
    // Keeps no file system from being unmounted.
    rustix::process::chdir("/")?;
    set_child_subreaper(Some(getpid()))?;
    let launch = folder
        .launch()?
        .ok_or_else(|| io::Error::other("launch.json cannot be read"))?;
    let started = match LogWriter::open(&launch.logs, LogLimits::default()) {
        Ok(log) => Supervisor::start(folder, &launch, signals, log),
        Err(error) => Err(failed(
            &format!("its log in {} cannot be kept", launch.logs.display()),
            &error,
        )),
    };
    let exit = match started {
        Ok(supervisor) => {
            report()?;
            supervisor.supervise()
        }
        Err(error) => error.into_exit(),
    };
    folder.write_exit(&exit)
    // The report and the lock are closed by the kernel, after the record is complete.
}

/// Closes what a careless ancestor let through beyond lock, report and own log.
fn close_inherited() {
    // SAFETY: nothing in this process has opened a descriptor yet that it could still use.
    // A kernel older than 5.9 refuses; everything Roadbed opens is closed by exec anyway.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Tells the server that there is a record: lets go of the pipe that it reads from.
fn report() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    Ok(())
}

/// The shim's own entry in a running record.
fn own_identity() -> io::Result<Identity> {
    let pid = std::process::id();
    Identity::of(pid)?.ok_or_else(|| io::Error::other("/proc does not show this process"))
}

/// Records which processes run now.
fn record_running(folder: &UnitFolder, child: u32) -> io::Result<()> {
    // The child is not reaped yet, so it has an entry even if it has ended already.
    let child = Identity::of(child)?.ok_or_else(|| io::Error::other("/proc shows no child"))?;
    let running = crate::folder::Running {
        boot: boot_id()?,
        shim: own_identity()?,
        child,
    };
    folder.write_running(&running)
}

/// Starts the program and records it.
fn start_recorded(folder: &UnitFolder, launch: &LaunchRecord) -> Result<spawn::Child, LaunchError> {
    let child = spawn::spawn(&launch.program)?;
    match record_running(folder, child.pid) {
        Ok(()) => Ok(child),
        Err(error) => {
            children::end_all();
            Err(failed("what runs cannot be recorded", &error))
        }
    }
}
