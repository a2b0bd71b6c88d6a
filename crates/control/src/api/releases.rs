//! The releases of an app that are kept, and what differs between two of them.

use std::sync::Arc;

use artifacts::{FileChange, Packed, difference};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use model::{AppName, Desired, Ended, Intent, Release, RolloutState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::{self, KeyChange};
use super::contents::blocking;
use super::records::{current, release};
use super::{ApiError, Context};
use crate::state::{decode, keys};

/// The releases of an app that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseList {
    /// The app.
    pub app: String,
    /// Its releases, the newest first.
    pub releases: Vec<ReleaseStatus>,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseStatus {
    /// Its number.
    pub release: u64,
    /// What became of it.
    pub state: ReleaseState,
    /// When it was deployed, in milliseconds since 1970.
    pub created: u64,
    /// When its rollout ended, in milliseconds since 1970; absent while it goes on.
    pub ended: Option<u64>,
    /// The user who deployed it, where that is known.
    pub by: Option<String>,
    /// The folder that it was packed from.
    pub folder: String,
    /// The earlier release that it brings back, where it is a rollback.
    pub restores: Option<u64>,
    /// Why it was given up, where it was.
    pub reason: Option<String>,
    /// The release that the app went back to, or that took its place in its rollout.
    pub followed_by: Option<u64>,
    /// The SHA-256 of the list of its files; absent where it was not packed.
    pub manifest: Option<String>,
    /// How many files and links it has.
    pub files: u64,
    /// How long its files are together, in bytes.
    pub bytes: u64,
    /// What is different from the release that ran before it.
    pub changes: ReleaseChanges,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// It is being rolled out.
    RollingOut,
    /// It is what runs.
    Live,
    /// It ran until another one took its place.
    Replaced,
    /// Its rollout was given up, and the app went back to another.
    Reverted,
    /// Its rollout was given up, and nothing ran before it.
    Halted,
    /// Another one took its place in the middle of its rollout.
    Superseded,
}

impl ReleaseState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RollingOut => "rolling out",
            Self::Live => "live",
            Self::Replaced => "replaced",
            Self::Reverted => "reverted",
            Self::Halted => "halted",
            Self::Superseded => "superseded",
        }
    }
}

/// What is different from the release before, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseChanges {
    /// The release before; absent where there was none.
    pub before: Option<u64>,
    /// The keys of `roadbed.toml` whose values differ, at most 100.
    pub keys: Vec<String>,
    /// How many files are new.
    pub files_added: u64,
    /// How many have other content.
    pub files_changed: u64,
    /// How many are not there any more.
    pub files_removed: u64,
}

/// What differs between two releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseDifference {
    /// The app.
    pub app: String,
    /// The first release.
    pub before: u64,
    /// The second release.
    pub after: u64,
    /// Keys of `roadbed.toml` whose values differ, in their order.
    pub configuration: Vec<KeyChange>,
    /// Paths at which files differ, in their order.
    pub files: Vec<PathChange>,
}

/// What differs at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathChange {
    /// The path, below the app's folder.
    pub path: String,
    /// What was there; absent where nothing was.
    pub before: Option<PathContent>,
    /// What is there; absent where nothing is.
    pub after: Option<PathContent>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathContent {
    /// `file`, `link` or `folder`.
    pub kind: String,
    /// The length of a file in bytes.
    pub size: Option<u64>,
    /// Whether a file can be executed.
    pub executable: Option<bool>,
    /// What a link leads to.
    pub target: Option<String>,
}

/// The releases of an app that are kept.
#[utoipa::path(
    get, path = "/v1/apps/{app}/releases", params(("app" = String, Path,)),
    responses((status = 200, body = ReleaseList), (status = 404, body = ApiError))
)]
pub(super) async fn list(
    State(context): State<Context>,
    Path(app): Path<String>,
) -> Result<Json<ReleaseList>, ApiError> {
    let name = AppName::new(&app).map_err(|_| ApiError::no_app(&app))?;
    let Some(found) = current(&context, &name).await? else {
        return Err(ApiError::no_app(&app));
    };
    let mut releases = Vec::new();
    for entry in context.store.list(&keys::releases(&name)).await?.entries {
        let release: Release = decode(&entry.key, &entry.value)?;
        releases.push(status(&found.desired, release));
    }
    releases.reverse();
    Ok(Json(ReleaseList { app, releases }))
}

