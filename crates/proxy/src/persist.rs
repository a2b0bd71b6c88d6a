//! The snapshot on disk: a base, and a journal of the deltas since. A change costs what it is
//! long; a proxy that is started without a server serves from what these two give.
//!
//! `base` is a header (magic, format, length, checksum) and JSON, replaced as a whole. `journal`
//! is a sequence of records (length, checksum, JSON of a delta), appended to. All numbers are
//! big-endian, all checksums CRC-32.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::{Snapshot, SnapshotDelta};
use serde::de::DeserializeOwned;

use crate::limits::JOURNAL_BYTES;

const MAGIC: &[u8; 6] = b"RBSNAP";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 6 + 2 + 8 + 4;
const RECORD_HEADER_BYTES: usize = 4 + 4;

/// The files of one proxy's state folder.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    folder: PathBuf,
    journal: File,
    journal_length: u64,
    base_length: u64,
}

/// Why what is on disk cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("it is not a snapshot of Roadbed")]
    NotOurs,
    #[error("its format is {0}, and this version of Roadbed reads {FORMAT}; run a newer one")]
    OtherFormat(u16),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl SnapshotFiles {
    /// Opens `folder`, which exists, and reads the last snapshot where there is a usable one.
    /// What is not usable is reported and left alone until a new snapshot replaces it.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Option<Snapshot>)> {
        let journal = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(folder.join("journal"))?;
        let mut files = Self {
            folder: folder.to_owned(),
            journal,
            journal_length: 0,
            base_length: 0,
        };
        let base = folder.join("base");
        let mut snapshot = match read_base(&base) {
            Ok(Some((snapshot, length))) => {
                files.base_length = length;
                snapshot
            }
            Ok(None) => return Ok((files, None)),
            Err(error) => {
                tracing::error!(
                    file = %base.display(), %error,
                    "cannot use the saved snapshot; waiting for the server to send one"
                );
                return Ok((files, None));
            }
        };
        files.replay(&mut snapshot)?;
        Ok((files, Some(snapshot)))
    }

    /// Replaces everything by `snapshot`.
    pub(crate) fn replace(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let json = serde_json::to_vec(snapshot)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + json.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(&(json.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&json).to_be_bytes());
        bytes.extend_from_slice(&json);
        let temporary = self.folder.join("base.new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.folder.join("base"))?;
        File::open(&self.folder)?.sync_all()?;
        self.base_length = bytes.len() as u64;
        // Should we die before this, the records are recognised as older than the base.
        self.cut(0)
    }

    /// Adds what turns the last snapshot into the next.
    pub(crate) fn append(&mut self, delta: &SnapshotDelta) -> io::Result<()> {
        let json = serde_json::to_vec(delta)?;
        let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + json.len());
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(&crc32fast::hash(&json).to_be_bytes());
        record.extend_from_slice(&json);
        self.journal.write_all_at(&record, self.journal_length)?;
        self.journal.sync_data()?;
        self.journal_length += record.len() as u64;
        Ok(())
    }

    /// Whether reading the journal costs more than a new base would.
    pub(crate) fn journal_is_long(&self) -> bool {
        self.journal_length > JOURNAL_BYTES.max(self.base_length)
    }

    /// Applies the journal's records to `snapshot`, and cuts off what does not follow.
    fn replay(&mut self, snapshot: &mut Snapshot) -> io::Result<()> {
        let mut length = self.journal.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?];
        self.journal.read_exact_at(&mut bytes, 0)?;
        let mut rest = &bytes[..];
        while let Some((record, after)) = next_record(rest) {
            match checked::<SnapshotDelta>(record) {
                // A record from before the base was replaced.
                Ok(delta) if delta.to <= snapshot.generation => {}
                Ok(delta) => {
                    if let Err(error) = snapshot.apply(&delta) {
                        tracing::error!(%error, "the saved journal does not follow its base");
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the end of the saved journal is unusable and was cut");
                    break;
                }
            }
            rest = after;
        }
        length -= rest.len() as u64;
        self.cut(length)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.journal.set_len(length)?;
        self.journal.sync_data()?;
        self.journal_length = length;
        Ok(())
    }
}

/// A checksum, and the JSON that it is of.
type Record<'a> = (u32, &'a [u8]);

/// The first record, and what follows; none at the end or where the rest is no whole
/// record, as after a power loss in mid-write.
fn next_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (json, after) = rest.split_at_checked(length)?;
    Some(((u32::from_be_bytes(*checksum), json), after))
}

fn checked<T: DeserializeOwned>((checksum, json): Record<'_>) -> Result<T, Unusable> {
    if crc32fast::hash(json) != checksum {
        return Err(Unusable::Damaged("its checksum does not match".into()));
    }
    serde_json::from_slice(json).map_err(|error| Unusable::Damaged(error.to_string()))
}

