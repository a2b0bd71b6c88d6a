//! One running copy of a service, and how it can end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{AppName, NameError, ServiceName};

/// Names an instance for its whole life, restarts of its process included. Written
/// `APP.SERVICE.RELEASE.ORDINAL`: unique on a server and safe as the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId {
    /// The app it belongs to.
    pub app: AppName,
    /// The service it is a copy of.
    pub service: ServiceName,
    /// The number of the release that it runs.
    pub release: u64,
    /// Tells the copies of one service and release apart; starts at 1.
    pub ordinal: u32,
}

/// A text is not an instance's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInstanceId {
    /// There are not four parts, or the last two are not numbers.
    #[error("an instance is named APP.SERVICE.RELEASE.ORDINAL, not {0:?}")]
    Shape(String),
    /// The app's or the service's part is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}.{}",
            self.app, self.service, self.release, self.ordinal
        )
    }
}

impl FromStr for InstanceId {
    type Err = BadInstanceId;

    fn from_str(text: &str) -> Result<Self, BadInstanceId> {
        let shape = || BadInstanceId::Shape(text.to_owned());
        let parts: Vec<&str> = text.split('.').collect();
        let [app, service, release, ordinal] = parts[..] else {
            return Err(shape());
        };
        let id = Self {
            app: AppName::new(app)?,
            service: ServiceName::new(service)?,
            release: release.parse().map_err(|_| shape())?,
            ordinal: ordinal.parse().map_err(|_| shape())?,
        };
        // "+1" and "01" parse as numbers but would name one instance twice.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(shape())
        }
    }
}

impl TryFrom<String> for InstanceId {
    type Error = BadInstanceId;
    fn try_from(text: String) -> Result<Self, BadInstanceId> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

/// How an instance's process ended, with the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Why it ended.
    pub cause: ExitCause,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The last lines that it wrote, oldest first; at most [`Exit::MOST_LINES`].
    pub last_lines: Vec<String>,
}

impl Exit {
    /// How many of an instance's last log lines are kept as evidence.
    pub const MOST_LINES: usize = 20;

    /// Adds a line of evidence; where there are too many, the oldest goes.
    pub fn push_line(&mut self, line: String) {
        self.last_lines.push(line);
        let surplus = self.last_lines.len().saturating_sub(Self::MOST_LINES);
        self.last_lines.drain(..surplus);
    }
}

/// Why an instance's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitCause {
    /// It exited by itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed it because memory ran out.
    OutOfMemory,
    /// Roadbed killed it, since it was of no use as it was.
    Unhealthy {
        /// What its probes said, in words.
        reason: String,
    },
    /// It could not be started at all: what was tried, and the operating system's answer.
    NotStarted {
        /// What failed, in words.
        error: String,
        /// Whether another attempt can end otherwise (a missing file will stay missing).
        permanent: bool,
    },
    /// It and its shim are gone without a record, as after a power loss.
    Lost,
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "killed by signal {signal} ({name})"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::Unhealthy { reason } => write!(f, "killed by Roadbed: {reason}"),
            Self::OutOfMemory => f.write_str("killed by the kernel: out of memory"),
            Self::NotStarted { error, .. } => write!(f, "could not be started: {error}"),
            Self::Lost => f.write_str("gone without a record (was the machine stopped?)"),
        }
    }
}

/// The usual name of a signal on Linux.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written() {
        let id: InstanceId = "shop.orders-db.12.3".parse().unwrap();
        assert_eq!((id.release, id.ordinal), (12, 3));
        assert_eq!(id.to_string(), "shop.orders-db.12.3");
    }

    #[test]
    fn an_id_has_one_spelling() {
        for bad in [
            "",
            "a.b.1",
            "a.b.1.2.3",
            "a.b.x.1",
            "a.b.+1.1",
            "a.b.01.1",
            "A.b.1.1",
        ] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cause_reads_as_a_sentence() {
        assert_eq!(
            ExitCause::Signal(9).to_string(),
            "killed by signal 9 (SIGKILL)"
        );
        assert_eq!(ExitCause::Code(3).to_string(), "exited with code 3");
    }
}