fn status(desired: &Desired, release: Release) -> ReleaseStatus {
    let number = release.number;
    let ended = desired.ended.get(&number);
    let rollout = &desired.rollout;
    let (state, at, reason, followed_by) = match ended {
        _ if rollout.release == number && rollout.state == RolloutState::Progressing => {
            (ReleaseState::RollingOut, None, None, None)
        }
        Some(Ended::Reverted { at, reason, to }) => {
            let state = match to {
                Some(_) => ReleaseState::Reverted,
                None => ReleaseState::Halted,
            };
            (state, Some(*at), Some(reason.clone()), *to)
        }
        Some(Ended::Superseded { at, by }) => {
            (ReleaseState::Superseded, Some(*at), None, Some(*by))
        }
        confirmed => {
            let at = match confirmed {
                Some(Ended::Confirmed { at }) => Some(*at),
                _ => None,
            };
            let runs = desired.confirmed == Some(number) && desired.intent != Intent::Halted;
            let state = match runs {
                true => ReleaseState::Live,
                false => ReleaseState::Replaced,
            };
            (state, at, None, None)
        }
    };
    let (files, changes) = (release.files.as_ref(), release.changes);
    ReleaseStatus {
        release: number,
        state,
        created: release.created.0,
        ended: at.map(|at| at.0),
        by: release.by,
        folder: release.folder.display().to_string(),
        restores: release.restores,
        reason,
        followed_by,
        manifest: files.map(|files| files.manifest.to_string()),
        files: files.map_or(0, |files| files.count),
        bytes: files.map_or(0, |files| files.bytes),
        changes: ReleaseChanges {
            before: changes.before,
            keys: changes.keys,
            files_added: changes.added,
            files_changed: changes.changed,
            files_removed: changes.removed,
        },
    }
}

/// What differs between two releases that are kept.
#[utoipa::path(
    get, path = "/v1/apps/{app}/releases/{before}/diff/{after}",
    params(("app" = String, Path,), ("before" = u64, Path,), ("after" = u64, Path,)),
    responses((status = 200, body = ReleaseDifference), (status = 404, body = ApiError))
)]
pub(super) async fn diff(
    State(context): State<Context>,
    Path((app, before, after)): Path<(String, u64, u64)>,
) -> Result<Json<ReleaseDifference>, ApiError> {
    let name = AppName::new(&app).map_err(|_| ApiError::no_app(&app))?;
    let mut packed = Vec::new();
    for number in [before, after] {
        let Some(found) = release(&context, &name, number).await? else {
            let message = format!("release {number} of {name} is not kept any more, or never was");
            return Err(ApiError::new(StatusCode::NOT_FOUND, message).hint(format!(
                "`roadbed releases {name}` lists those that are kept"
            )));
        };
        let Some(files) = found.files else {
            let message = format!("release {number} of {name} was not packed");
            return Err(ApiError::new(StatusCode::CONFLICT, message)
                .hint("it was deployed by an earlier Roadbed; what is deployed now is packed"));
        };
        packed.push(files);
    }
    let of_releases = Arc::clone(&context.files);
    let work = move || {
        let contents = &of_releases.contents;
        let [old, new] = &packed[..] else {
            return Ok((Vec::new(), Vec::new()));
        };
        let sources = [old, new].map(|files| changes::source(contents, files));
        let [old_source, new_source] = sources;
        let files = difference(
            &contents.manifest(old.manifest)?,
            &contents.manifest(new.manifest)?,
        );
        let files: Vec<PathChange> = files.0.into_iter().map(PathChange::from).collect();
        Ok((changes::keys(&old_source?, &new_source?), files))
    };
    let (configuration, files) = blocking(work).await?;
    Ok(Json(ReleaseDifference {
        app,
        before,
        after,
        configuration,
        files,
    }))
}

impl From<FileChange> for PathChange {
    fn from(change: FileChange) -> Self {
        Self {
            path: change.path.to_string(),
            before: change.before.map(PathContent::from),
            after: change.after.map(PathContent::from),
        }
    }
}

impl From<Packed> for PathContent {
    fn from(packed: Packed) -> Self {
        let nothing = Self {
            kind: "folder".into(),
            size: None,
            executable: None,
            target: None,
        };
        match packed {
            Packed::Folder => nothing,
            Packed::Link { target } => Self {
                kind: "link".into(),
                target: Some(target),
                ..nothing
            },
            Packed::File {
                size, executable, ..
            } => Self {
                kind: "file".into(),
                size: Some(size),
                executable: Some(executable),
                ..nothing
            },
        }
    }
}
