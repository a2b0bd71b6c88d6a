//! The folder in which a server keeps everything: where each thing is, which version wrote it,
//! and that only one server uses it at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{AppName, InstanceId, ServiceName, VolumeName};
use plan::routes::EdgeAddresses;
use rustix::fs::{FlockOperation, flock};

/// The version of the folder's layout that this program reads and writes.
const FORMAT: u32 = 1;

/// The longest path that fits in a Unix socket's address, with the ending 0.
const LONGEST_SOCKET_PATH: usize = 108;

/// What may be in a home before its format is written: the beginnings of a start, and what a file
/// system has of itself.
const BEFORE_FORMAT: [&str; 4] = ["run", "server.lock", "format.new", "lost+found"];

/// How often the lock is tried, and the pause in between. A server that is killed ends when what it
/// was writing is on disk.
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// `ROADBED_HOME`, and where everything in it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file or folder in it cannot be made, read or written.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A newer Roadbed has written it.
    #[error(
        "{path} was written by a newer Roadbed (format {found}, this one knows up to {FORMAT})"
    )]
    Newer {
        /// The home.
        path: PathBuf,
        /// The format that it says it has.
        found: u32,
    },
    /// Its format file holds something else than a number.
    #[error("{path} does not hold a format number but {found:?}")]
    NotAHome {
        /// The format file.
        path: PathBuf,
        /// The beginning of what it holds.
        found: String,
    },
    /// It is a file, or lies below one.
    #[error("{path} is not a folder")]
    NotAFolder {
        /// What was to be the home.
        path: PathBuf,
    },
    /// It holds what is not Roadbed's.
    #[error("{path} is not empty and not a folder of Roadbed's: it holds {entry:?}")]
    Foreign {
        /// The home.
        path: PathBuf,
        /// Something in it.
        entry: String,
    },
    /// Another server uses it.
    #[error("a server already runs in {path}{}", pid.as_ref().map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The home.
        path: PathBuf,
        /// That server's process, where it is known.
        pid: Option<String>,
    },
    /// A socket in it would have a path longer than the system allows.
    #[error(
        "the path of {path} is too long for a socket ({length} bytes, at most {})",
        LONGEST_SOCKET_PATH - 1
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// The path's length in bytes.
        length: usize,
    },
}

/// Held as long as this process is the home's only server.
#[derive(Debug)]
pub struct HomeLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl HomeError {
    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space on that disk, or choose another folder with --home"
            }
            Self::Io { .. } => "choose a folder that you may write with --home or ROADBED_HOME",
            Self::InUse { .. } => "`roadbed status` shows what runs there",
            Self::Newer { .. } => {
                "run that newer version, or choose another folder with --home or ROADBED_HOME"
            }
            Self::NotAHome { .. } => {
                "is it a folder of Roadbed's? choose another with --home or ROADBED_HOME"
            }
            Self::Foreign { .. } => "choose an empty folder with --home or ROADBED_HOME",
            Self::NotAFolder { .. } => "choose a folder with --home or ROADBED_HOME",
            Self::PathTooLong { .. } => "choose a shorter folder with --home or ROADBED_HOME",
        })
    }
}

impl Home {
    /// The home at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the server listens for its command line and consoles.
    pub fn api_socket(&self) -> PathBuf {
        self.0.join("run/api.sock")
    }

    /// Where the server listens for proxies.
    pub fn proxies_socket(&self) -> PathBuf {
        self.0.join("run/proxies.sock")
    }

    /// What a server in the background has to say, as a log folder.
    pub fn server_logs(&self) -> PathBuf {
        self.0.join("server-logs")
    }

    /// What the proxy prints, as a log folder.
    pub fn proxy_logs(&self) -> PathBuf {
        self.0.join("proxy-logs")
    }

    /// The log folder of an instance.
    pub fn instance_logs(&self, id: &InstanceId) -> PathBuf {
        self.service_logs(&id.app, &id.service).join(id.to_string())
    }

    /// The access log of the proxy: numbered files of lines of JSON.
    pub fn access_logs(&self) -> PathBuf {
        proxy::Settings::new(&self.0).access_log_folder()
    }

