//! How a process is recognised as ours when nobody is left who knows about it.
//!
//! Everything that Roadbed starts carries `ROADBED_MARK=HOME_ID/START` in its environment, and
//! what it starts inherits that. The mark tells homes apart: two servers on one machine must never
//! end each other's processes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::machine::{Identity, Status, is_gone, process_ids};
use crate::unit::Start;

/// The variable that says which unit a process belongs to.
pub const UNIT_VARIABLE: &str = "ROADBED_UNIT";
/// The variable by which a process is recognised as started by one server's home.
pub const MARK_VARIABLE: &str = "ROADBED_MARK";

/// Tells one `ROADBED_HOME` from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HomeId(String);

impl HomeId {
    /// Reads the id in the file at `path`, which is written first if there is none.
    pub(crate) fn read_or_create(path: &Path) -> io::Result<Self> {
        if let Some(id) = Self::read(path)? {
            return Ok(id);
        }
        // Complete and on disk before it gets its name: two at once agree on one.
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = File::create(&new)?;
        file.write_all(random_id()?.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&new, path);
        fs::remove_file(&new)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Self::read(path)?.ok_or_else(|| {
                let error = format!("{} does not hold a home's id; remove it", path.display());
                io::Error::new(io::ErrorKind::InvalidData, error)
            }),
        }
    }

    fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let id =
                    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
                Ok(id.then_some(Self(text)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The value of [`MARK_VARIABLE`] for what is named `holder` under this home.
    pub(crate) fn mark(&self, holder: &str) -> String {
        format!("{}/{holder}", self.0)
    }
}

/// A text that has never been before: 36 hexadecimal digits and hyphens.
pub(crate) fn random_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim_end()
        .to_owned())
}

/// A living process that carries a home's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) identity: Identity,
    /// What the mark names: a start of a unit, or what a server asked for besides.
    pub(crate) holder: String,
}

impl Marked {
    pub(crate) fn start(&self) -> Option<Start> {
        Start::parse(&self.holder)
    }
}

/// All living processes with this home's mark, as far as their environment can be read: another
/// user's cannot, and cannot be ours unless it changed its user.
pub(crate) fn marked(home: &HomeId) -> io::Result<Vec<Marked>> {
    let wanted = format!("{MARK_VARIABLE}={}", home.mark(""));
    let mut found = Vec::new();
    for pid in process_ids()? {
        // The identity first: if the id changes hands in between, it will not be signalled.
        let Some(status) = Status::of(pid)? else {
            continue;
        };
        let environment = match environment(pid) {
            Ok(environment) => environment,
            Err(error) if is_gone(&error) => continue,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        };
        let holder = environment
            .split(|&b| b == 0)
            .find_map(|variable| variable.strip_prefix(wanted.as_bytes()));
        if let Some(holder) = holder {
            let holder = String::from_utf8_lossy(holder).into_owned();
            found.push(Marked {
                identity: status.identity,
                holder,
            });
        }
    }
    Ok(found)
}

/// How often the environment of a process that shows none is read, and the pause in between.
const READINGS: u32 = 10;
const READING_PAUSE: Duration = Duration::from_millis(1);

/// The environment of a process. One that is just becoming another program shows none for an
/// instant, and no arguments either: it is looked at again, or it would be missed.
fn environment(pid: u32) -> io::Result<Vec<u8>> {
    let mut environment = fs::read(format!("/proc/{pid}/environ"))?;
    for _ in 1..READINGS {
        // The kernel's own threads and the dead have no program.
        let shows_nothing = environment.is_empty()
            && fs::read(format!("/proc/{pid}/cmdline"))?.is_empty()
            && fs::read_link(format!("/proc/{pid}/exe")).is_ok();
        if !shows_nothing {
            break;
        }
        std::thread::sleep(READING_PAUSE);
        environment = fs::read(format!("/proc/{pid}/environ"))?;
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_home_keeps_its_id() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home-id");
        let id = HomeId::read_or_create(&path).unwrap();
        assert_eq!(HomeId::read_or_create(&path).unwrap(), id);
        assert_eq!(
            fs::read_dir(home.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        fs::write(&path, "torn").unwrap();
        assert!(HomeId::read_or_create(&path).is_err());
    }

    #[test]
    fn a_process_is_found_by_its_mark_and_only_by_its_own_home() {
        let homes = [HomeId(random_id().unwrap()), HomeId(random_id().unwrap())];
        let mut child = Command::new("/bin/cat")
            .env_clear()
            .env(MARK_VARIABLE, homes[0].mark("proxy.3"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Only when it answers it is sure to have become what it was told to: a process that is
        // just being started shows no environment for an instant.
        let mut answer = [0];
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut answer)
            .unwrap();
        let found = marked(&homes[0]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].identity.pid, child.id());
        assert_eq!(found[0].start(), Start::parse("proxy.3"));
        assert_eq!(marked(&homes[1]).unwrap(), []);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
