//! The shim's life: wait, read, reap, stop, until nothing is left below it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use model::{Exit, ExitCause};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Signal, WaitStatus};

use crate::folder::{LaunchRecord, Restart, UnitFolder};
use crate::logs::{LogWriter, Stream};
use crate::machine::now;
use crate::program::LaunchError;
use crate::shim::children::{self, LONGEST_DEATH, NEXT_PASS};
use crate::shim::oom::OutOfMemory;
use crate::shim::restart::Delays;
use crate::shim::signals::Signals;
use crate::shim::{spawn, start_recorded};

/// How much is read at once from a program's output.
const CHUNK: usize = 8 * 1024;
/// How much is read after everything below the shim has ended. A pipe holds 64 KiB unless it was
/// made larger, to 1 MiB at most without privilege; whoever still writes got the pipe handed over
/// and does not belong to the program.
const MOST_AFTER_END: usize = 2 * 1024 * 1024;

/// A program that runs, and all that is needed to see it through.
pub(super) struct Supervisor<'a> {
    folder: &'a UnitFolder,
    launch: &'a LaunchRecord,
    signals: Signals,
    log: LogWriter,
    program: Program,
    delays: Delays,
    /// Once the program has been asked to end: when everything left is killed.
    kill_at: Option<Instant>,
}

/// One run of the program.
#[derive(Debug)]
struct Program {
    pid: u32,
    since: Instant,
    pipes: Vec<(Stream, OwnedFd)>,
    out_of_memory: OutOfMemory,
}

impl From<spawn::Child> for Program {
    fn from(child: spawn::Child) -> Self {
        Self {
            pid: child.pid,
            since: Instant::now(),
            pipes: vec![
                (Stream::Stdout, child.stdout),
                (Stream::Stderr, child.stderr),
            ],
            out_of_memory: OutOfMemory::watch(child.pid),
        }
    }
}

impl<'a> Supervisor<'a> {
    /// Starts the program.
    pub(super) fn start(
        folder: &'a UnitFolder,
        launch: &'a LaunchRecord,
        signals: Signals,
        log: LogWriter,
    ) -> Result<Self, LaunchError> {
        let program = start_recorded(folder, launch)?.into();
        let (delays, kill_at) = (Delays::default(), None);
        Ok(Self {
            folder,
            launch,
            signals,
            log,
            program,
            delays,
            kill_at,
        })
    }

    /// Sees the program through to its end, or to the end of its last run.
    pub(super) fn supervise(mut self) -> Exit {
        loop {
            let cause = self.watch();
            let done = self.launch.restart == Restart::Never || self.kill_at.is_some();
            if done || !self.start_again(&cause) {
                self.log.finish();
                return Exit {
                    cause,
                    at: now(),
                    last_lines: self.log.last_lines(),
                };
            }
        }
    }

    /// Watches one run until nothing is left of it, and says how the program itself ended.
    fn watch(&mut self) -> ExitCause {
        let mut ended = None;
        let mut killing: Option<Instant> = None;
        loop {
            self.wait(match killing {
                Some(_) => Some(NEXT_PASS),
                None => self
                    .kill_at
                    .map(|at| at.saturating_duration_since(Instant::now())),
            });
            let asked = self.signals.take();
            if asked.stop && self.kill_at.is_none() {
                self.begin_stop(ended.is_some());
            }
            if asked.kill {
                self.kill_at = Some(Instant::now());
            }
            self.read_output();
            let reaped = children::reap(self.program.pid);
            if let Some(status) = reaped.program {
                ended = Some(self.cause_of(status, killing.is_some()));
                if self.kill_at.is_some() && killing.is_none() {
                    // A wrapper has gone, and what it wrapped may still be finishing its work.
                    self.note_error(children::signal_children(Signal::TERM));
                }
            }
            if reaped.none_left {
                break;
            }
            let by_itself = ended.is_some() && self.kill_at.is_none();
            if by_itself || self.kill_at.is_some_and(|at| at <= Instant::now()) {
                let since = *killing.get_or_insert_with(Instant::now);
                if since.elapsed() > LONGEST_DEATH {
                    self.note_survivors();
                    break;
                }
                self.kill_all(ended.is_some());
            }
        }
        self.read_rest();
        ended.unwrap_or(ExitCause::Signal(libc::SIGKILL))
    }

