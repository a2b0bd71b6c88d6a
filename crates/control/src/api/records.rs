//! What the store has of an app, as its handlers read it.

use model::{AppName, Credentials, Desired, Release};
use store::Revision;

use super::{ApiError, Context};
use crate::state::{decode, keys};

/// What is desired of an app now, and when that was written.
pub(super) struct Current {
    pub(super) desired: Desired,
    pub(super) modified: Revision,
}

/// What is desired of an app now, if it is there.
pub(super) async fn current(context: &Context, app: &AppName) -> Result<Option<Current>, ApiError> {
    let key = keys::desired(app);
    let Some(entry) = context.store.get(&key).await? else {
        return Ok(None);
    };
    Ok(Some(Current {
        desired: decode(&key, &entry.value)?,
        modified: entry.modified,
    }))
}

/// A release that was deployed, if it is still kept.
pub(super) async fn release(
    context: &Context,
    app: &AppName,
    number: u64,
) -> Result<Option<Release>, ApiError> {
    let key = keys::release(app, number);
    let entry = context.store.get(&key).await?;
    Ok(entry.map(|entry| decode(&key, &entry.value)).transpose()?)
}

/// What the files for TLS of a release said.
pub(super) async fn credentials(
    context: &Context,
    app: &AppName,
    number: u64,
) -> Result<Credentials, ApiError> {
    let key = keys::credentials_of(app, number);
    let entry = context.store.get(&key).await?;
    let found = entry.map(|entry| decode(&key, &entry.value)).transpose()?;
    Ok(found.unwrap_or_default())
}

/// The number of the last release that an app had, 0 before the first.
pub(super) async fn last_release(context: &Context, app: &AppName) -> Result<u64, ApiError> {
    let key = keys::last_release(app);
    let entry = context.store.get(&key).await?;
    Ok(entry
        .map(|entry| decode(&key, &entry.value))
        .transpose()?
        .unwrap_or(0))
}
