//! The files of releases on their way to the server: which it lacks, and taking them.

use std::path::Path;
use std::sync::Arc;

use artifacts::transfer::{Piece, Receiver, TransferError};
use artifacts::{ContentError, Contents, Manifest, free_space, on_disk};
use axum::Json;
use axum::body::Body as Content;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use utoipa::ToSchema;

use super::body::Body;
use super::{ApiError, Context};
use crate::releases::ReleaseFiles;

/// The longest list of files that is read, in bytes: as many as a release may have, with long paths.
pub(super) const LONGEST_MANIFEST: usize = 64 << 20;

/// Pieces that are read ahead of the disk.
const PIECES_AHEAD: usize = 16;

/// The files of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingRequest {
    /// What is at each path, as in `DeployRequest`.
    #[schema(value_type = Object)]
    pub files: Manifest,
}

/// What has to be sent before a release with these files can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingAnswer {
    /// The SHA-256 of each content that the server lacks.
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<model::Digest>,
}

/// Which contents of a release the server lacks. It is refused if the disk has no room for it.
#[utoipa::path(
    post, path = "/v1/contents/missing", request_body = MissingRequest,
    responses(
        (status = 200, body = MissingAnswer),
        (status = 507, body = ApiError, description = "The server's disk has no room for it.")
    )
)]
pub(super) async fn missing(
    State(context): State<Context>,
    Body(MissingRequest { files }): Body<MissingRequest>,
) -> Result<Json<MissingAnswer>, ApiError> {
    let of_releases = Arc::clone(&context.files);
    let missing = blocking(move || {
        let contents = files.contents();
        let missing = of_releases.contents.missing(contents.keys().copied())?;
        let sent = missing.iter().filter_map(|digest| contents.get(digest));
        let needed = on_disk(sent.copied()) + on_disk(files.sizes());
        check_room(&of_releases, needed)?;
        Ok(missing)
    });
    Ok(Json(MissingAnswer {
        missing: missing.await?.into_iter().collect(),
    }))
}

/// Refuses what the disk has no room for, before anything is written.
pub(super) fn check_room(files: &ReleaseFiles, needed: u64) -> Result<(), ApiError> {
    let home = files.home.path();
    let free = free_space(home).map_err(|error| ContentError::Disk(home.to_owned(), error))?;
    if needed <= free {
        return Ok(());
    }
    // Room that is made soon helps the next attempt.
    files.collect.notify_one();
    let message = format!(
        "no space left for the release: it needs {} on the disk of {}, which has {} left",
        size(needed),
        home.display(),
        size(free)
    );
    Err(no_room(message))
}

fn no_room(message: String) -> ApiError {
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, message).hint(
        "free some space on that disk, or have the server keep fewer releases, and try again; \
         nothing was changed",
    )
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    let tenths = u128::from(bytes) * 10 / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// Takes contents: for each a line of its SHA-256, a space and its length in bytes, and then the
/// content itself. Each is there whole or not at all.
#[utoipa::path(
    post, path = "/v1/contents",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 204),
        (status = 400, body = ApiError, description = "What was sent is not what it is said to be."),
        (status = 507, body = ApiError, description = "The server's disk is full.")
    )
)]
pub(super) async fn receive(
    State(context): State<Context>,
    content: Content,
) -> Result<StatusCode, ApiError> {
    let (pieces, mut coming) = mpsc::channel::<Vec<u8>>(PIECES_AHEAD);
    let files = Arc::clone(&context.files);
    // What was taken is spared by who collects for a while, so nothing is held for it.
    let taking = tokio::task::spawn_blocking(move || take(&files.contents, &mut coming));
    let mut content = content.into_data_stream();
    let mut cut = None;
    while let Some(piece) = content.next().await {
        match piece {
            // Once it is refused the rest is read all the same: who writes does not listen.
            Ok(piece) => drop(pieces.send(piece.into()).await),
            Err(error) => {
                cut = Some(error.to_string());
                break;
            }
        }
    }
    drop(pieces);
    let taken = taking.await.map_err(ended)?;
    match cut {
        Some(error) => Err(ApiError::new(StatusCode::BAD_REQUEST, error)),
        None => taken.map(|()| StatusCode::NO_CONTENT),
    }
}

fn take(contents: &Contents, coming: &mut mpsc::Receiver<Vec<u8>>) -> Result<(), ApiError> {
    let mut batch = contents.batch()?;
    let mut receiver = Receiver::default();
    while let Some(bytes) = coming.blocking_recv() {
        receiver.take(&bytes, |piece| {
            match piece {
                Piece::Begin(digest) => batch.begin(digest)?,
                Piece::Content(content) => batch.write(content)?,
                Piece::End => batch.end()?,
            }
            Ok::<(), ApiError>(())
        })?;
    }
    receiver.end()?;
    Ok(batch.commit()?)
}

/// Does something that waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

fn ended(error: tokio::task::JoinError) -> ApiError {
    let message = format!("the files of the release could not be kept: {error}");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

impl From<TransferError> for ApiError {
    fn from(error: TransferError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<ContentError> for ApiError {
    fn from(error: ContentError) -> Self {
        if error.is_no_space() {
            return no_room(format!("no space left for the release: {error}"));
        }
        let status = match &error {
            ContentError::Missing(_) => StatusCode::FAILED_DEPENDENCY,
            ContentError::NotAsSaid(_) => StatusCode::BAD_REQUEST,
            ContentError::Disk(..) | ContentError::Spoilt(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = match &error {
            ContentError::Missing(_) => "send it first: POST /v1/contents",
            ContentError::NotAsSaid(_) => "deploy again when nothing writes to the app's folder",
            ContentError::Disk(path, _) => {
                return Self::new(status, error.to_string()).hint(format!(
                    "look at the permissions and the disk of {}",
                    path.parent().unwrap_or(Path::new("/")).display()
                ));
            }
            ContentError::Spoilt(_) => {
                "the disk may be failing: remove that file below `artifacts/contents` in the \
                 server's home, and deploy again"
            }
        };
        Self::new(status, error.to_string()).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_people_read() {
        let shown = [0, 1023, 40 << 10, (3 << 20) + (1 << 19), 5 << 30].map(size);
        assert_eq!(
            shown,
            ["0.0 KiB", "0.9 KiB", "40.0 KiB", "3.5 MiB", "5.0 GiB"]
        );
    }
}
