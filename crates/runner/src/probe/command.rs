//! A command as a probe: its exit code is the verdict.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use model::ExitCause;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;

use crate::machine;
use crate::probe::{ProbeFailure, Target};
use crate::program::{LaunchError, Program, explain_exec_error, failed};

pub(super) async fn run(command: &model::Command, target: &Target) -> Result<(), ProbeFailure> {
    let mut group = Group::spawn(command, target).map_err(ProbeFailure::NotStarted)?;
    let status = group
        .ended()
        .await
        .map_err(|error| ProbeFailure::NotStarted(failed("it cannot be waited for", &error)))?;
    let cause = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => ExitCause::Code(code),
        (None, signal) => ExitCause::Signal(signal.unwrap_or(0)),
    };
    Err(ProbeFailure::Command {
        command: command.clone(),
        cause,
    })
}

/// A process group of a command's own. When this is dropped, nothing of the group is left.
struct Group {
    /// Taken when it has been reaped, and with it the right to use its id.
    running: Option<Running>,
}

struct Running {
    child: Child,
    handle: AsyncFd<OwnedFd>,
}

impl Group {
    fn spawn(command: &model::Command, target: &Target) -> Result<Self, LaunchError> {
        let program = Program::resolve(command, &target.folder, &target.environment)?;
        let mut child = Command::new(&program.path)
            .arg0(&program.words[0])
            .args(&program.words[1..])
            .env_clear()
            .envs(&program.environment)
            .current_dir(&program.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| explain_exec_error(&program.path, &error))?;
        match hold(&child) {
            Ok(handle) => Ok(Self {
                running: Some(Running { child, handle }),
            }),
            Err(error) => {
                kill_group(&child);
                let reaped = child.wait();
                Err(failed(
                    "it cannot be waited for",
                    &reaped.err().unwrap_or(error),
                ))
            }
        }
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        if let Some(running) = &self.running {
            running.handle.readable().await?.retain_ready();
        }
        let mut running = self.running.take().expect("a group is waited for once");
        // It has ended and is not reaped, so the group's id is still its own.
        kill_group(&running.child);
        running.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        kill_group(&running.child);
        // It ends when the kernel gets to it, which nobody waits for here.
        tokio::spawn(async move {
            let ended = running
                .handle
                .readable()
                .await
                .map(|mut guard| guard.retain_ready());
            match ended.and_then(|()| running.child.wait()) {
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a health command cannot be waited for"),
            }
        });
    }
}

fn hold(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    let handle = rustix::process::pidfd_open(pid(child), PidfdFlags::empty())?;
    machine::awaitable(handle)
}

fn kill_group(child: &Child) {
    // An error means that nobody is left in it.
    let _ = rustix::process::kill_process_group(pid(child), Signal::KILL);
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