/// The base and its length in bytes; none where there is no file.
fn read_base(path: &Path) -> Result<Option<(Snapshot, u64)>, Unusable> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unusable::NotOurs)?;
    let cut_off = || Unusable::Damaged("it is cut off".into());
    let (format, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
    if u16::from_be_bytes(*format) != FORMAT {
        return Err(Unusable::OtherFormat(u16::from_be_bytes(*format)));
    }
    let (length, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
    let (checksum, json) = rest.split_first_chunk().ok_or_else(cut_off)?;
    if u64::from_be_bytes(*length) != json.len() as u64 {
        return Err(cut_off());
    }
    let snapshot = checked((u32::from_be_bytes(*checksum), json))?;
    Ok(Some((snapshot, bytes.len() as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Generation, Host, PathPrefix, Route, UpstreamId};

    fn snapshot(generation: u64) -> Snapshot {
        let upstream = UpstreamId::try_from("shop/web".to_owned()).unwrap();
        let host = Host::new(&format!("g{generation}.test")).unwrap();
        let route = Route::exposing(host, PathPrefix::root(), upstream);
        Snapshot {
            generation: Generation(generation),
            routes: [("route".to_owned(), route)].into(),
            ..Snapshot::default()
        }
    }

    fn loaded(folder: &Path) -> Option<Snapshot> {
        SnapshotFiles::open(folder).unwrap().1
    }

    /// A folder with a base of generation 1 and deltas up to `last`.
    fn saved(last: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, none) = SnapshotFiles::open(folder.path()).unwrap();
        assert_eq!(none, None);
        files.replace(&snapshot(1)).unwrap();
        for generation in 2..=last {
            let delta = snapshot(generation - 1).delta_to(&snapshot(generation));
            files.append(&delta).unwrap();
        }
        folder
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = saved(4);
        assert_eq!(loaded(folder.path()), Some(snapshot(4)));
        let (mut files, _) = SnapshotFiles::open(folder.path()).unwrap();
        files.append(&snapshot(4).delta_to(&snapshot(9))).unwrap();
        assert_eq!(loaded(folder.path()), Some(snapshot(9)));
    }

    #[test]
    fn a_journal_cut_anywhere_gives_the_last_whole_record_and_can_be_continued() {
        let folder = saved(3);
        let journal = folder.path().join("journal");
        let whole = std::fs::read(&journal).unwrap();
        for length in (0..whole.len()).rev() {
            std::fs::write(&journal, &whole[..length]).unwrap();
            let (mut files, snapshot_now) = SnapshotFiles::open(folder.path()).unwrap();
            let now = snapshot_now.unwrap();
            assert!(now == snapshot(1) || now == snapshot(2), "cut at {length}");
            files.append(&now.delta_to(&snapshot(7))).unwrap();
            assert_eq!(loaded(folder.path()), Some(snapshot(7)), "cut at {length}");
        }
    }

    #[test]
    fn a_flipped_bit_in_the_journal_cuts_it_there() {
        let folder = saved(3);
        let journal = folder.path().join("journal");
        let mut bytes = std::fs::read(&journal).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        std::fs::write(&journal, bytes).unwrap();
        assert_eq!(loaded(folder.path()), Some(snapshot(2)));
    }

    #[test]
    fn records_older_than_the_base_are_passed_over() {
        let folder = saved(3);
        let journal = std::fs::read(folder.path().join("journal")).unwrap();
        let (mut files, _) = SnapshotFiles::open(folder.path()).unwrap();
        files.replace(&snapshot(3)).unwrap();
        std::fs::write(folder.path().join("journal"), journal).unwrap();
        assert_eq!(loaded(folder.path()), Some(snapshot(3)));
    }

    #[test]
    fn a_damaged_foreign_or_newer_base_is_no_snapshot_and_no_crash() {
        let folder = saved(2);
        let base = folder.path().join("base");
        let good = std::fs::read(&base).unwrap();
        let mut newer = good.clone();
        newer[7] = 9;
        let mut damaged = good.clone();
        damaged[HEADER_BYTES + 3] ^= 1;
        for bad in [
            &b""[..],
            b"hello",
            &newer,
            &damaged,
            &good[..good.len() - 1],
        ] {
            std::fs::write(&base, bad).unwrap();
            assert_eq!(loaded(folder.path()), None);
        }
        let (mut files, _) = SnapshotFiles::open(folder.path()).unwrap();
        files.replace(&snapshot(8)).unwrap();
        assert_eq!(loaded(folder.path()), Some(snapshot(8)));
    }
}
