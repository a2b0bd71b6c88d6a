//! From a command as declared to a file that can be executed, or the exact reason why not.
//!
//! `execve` alone would answer "No such file or directory" for a missing folder, a missing
//! program and a missing interpreter alike. Whoever reads the message has to know which.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use model::{Command, Exit, ExitCause};
use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use crate::expand::expand;
use crate::machine::now;

/// Why a program does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{error}")]
pub struct LaunchError {
    /// What failed, with the paths that were tried and the operating system's answer.
    pub error: String,
    /// Whether another attempt can end otherwise: a missing file stays missing, a full process
    /// table does not stay full.
    pub permanent: bool,
}

impl LaunchError {
    /// It will fail the same way until somebody changes something.
    pub(crate) fn permanent(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            permanent: true,
        }
    }

    /// It may work when tried again.
    pub(crate) fn passing(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            permanent: false,
        }
    }

    /// The same as the end of a process that never was.
    pub fn into_exit(self) -> Exit {
        let cause = ExitCause::NotStarted {
            error: self.error,
            permanent: self.permanent,
        };
        Exit {
            cause,
            at: now(),
            last_lines: Vec::new(),
        }
    }
}

/// A command that is ready to be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// The words, expanded; the first is the program as it was written.
    pub words: Vec<String>,
    /// The working directory.
    pub folder: PathBuf,
    /// The complete environment.
    pub environment: BTreeMap<String, String>,
}

impl Program {
    /// Expands `command` from `environment` and finds its file: below `folder` if it is written
    /// with a slash, else in the environment's own `PATH`.
    pub fn resolve(
        command: &Command,
        folder: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, LaunchError> {
        check_folder(folder)?;
        check_environment(environment)?;
        let words = expand(command.words(), environment)
            .map_err(|error| LaunchError::permanent(error.to_string()))?;
        if let Some(word) = words.iter().find(|word| word.contains('\0')) {
            return Err(LaunchError::permanent(format!(
                "the word {word:?} has a null byte"
            )));
        }
        let name = words[0].as_str();
        let path = match name {
            "" => {
                let written = &command.words()[0];
                let error = format!("the program {written:?} expands to an empty text");
                return Err(LaunchError::permanent(error));
            }
            _ if name.contains('/') => {
                let path = folder.join(name);
                check_executable(&path)?;
                path
            }
            _ => search(name, folder, environment)?,
        };
        Ok(Self {
            path,
            words,
            folder: folder.to_owned(),
            environment: environment.clone(),
        })
    }
}

fn check_folder(folder: &Path) -> Result<(), LaunchError> {
    let shown = folder.display();
    if !folder.is_absolute() {
        let error = format!("the working directory {shown} is not an absolute path");
        return Err(LaunchError::permanent(error));
    }
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(LaunchError::permanent(format!(
            "the working directory {shown} is not a folder"
        ))),
        Err(error) => Err(failed(
            &format!("the working directory {shown} cannot be used"),
            &error,
        )),
    }
}

fn check_environment(environment: &BTreeMap<String, String>) -> Result<(), LaunchError> {
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let error = format!(
                "the variable {name:?} cannot be set: a name is not empty and has no \"=\", and \
                 neither name nor value has a null byte"
            );
            return Err(LaunchError::permanent(error));
        }
    }
    Ok(())
}

/// Looks `name` up in the `PATH` of the environment that the program gets, as a shell does. Empty
/// entries, which a shell takes as the working directory, are left out: nobody means them.
fn search(
    name: &str,
    folder: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, LaunchError> {
    let path = environment
        .get("PATH")
        .map(String::as_str)
        .unwrap_or_default();
    let mut unusable = None;
    for entry in path.split(':').filter(|entry| !entry.is_empty()) {
        let candidate = folder.join(entry).join(name);
        match check_executable(&candidate) {
            Ok(()) => return Ok(candidate),
            // Keep looking, but remember: "not executable" says more than "not found".
            Err(error) if candidate.exists() => unusable = unusable.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(unusable.unwrap_or_else(|| {
        let beside = folder.join(name);
        let hint = match beside.is_file() {
            true => format!("; write \"./{name}\" to run {}", beside.display()),
            false => String::new(),
        };
        LaunchError::permanent(match environment.get("PATH") {
            None => format!("{name:?} cannot be looked up: PATH is not set{hint}"),
            Some(path) if path.is_empty() => {
                format!("{name:?} cannot be looked up: PATH is empty{hint}")
            }
            Some(path) => format!("{name:?} was not found in PATH, which is {path}{hint}"),
        })
    }))
}

fn check_executable(path: &Path) -> Result<(), LaunchError> {
    let shown = path.display();
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LaunchError::permanent(format!("{shown} does not exist")),
        _ => failed(&format!("{shown} cannot be read"), &error),
    })?;
    if !found.is_file() {
        return Err(LaunchError::permanent(format!("{shown} is not a file")));
    }
    rustix::fs::access(path, Access::EXEC_OK).map_err(|_| {
        LaunchError::permanent(format!(
            "{shown} is not executable; chmod +x it if it should be"
        ))
    })
}

/// What `error`, the answer to `execve` for a file that was found executable before, means.
pub(crate) fn explain_exec_error(path: &Path, error: &io::Error) -> LaunchError {
    let shown = path.display();
    match error.raw_os_error() {
        Some(libc::ENOEXEC) => LaunchError::permanent(format!(
            "{shown} is neither a program for this machine nor a script with a #! line"
        )),
        Some(libc::ENOENT) => match interpreter(path) {
            Some(interpreter) => LaunchError::permanent(format!(
                "{shown} begins with #!{interpreter}, and {interpreter} does not exist"
            )),
            None => LaunchError::permanent(format!(
                "{shown} cannot be run: it, or the loader that it was linked for, does not exist"
            )),
        },
        _ => failed(&format!("{shown} cannot be run"), error),
    }
}

/// The interpreter in a script's first line.
fn interpreter(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.strip_prefix(b"#!")?.split(|&b| b == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().next().map(str::to_owned)
}

/// Words for an error of the operating system, and whether it can pass by itself.
pub(crate) fn failed(what: &str, error: &io::Error) -> LaunchError {
    let passing = [
        libc::EAGAIN,
        libc::ENOMEM,
        libc::EMFILE,
        libc::ENFILE,
        libc::EINTR,
        libc::EIO,
        libc::ENOSPC,
        libc::ETXTBSY,
        libc::ESTALE,
    ];
    let permanent = error
        .raw_os_error()
        .is_some_and(|code| !passing.contains(&code));
    LaunchError {
        error: format!("{what}: {error}"),
        permanent,
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
