//! Reading from the database.

use redb::{Database, ReadableDatabase};

use super::file::{ENTRIES, META, REVISION};
use crate::error::StoreError;
use crate::limits::LISTING_BYTES;
use crate::types::{Entry, Listing, Revision};

/// The store's revision.
pub(super) fn revision(database: &Database) -> Result<Revision, redb::Error> {
    revision_in(&database.begin_read()?)
}

fn revision_in(transaction: &redb::ReadTransaction) -> Result<Revision, redb::Error> {
    let meta = transaction.open_table(META)?;
    match meta.get(REVISION)? {
        Some(revision) => Ok(Revision(revision.value())),
        None => Err(redb::Error::Corrupted(
            "its revision is not noted".to_owned(),
        )),
    }
}

/// The entry of `key`.
pub(super) fn entry(database: &Database, key: &str) -> Result<Option<Entry>, redb::Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    Ok(entries
        .get(key)?
        .map(|stored| entry_of(key, stored.value())))
}

/// The entries under `prefix`.
pub(super) fn listing(
    database: &Database,
    prefix: &str,
) -> Result<Result<Listing, StoreError>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut entries = Vec::new();
    let mut size = 0;
    for stored in transaction.open_table(ENTRIES)?.range(prefix..)? {
        let (key, stored) = stored?;
        let key = key.value();
        if !key.starts_with(prefix) {
            break;
        }
        let entry = entry_of(key, stored.value());
        size += entry.key.len() + entry.value.len();
        if size > LISTING_BYTES {
            let what = "a listing (choose a longer prefix)";
            return Ok(Err(StoreError::TooLarge {
                what,
                size,
                limit: LISTING_BYTES,
                unit: "bytes",
            }));
        }
        entries.push(entry);
    }
    Ok(Ok(Listing {
        entries,
        revision: revision_in(&transaction)?,
    }))
}

fn entry_of(key: &str, (created, modified, version, value): (u64, u64, u64, &[u8])) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value.to_owned(),
        created: Revision(created),
        modified: Revision(modified),
        version,
    }
}
