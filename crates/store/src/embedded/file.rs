//! The file: who has it open, what format it is in, and how it recovers from a failed write.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::backend::ReservedFile;
use super::failure;
use crate::error::StoreError;

/// Numbers about the store itself: [`FORMAT`] and [`REVISION`].
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// By key: created, modified, version, value.
pub(super) const ENTRIES: TableDefinition<'_, &str, (u64, u64, u64, &[u8])> =
    TableDefinition::new("entries");
/// By name: holder, token, time to live in milliseconds.
pub(super) const LEASES: TableDefinition<'_, &str, (&str, u64, u64)> =
    TableDefinition::new("leases");

/// Where the format of the file is noted.
const FORMAT: &str = "format";
/// Where the store's revision is noted.
pub(super) const REVISION: &str = "revision";
/// The format that is written, and the latest that is read.
const KNOWN_FORMAT: u64 = 1;
/// What the database may keep in memory, in bytes. Its own default is 1 GiB.
const CACHE: usize = 8 * 1024 * 1024;

/// A database that closes and opens itself again when a write has failed: until then redb refuses
/// everything, since it cannot know what reached the disk.
pub(super) struct DatabaseFile {
    path: PathBuf,
    opened: RwLock<Opened>,
}

struct Opened {
    database: Option<Database>,
    /// Counts the times it was opened, so that of several who want it anew only one does it.
    generation: u64,
    /// Keeps other processes out; gone once this is closed for good. It is not the database's own
    /// lock, so that it is kept while that closes and opens again, and covers its creation.
    lock: Option<File>,
}

impl DatabaseFile {
    /// Opens the database at `path`, or creates it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let exists = path
            .try_exists()
            .map_err(|error| failure::io("open", path, error))?;
        if !exists {
            create(path)?;
        }
        let database = open_database(path, true)?;
        check_format(&database, path)?;
        let opened = Opened {
            database: Some(database),
            generation: 0,
            lock: Some(lock),
        };
        Ok(Self {
            path: path.to_owned(),
            opened: RwLock::new(opened),
        })
    }

    /// Gives the database to `work`. Where that shows that the database has failed before, it is
    /// opened again and `work` begins anew; where it fails under `work` itself, it is opened again
    /// and the failure returned.
    pub(super) fn with<T>(
        &self,
        mut work: impl FnMut(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let (first, generation) = self.attempt(&mut work)?;
        match first {
            Ok(done) => Ok(done),
            Err(redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
                self.reopen(generation)?;
                self.attempt(&mut work)?
                    .0
                    .map_err(|error| failure::redb(&self.path, error))
            }
            Err(error @ redb::Error::Io(_)) => {
                // Where it cannot be opened now, the next caller tries again and is told why.
                let _ = self.reopen(generation);
                Err(failure::redb(&self.path, error))
            }
            Err(error) => Err(failure::redb(&self.path, error)),
        }
    }

    fn attempt<T>(
        &self,
        work: &mut impl FnMut(&Database) -> Result<T, redb::Error>,
    ) -> Result<(Result<T, redb::Error>, u64), StoreError> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        if opened.lock.is_none() {
            return Err(StoreError::Closed);
        }
        let result = match &opened.database {
            Some(database) => work(database),
            None => Err(redb::Error::DatabaseClosed),
        };
        Ok((result, opened.generation))
    }

    fn reopen(&self, seen: u64) -> Result<(), StoreError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.lock.is_none() {
            return Err(StoreError::Closed);
        }
        if opened.generation != seen {
            return Ok(());
        }
        opened.database = None;
        // Without the check of every page: it would write, and the disk may be full.
        opened.database = Some(open_database(&self.path, false)?);
        opened.generation += 1;
        Ok(())
    }

    /// Closes the database for good, once nobody uses it any more.
    pub(super) fn close(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.database = None;
        opened.lock = None;
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Locks the file beside `path` and notes this process in it, as evidence for the others.
fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let failed = |error| failure::io("lock", &lock_path, error);
    let mut file = private_file(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut noted = String::new();
            let read = (&mut file).take(32).read_to_string(&mut noted);
            let holder = match (read, noted.trim().parse::<u32>()) {
                (Ok(_), Ok(process)) => format!("process {process}"),
                _ => "another process".to_owned(),
            };
            return Err(StoreError::Locked {
                path: path.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // The note is a courtesy: on a full disk the lock holds without it.
    let _ = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Creates a database under another name and renames it, so that a crash in between leaves none
/// that is half made. Only one process is here at a time, since the lock is held.
fn create(path: &Path) -> Result<(), StoreError> {
    let unfinished = beside(path, ".new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failure::io("remove", &unfinished, error));
        }
        _ => {}
    }
    let filled = private_file(&unfinished)
        .map_err(|error| failure::io("create", path, error))
        .and_then(|file| fill(file).map_err(|error| failure::redb(path, error)));
    if let Err(error) = filled {
        // What failed is what is reported; the next attempt removes the rest too.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::rename(&unfinished, path)
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|error| failure::io("create", path, error))
}

/// Makes an empty store of an empty file.
fn fill(file: File) -> Result<(), redb::Error> {
    let database = Database::builder()
        .set_cache_size(CACHE)
        .create_with_backend(ReservedFile::new(file))?;
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, KNOWN_FORMAT)?;
        meta.insert(REVISION, 0)?;
        transaction.open_table(ENTRIES)?;
        transaction.open_table(LEASES)?;
    }
    transaction.commit()?;
    database.close()?;
    Ok(())
}

/// Opens an existing database, after reading and checking every page of it where `check` is set.
fn open_database(path: &Path, check: bool) -> Result<Database, StoreError> {
    let corrupt = |problem: String| StoreError::Corrupt {
        path: path.to_owned(),
        problem,
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| failure::io("open", path, error))?;
    let length = file
        .metadata()
        .map_err(|error| failure::io("open", path, error))?
        .len();
    // To redb an empty file is a new database. Here it is one that was lost.
    if length == 0 {
        return Err(corrupt("the file is empty".to_owned()));
    }
    Database::builder()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(check)
        .create_with_backend(ReservedFile::new(file))
        .map_err(|error| match error {
            DatabaseError::UpgradeRequired(version) => {
                corrupt(format!("its pages have the outdated format {version}"))
            }
            other => failure::redb(path, other.into()),
        })
}

fn check_format(database: &Database, path: &Path) -> Result<(), StoreError> {
    let read = || -> Result<Option<u64>, redb::Error> {
        let meta = database.begin_read()?.open_table(META)?;
        Ok(meta.get(FORMAT)?.map(|format| format.value()))
    };
    match read().map_err(|error| failure::redb(path, error))? {
        Some(KNOWN_FORMAT) => Ok(()),
        Some(found) if found > KNOWN_FORMAT => Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found,
            known: KNOWN_FORMAT,
        }),
        other => Err(StoreError::Corrupt {
            path: path.to_owned(),
            problem: match other {
                Some(found) => format!("there is no format {found}"),
                None => "its format is not noted".to_owned(),
            },
        }),
    }
}