    /// The folder of all instances' logs: one folder an app, in it one a service, in it one an
    /// instance.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The logs of a service's instances.
    pub(crate) fn service_logs(&self, app: &AppName, service: &ServiceName) -> PathBuf {
        self.logs().join(app.as_str()).join(service.as_str())
    }

    /// A folder that outlives releases.
    pub fn volume(&self, app: &AppName, service: &ServiceName, volume: &VolumeName) -> PathBuf {
        let parts = ["volumes", app.as_str(), service.as_str(), volume.as_str()];
        self.0.join(parts.iter().collect::<PathBuf>())
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.0.join("store.redb")
    }

    fn format_file(&self) -> PathBuf {
        self.0.join("format")
    }

    /// Whether this folder can be a home, and was written by a version that this one understands.
    /// It changes nothing. A folder that does not exist or is empty is fine.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn check(&self) -> Result<(), HomeError> {
        for socket in [self.api_socket(), self.proxies_socket()] {
            let length = socket.as_os_str().len();
            if length >= LONGEST_SOCKET_PATH {
                return Err(HomeError::PathTooLong {
                    path: socket,
                    length,
                });
            }
        }
        self.check_format()?;
        self.check_is_ours()
    }

    fn check_format(&self) -> Result<(), HomeError> {
        let path = self.format_file();
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => file
                .take(64)
                .read_to_string(&mut text)
                .map_err(|source| failed("read", &path, source))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(HomeError::NotAFolder {
                    path: self.0.clone(),
                });
            }
            Err(source) => return Err(failed("open", &path, source)),
        };
        match text.trim().parse::<u32>() {
            Ok(found) if found > FORMAT => Err(HomeError::Newer {
                path: self.0.clone(),
                found,
            }),
            Ok(_) => Ok(()),
            Err(_) => Err(HomeError::NotAHome { path, found: text }),
        }
    }

    /// Whether a server has taken it.
    pub fn is_taken(&self) -> bool {
        // Where there is no such file, or none that can be opened, no server of ours runs.
        File::open(self.lock_file())
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("server.lock")
    }

    /// Makes the folder ready and takes it for this process alone.
    pub fn take(&self) -> Result<HomeLock, HomeError> {
        self.check()?;
        for folder in [self.0.clone(), self.0.join("run")] {
            make_private_folder(&folder).map_err(|source| failed("make", &folder, source))?;
            // One that was there before may be open to others.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
                .map_err(|source| failed("close to others", &folder, source))?;
        }
        let lock = self.lock()?;
        write_atomically(&self.format_file(), FORMAT.to_string().as_bytes())
            .map_err(|source| failed("write", &self.format_file(), source))?;
        Ok(lock)
    }

    /// A folder without a format is taken only if nothing is in it but what an interrupted start may
    /// have left: it might be somebody's documents.
    fn check_is_ours(&self) -> Result<(), HomeError> {
        if self.format_file().exists() || !self.0.exists() {
            return Ok(());
        }
        let entries = fs::read_dir(&self.0).map_err(|source| failed("read", &self.0, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| failed("read", &self.0, source))?;
            let name = entry.file_name();
            if !name
                .to_str()
                .is_some_and(|name| BEFORE_FORMAT.contains(&name))
            {
                return Err(HomeError::Foreign {
                    path: self.0.clone(),
                    entry: name.to_string_lossy().into_owned(),
                });
            }
        }
        Ok(())
    }

    /// Where the edge of the last server listened, if there was one.
    pub fn edge(&self) -> Option<SocketAddr> {
        read_address(&self.edge_file())
    }

    /// Where it listened for TLS.
    pub fn edge_tls(&self) -> Option<SocketAddr> {
        read_address(&self.edge_tls_file())
    }

    /// Where the last server had its proxy show what it measures.
    pub fn metrics(&self) -> Option<SocketAddr> {
        read_address(&self.metrics_file())
    }

    /// Keeps that for the next server.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_metrics(&self, address: SocketAddr) -> Result<(), HomeError> {
        let path = self.metrics_file();
        write_atomically(&path, address.to_string().as_bytes())
            .map_err(|source| failed("write", &path, source))
    }

    /// Keeps where the edge listens for the next server: a restart must not move what runs.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_edge(&self, edge: EdgeAddresses) -> Result<(), HomeError> {
        let files = [
            (self.edge_file(), edge.plain),
            (self.edge_tls_file(), edge.tls),
        ];
        for (path, address) in files {
            write_atomically(&path, address.to_string().as_bytes())
                .map_err(|source| failed("write", &path, source))?;
        }
        Ok(())
    }

    /// Forgets all these addresses and settings, when nothing is left that they matter to.
    pub(crate) fn forget_addresses(&self) {
        let addresses = [self.edge_file(), self.edge_tls_file(), self.metrics_file()];
        let settings = [self.telemetry_file(), self.trusted_file(), self.kept_file()];
        for path in addresses.into_iter().chain(settings) {
            // One that stays is only where the next server begins to look.
            let _ = fs::remove_file(path);
        }
    }

    fn edge_file(&self) -> PathBuf {
        self.0.join("edge")
    }

    fn edge_tls_file(&self) -> PathBuf {
        self.0.join("edge-tls")
    }

    fn metrics_file(&self) -> PathBuf {
        self.0.join("metrics")
    }

    fn lock(&self) -> Result<HomeLock, HomeError> {
        let path = self.lock_file();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        if !lock_soon(&file) {
            let mut pid = String::new();
            // Who holds it is a courtesy; not to know it changes nothing.
            let known = file.take(20).read_to_string(&mut pid).is_ok();
            let pid = known
                .then(|| pid.trim().to_owned())
                .filter(|pid| !pid.is_empty());
            return Err(HomeError::InUse {
                path: self.0.clone(),
                pid,
            });
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| failed("write", &path, source))?;
        Ok(HomeLock(file))
    }
}