    fn begin_stop(&mut self, ended: bool) {
        let limit = self.launch.stop_limit;
        // No limit that can be written down lies beyond what a clock can tell, other than by error.
        let far = Duration::from_secs(365 * 24 * 3600);
        self.kill_at = Some(Instant::now() + limit.min(far));
        if !ended {
            children::signal_group(self.program.pid, Signal::TERM);
            // A stopped process hears of it only when it goes on.
            children::signal_group(self.program.pid, Signal::CONT);
        }
    }

    fn kill_all(&mut self, ended: bool) {
        if !ended {
            children::signal_group(self.program.pid, Signal::KILL);
        }
        self.note_error(children::signal_children(Signal::KILL));
    }

    fn cause_of(&self, status: WaitStatus, killed_by_shim: bool) -> ExitCause {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ExitCause::Code(code),
            (None, Some(libc::SIGKILL)) if !killed_by_shim => {
                match self.program.out_of_memory.explains_the_kill() {
                    true => ExitCause::OutOfMemory,
                    false => ExitCause::Signal(libc::SIGKILL),
                }
            }
            (None, signal) => ExitCause::Signal(signal.unwrap_or(0)),
        }
    }

    /// Waits for a signal, for output, or for `limit`.
    fn wait(&self, limit: Option<Duration>) {
        let mut waited = Vec::with_capacity(3);
        waited.push(PollFd::new(&self.signals, PollFlags::IN));
        for (_, pipe) in &self.program.pipes {
            waited.push(PollFd::new(pipe, PollFlags::IN));
        }
        poll(&mut waited, limit);
    }

    /// Reads once from each pipe; more would keep signals waiting for a program that writes
    /// without end.
    fn read_output(&mut self) -> usize {
        let mut read = 0;
        let mut chunk = [0; CHUNK];
        let log = &mut self.log;
        self.program.pipes.retain(|(stream, pipe)| {
            match rustix::io::read(pipe.as_fd(), &mut chunk) {
                Ok(0) => false,
                Ok(length) => {
                    read += length;
                    log.write(*stream, &chunk[..length]);
                    true
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => true,
                Err(_) => false,
            }
        });
        read
    }

    /// Reads what is left in the pipes when all who wrote to them are gone.
    fn read_rest(&mut self) {
        let mut total = 0;
        while total < MOST_AFTER_END {
            match self.read_output() {
                0 => break,
                read => total += read,
            }
        }
        self.program.pipes.clear();
    }

    /// Starts the program again after a delay; `false` if a stop was asked for meanwhile.
    fn start_again(&mut self, cause: &ExitCause) -> bool {
        let mut delay = self.delays.next(self.program.since.elapsed());
        self.log.finish();
        self.note(&format!("{cause}; starts again in {delay:?}"));
        loop {
            if self.pause(delay) {
                return false;
            }
            match start_recorded(self.folder, self.launch) {
                Ok(child) => {
                    self.program = child.into();
                    return true;
                }
                // Even what is permanent may pass while nobody else can act: a program that is
                // being replaced by its next version is missing for a moment.
                Err(error) => {
                    delay = self.delays.next(Duration::ZERO);
                    self.note(&format!(
                        "could not be started: {error}; next try in {delay:?}"
                    ));
                }
            }
        }
    }

    /// Waits for `delay` with nothing running, or for a signal to stop, and says which it was.
    fn pause(&mut self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        loop {
            let asked = self.signals.take();
            if asked.stop || asked.kill {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            poll(&mut [PollFd::new(&self.signals, PollFlags::IN)], Some(left));
        }
    }

    fn note_survivors(&mut self) {
        let left = children::direct_children().unwrap_or_default();
        self.note(&format!(
            "processes {left:?} are not gone {LONGEST_DEATH:?} after SIGKILL"
        ));
    }

    fn note_error(&mut self, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.note(&format!("what it started cannot be found: {error}"));
        }
    }

    /// Says something about the program in its log.
    fn note(&mut self, text: &str) {
        self.log
            .write(Stream::Stderr, format!("roadbed: {text}\n").as_bytes());
    }
}

fn poll(waited: &mut [PollFd<'_>], limit: Option<Duration>) {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    // Interrupted or not, whoever waited looks at everything again.
    let _ = rustix::event::poll(waited, limit.as_ref());
}
