//! The beginning of a rollout, of a new release and of one that brings an earlier one back: its
//! files are unpacked, and then one transaction says what is desired.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifacts::{Manifest, difference, on_disk};
use axum::http::StatusCode;
use model::{
    App, AppName, Changes, Credentials, Desired, ErrorPages, Intent, PageText, Release,
    ReleaseFiles as Files,
};
use store::{Expected, Outcome, Transaction};

use super::contents::{blocking, check_room};
use super::records::{Current, current, last_release, release};
use super::{ApiError, Context, DeployAnswer, changes, taken};
use crate::releases::Unpacked;
use crate::state::{encode, keys};
use crate::status::AppStatus;

/// What is to be rolled out.
pub(super) struct Candidate {
    pub(super) app: App,
    pub(super) folder: PathBuf,
    /// The text of its `roadbed.toml`, and its files; none of one that was not packed.
    pub(super) packed: Option<(String, Manifest)>,
    pub(super) credentials: Credentials,
    pub(super) error_pages: ErrorPages<PageText>,
    pub(super) by: Option<String>,
    pub(super) restores: Option<u64>,
}

/// Begins to roll `candidate` out, unless `obstacle` finds something in what is desired now.
pub(super) async fn begin(
    context: &Context,
    candidate: Candidate,
    obstacle: impl Fn(Option<&Current>) -> Option<ApiError>,
) -> Result<DeployAnswer, ApiError> {
    let name = candidate.app.name.clone();
    // Before much is written in vain.
    if let Some(error) = obstacle(current(context, &name).await?.as_ref()) {
        return Err(error);
    }
    let _in_use = context.files.in_use.read().await;
    let (files, mut unpacked) = match &candidate.packed {
        Some((source, manifest)) => {
            let (files, unpacked) = unpack(context, source.clone(), manifest.clone()).await?;
            (Some(files), Some(unpacked))
        }
        None => (None, None),
    };
    let ending = context.deploying.lock().await;
    if *ending {
        let message = "the server is ending";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
            .hint("try again in a moment; `roadbed up` starts another"));
    }
    let current = current(context, &name).await?;
    if let Some(error) = obstacle(current.as_ref()) {
        return Err(error);
    }
    if let Some(error) = taken::by_another(context, &candidate.app, &candidate.folder).await? {
        return Err(error);
    }
    let number = last_release(context, &name).await? + 1;
    if let Some(unpacked) = &mut unpacked {
        unpacked.name(&name, number)?;
    }
    let changes = changes(context, current.as_ref(), &candidate).await?;
    let now = context.clock.now();
    let desired = Desired::rolling_out(current.as_ref().map(|c| &c.desired), number, now);
    let release = Release {
        number,
        app: candidate.app,
        folder: candidate.folder,
        created: now,
        files,
        by: candidate.by,
        restores: candidate.restores,
        secrets: Default::default(),
        changes,
        error_pages: candidate.error_pages,
        root: PathBuf::new(),
    };
    write(
        context,
        current.as_ref(),
        &desired,
        &release,
        &candidate.credentials,
    )
    .await?;
    if let Some(unpacked) = unpacked {
        unpacked.keep();
    }
    let seen = |app: Option<&AppStatus>| app.is_some_and(|app| app.rollout.release >= number);
    context.until_published(&name, seen).await;
    let is_new = current.is_none_or(|current| current.desired.intent == Intent::Halted);
    Ok(DeployAnswer {
        app: name.to_string(),
        release: number,
        is_new,
    })
}

/// Unpacks what is to be run, and keeps what it is run by.
async fn unpack(
    context: &Context,
    source: String,
    manifest: Manifest,
) -> Result<(Files, Unpacked), ApiError> {
    let files = Arc::clone(&context.files);
    blocking(move || {
        let wanted = manifest.contents().into_keys();
        let missing = files.contents.missing(wanted)?;
        if let Some(first) = missing.first() {
            return Err(artifacts::ContentError::Missing(*first).into());
        }
        check_room(&files, on_disk(manifest.sizes()))?;
        let text = manifest.encode();
        files.contents.add(&[&text, source.as_bytes()])?;
        let unpacked = Unpacked::unpack(&files, &manifest)?;
        let files = Files {
            manifest: artifacts::digest_of(&text),
            source: artifacts::digest_of(source.as_bytes()),
            count: manifest.entries().len() as u64,
            bytes: manifest.sizes().sum(),
        };
        Ok((files, unpacked))
    })
    .await
}

/// What is different from the release that runs.
async fn changes(
    context: &Context,
    current: Option<&Current>,
    candidate: &Candidate,
) -> Result<Changes, ApiError> {
    let before = current.and_then(|current| current.desired.confirmed);
    let before = match before {
        Some(number) => release(context, &candidate.app.name, number).await?,
        None => None,
    };
    let Some(before) = before else {
        return Ok(Changes::default());
    };
    let mut found = Changes {
        before: Some(before.number),
        ..Changes::default()
    };
    let (Some(files), Some((source, manifest))) = (&before.files, &candidate.packed) else {
        return Ok(found);
    };
    let (of_releases, files) = (Arc::clone(&context.files), files.clone());
    let (manifest, source) = (manifest.clone(), source.clone());
    let work = move || {
        let old = of_releases.contents.manifest(files.manifest)?;
        let old_source = changes::source(&of_releases.contents, &files)?;
        Ok((
            difference(&old, &manifest).counts(),
            changes::keys(&old_source, &source),
        ))
    };
    let ((added, changed, removed), keys) = blocking(work).await?;
    found.keys = keys.into_iter().map(|change| change.key).collect();
    found.keys.truncate(changes::MOST_REMEMBERED);
    (found.added, found.changed, found.removed) = (added as u64, changed as u64, removed as u64);
    Ok(found)
}

/// Writes down that the release is to be rolled out.
async fn write(
    context: &Context,
    current: Option<&Current>,
    desired: &Desired,
    release: &Release,
    credentials: &Credentials,
) -> Result<(), ApiError> {
    let (name, number) = (&release.app.name, release.number);
    let expected = current.map_or(Expected::Absent, |current| {
        Expected::Modified(current.modified)
    });
    let encoded = encode(release);
    let files = (!credentials.is_empty()).then(|| encode(credentials));
    let size = encoded.len() + files.as_ref().map_or(0, Vec::len);
    if size > store::limits::VALUE_BYTES {
        let message = format!("{name} is too large: {} KiB once it is read", size / 1024);
        let hint = "the most is 1 MiB, its files for TLS and pages of errors among it; `env` is often \
                    what makes an app so large";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).hint(hint));
    }
    let mut transaction = Transaction::new()
        .expect(keys::desired(name), expected)
        .put(keys::release(name, number), encoded)
        .put(keys::last_release(name), encode(&number))
        .put(keys::desired(name), encode(desired));
    if let Some(files) = files {
        transaction = transaction.put(keys::credentials_of(name, number), files);
    }
    match context.store.transact(transaction).await? {
        Outcome::Committed(_) => Ok(()),
        Outcome::Conflict(_) => Err(busy(name)),
    }
}

/// What is said when something else was written at the same moment.
pub(super) fn busy(app: &AppName) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        format!("someone else changed {app} at the same moment"),
    )
    .hint(format!("look at `roadbed status {app}` and try again"))
}

/// The files for TLS of `app` as they are now; what was kept of them where they cannot be read.
pub(super) async fn credentials_or(app: &App, folder: &Path, kept: Credentials) -> Credentials {
    match super::files::read(app, folder).await {
        Ok(files) => files.credentials,
        Err(_) => kept,
    }
}