/// Takes the lock. One that is only being looked at, or whose holder is ending, is free soon.
fn lock_soon(file: &File) -> bool {
    (0..LOCK_ATTEMPTS).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(LOCK_PAUSE);
        }
        flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

pub(crate) fn failed(doing: &'static str, path: &Path, source: io::Error) -> HomeError {
    HomeError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn read_address(path: &Path) -> Option<SocketAddr> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Makes `path` and what is missing above it, readable by this user alone.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a small file as a whole: its readers see the old or the new content, never a part, and
/// a loss of power does not bring the old one back. Without its format, a home would be refused.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let held = home.take().unwrap();
        let pid = Some(std::process::id().to_string());
        assert!(matches!(home.take(), Err(HomeError::InUse { pid: found, .. }) if found == pid));
        drop(held);
        home.take().unwrap();
    }

    #[test]
    fn a_newer_or_foreign_home_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        for (content, newer) in [("2", true), ("hello", false), ("", false)] {
            fs::write(folder.path().join("format"), content).unwrap();
            let error = home.take().unwrap_err();
            assert_eq!(
                matches!(error, HomeError::Newer { found: 2, .. }),
                newer,
                "{error}"
            );
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_folder_of_somebody_elses_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        let error = Home::new(folder.path()).take().unwrap_err();
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_home_is_closed_to_others_and_remembers_its_edge() {
        let folder = tempfile::tempdir().unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).unwrap();
        let home = Home::new(folder.path());
        let _held = home.take().unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(home.edge(), None);
        let (plain, tls) = (
            SocketAddr::from(([127, 0, 0, 1], 9000)),
            SocketAddr::from(([127, 0, 0, 1], 9443)),
        );
        home.remember_edge(EdgeAddresses { plain, tls }).unwrap();
        assert_eq!((home.edge(), home.edge_tls()), (Some(plain), Some(tls)));
        home.remember_metrics(plain).unwrap();
        assert_eq!(home.metrics(), Some(plain));
        home.forget_addresses();
        assert_eq!(home.metrics(), None);
        assert_eq!((home.edge(), home.edge_tls()), (None, None));
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused() {
        let home = Home::new(format!("/tmp/{}", "x".repeat(100)));
        assert!(matches!(home.take(), Err(HomeError::PathTooLong { .. })));
    }

    #[test]
    fn a_file_is_no_home() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Home::new(file.path()).take().unwrap_err();
        assert!(matches!(error, HomeError::NotAFolder { .. }), "{error}");
    }
}
