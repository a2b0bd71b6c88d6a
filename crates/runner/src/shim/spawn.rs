//! Starts the program: everything between the fork and the program's first instruction.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::process::{Pid, Signal};

use crate::processes::MARK_VARIABLE;
use crate::program::{LaunchError, Program, explain_exec_error, failed};
use crate::shim::signals;

/// A program that runs, and the ends of the pipes that it writes to, which do not block.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// What a new process fails at, if it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Prepare = 1,
    Folder = 2,
    Execute = 3,
}

/// Starts `program` and returns once its own code runs.
pub(super) fn spawn(program: &Program) -> Result<Child, LaunchError> {
    let image = Image::of(program).map_err(|error| failed("it cannot be passed on", &error))?;
    let pipes = || -> io::Result<_> {
        let null = OpenOptions::new().read(true).open("/dev/null")?;
        Ok((null, io::pipe()?, io::pipe()?, io::pipe()?))
    };
    let (null, stdout, stderr, mut failure) =
        pipes().map_err(|error| failed("its pipes cannot be made", &error))?;
    let shim = rustix::process::getpid();
    // SAFETY: the shim has one thread, so the child may do everything that the shim could.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(failed("no process for it", &io::Error::last_os_error())),
        0 => {
            let streams = [null.as_fd(), stdout.1.as_fd(), stderr.1.as_fd()];
            let (step, error) = become_program(shim, streams, &image);
            let code = error.raw_os_error().unwrap_or(0).to_ne_bytes();
            // Nobody is left to tell where this fails: the shim is gone.
            let _ = failure
                .1
                .write_all(&[step as u8, code[0], code[1], code[2], code[3]]);
            // SAFETY: ends the process and returns to nothing.
            unsafe { libc::_exit(127) }
        }
        pid => pid.cast_unsigned(),
    };
    drop((null, stdout.1, stderr.1, failure.1));
    if let Some(error) = read_failure(&mut failure.0, program) {
        super::children::reap_failed(pid);
        return Err(error);
    }
    let (stdout, stderr) = (OwnedFd::from(stdout.0), OwnedFd::from(stderr.0));
    for pipe in [&stdout, &stderr] {
        rustix::io::ioctl_fionbio(pipe, true)
            .map_err(|error| failed("its pipes cannot be read", &error.into()))?;
    }
    Ok(Child {
        pid,
        stdout,
        stderr,
    })
}

/// Reads what the new process failed at. The pipe ends without a word when the program runs.
fn read_failure(failure: &mut impl Read, program: &Program) -> Option<LaunchError> {
    let mut told = [0; 5];
    failure.read_exact(&mut told).ok()?;
    let error =
        io::Error::from_raw_os_error(i32::from_ne_bytes([told[1], told[2], told[3], told[4]]));
    Some(if told[0] == Step::Execute as u8 {
        explain_exec_error(&program.path, &error)
    } else if told[0] == Step::Folder as u8 {
        failed(
            &format!("the working directory {}", program.folder.display()),
            &error,
        )
    } else {
        failed("its process cannot be prepared", &error)
    })
}

/// Turns this process into the program. Returns only when that fails.
fn become_program(
    shim: Pid,
    [stdin, stdout, stderr]: [std::os::fd::BorrowedFd<'_>; 3],
    image: &Image,
) -> (Step, io::Error) {
    let prepare = || -> io::Result<()> {
        rustix::process::setsid()?;
        // The signal comes when the thread that forked ends. The shim has only one, so: when the
        // shim ends. It may have ended before this call.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(shim) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        rustix::stdio::dup2_stderr(stderr)?;
        signals::reset_for_program()
    };
    if let Err(error) = prepare() {
        return (Step::Prepare, error);
    }
    if let Err(error) = rustix::process::chdir(&image.folder) {
        return (Step::Folder, error.into());
    }
    // All other descriptors of the shim are closed by exec.
    (Step::Execute, image.execute())
}

/// A program in the form that the kernel takes it in, made before the fork.
struct Image {
    path: CString,
    folder: CString,
    words: Vec<CString>,
    environment: Vec<CString>,
}

impl Image {
    fn of(program: &Program) -> io::Result<Self> {
        let path = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes());
        let mut environment = Vec::with_capacity(program.environment.len());
        // The mark goes last: a program that overwrites its environment to show its state there
        // begins at the other end.
        let (marks, others): (Vec<_>, Vec<_>) = program
            .environment
            .iter()
            .partition(|(name, _)| *name == MARK_VARIABLE);
        for (name, value) in others.into_iter().chain(marks) {
            environment.push(CString::new(format!("{name}={value}"))?);
        }
        Ok(Self {
            path: path(&program.path)?,
            folder: path(&program.folder)?,
            words: program
                .words
                .iter()
                .map(|word| CString::new(word.as_str()))
                .collect::<Result<_, _>>()?,
            environment,
        })
    }

    fn execute(&self) -> io::Error {
        let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
            texts
                .iter()
                .map(|text| text.as_ptr())
                .chain([std::ptr::null()])
                .collect()
        };
        let (words, environment) = (pointers(&self.words), pointers(&self.environment));
        // SAFETY: both lists end with a null pointer, and what they point to lives in `self`.
        unsafe { libc::execve(self.path.as_ptr(), words.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }
}
