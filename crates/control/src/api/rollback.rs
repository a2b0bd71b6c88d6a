//! Going back: to an earlier release, and from a rollout that has not ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use model::{AppName, Failure, Intent, Release, RolloutState};
use serde::{Deserialize, Serialize};
use store::{Expected, Outcome, Transaction};
use utoipa::ToSchema;

use super::body::Body;
use super::contents::blocking;
use super::peer::Peer;
use super::records::{Current, credentials, current, release};
use super::rollout::{Candidate, begin, busy, credentials_or};
use super::{ApiError, Context, changes};
use crate::state::{encode, keys};
use crate::status::{AppStatus, RolloutPhase};

/// Where to go back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The number of a release that is kept; without it the one that ran before.
    #[serde(default)]
    pub to: Option<u64>,
}

/// What a rollback has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollbackAnswer {
    /// The app.
    pub app: String,
    /// The release whose files and declaration it goes back to.
    pub to: u64,
    /// The new release that has them. There is none where a rollout was given up instead, and
    /// what ran before it goes on running.
    pub release: Option<u64>,
}

/// What became of a rollout that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancelAnswer {
    /// The app.
    pub app: String,
    /// The release whose rollout was given up.
    pub cancelled: u64,
    /// The release that goes on running; nothing runs if there was none before.
    pub to: Option<u64>,
}

/// How often a rollout is given up when something else is written at the same moment.
const ATTEMPTS: u32 = 10;

/// Goes back to an earlier release: its files and its declaration together. While a rollout goes on,
/// it takes the place of that.
#[utoipa::path(
    post, path = "/v1/apps/{app}/rollback", params(("app" = String, Path,)),
    request_body = RollbackRequest,
    responses(
        (status = 202, body = RollbackAnswer),
        (status = 404, body = ApiError, description = "No such app, or the release is not kept."),
        (status = 409, body = ApiError, description = "There is nothing to go back to."),
        (status = 507, body = ApiError, description = "The server's disk has no room for it.")
    )
)]
pub(super) async fn rollback(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(app): Path<String>,
    Body(RollbackRequest { to }): Body<RollbackRequest>,
) -> Result<(StatusCode, Json<RollbackAnswer>), ApiError> {
    let name = AppName::new(&app).map_err(|_| ApiError::no_app(&app))?;
    let Some(found) = current(&context, &name).await? else {
        return Err(ApiError::no_app(&app));
    };
    let wanted = to;
    let to = goal(&name, &found, wanted)?;
    let answer = |release| RollbackAnswer {
        app: name.to_string(),
        to,
        release,
    };
    if is_given_up(&found, to) {
        give_up(&context, &name, &peer, "rolled back").await?;
        return Ok((StatusCode::ACCEPTED, Json(answer(None))));
    }
    let Some(kept) = release(&context, &name, to).await? else {
        let message = format!("release {to} of {name} is not kept any more, or never was");
        return Err(ApiError::new(StatusCode::NOT_FOUND, message).hint(format!(
            "`roadbed releases {name}` lists those that are kept"
        )));
    };
    let candidate = candidate(&context, kept, peer.name()).await?;
    // What was decided above has to be what would be decided by then.
    let obstacle = |now: Option<&Current>| match now {
        None => Some(ApiError::no_app(name.as_str())),
        Some(now) => match goal(&name, now, wanted) {
            Ok(goal) if goal == to && !is_given_up(now, to) => None,
            Ok(_) => Some(busy(&name)),
            Err(error) => Some(error),
        },
    };
    let begun = begin(&context, candidate, obstacle).await?;
    Ok((StatusCode::ACCEPTED, Json(answer(Some(begun.release)))))
}

/// Whether to go back to `to` is to give up the rollout that goes on.
fn is_given_up(found: &Current, to: u64) -> bool {
    let desired = &found.desired;
    desired.rollout.state == RolloutState::Progressing && desired.confirmed == Some(to)
}

/// The release to go back to.
fn goal(name: &AppName, found: &Current, to: Option<u64>) -> Result<u64, ApiError> {
    let desired = &found.desired;
    let conflict = |message: String| ApiError::new(StatusCode::CONFLICT, message);
    let list = format!("`roadbed releases {name}` lists those that are kept");
    if desired.intent == Intent::Down {
        return Err(conflict(format!("{name} is going down")).hint(format!(
            "`roadbed up` starts it again when `roadbed status {name}` does not list it any more"
        )));
    }
    let progressing = desired.rollout.state == RolloutState::Progressing;
    let runs = desired.target;
    match to {
        Some(to) if !progressing && to == runs && desired.intent == Intent::Run => Err(conflict(format!(
            "release {to} of {name} is what runs"
        ))
        .hint(list)),
        Some(to) if progressing && to == runs => Err(conflict(format!(
            "release {to} of {name} is being rolled out"
        ))
        .hint(format!("`roadbed status {name}` shows how far it is"))),
        Some(to) => Ok(to),
        None if progressing => desired.confirmed.ok_or_else(|| {
            let message = format!(
                "there is nothing to go back to: no release of {name} ran before release {}",
                desired.rollout.release
            );
            conflict(message).hint(format!("`roadbed down {name}` stops it"))
        }),
        None => desired.ran_before().ok_or_else(|| {
            conflict(format!(
                "there is nothing to go back to: no release of {name} that is kept ran before this one"
            ))
            .hint(list)
        }),
    }
}

/// What brings `kept` back.
async fn candidate(
    context: &Context,
    kept: Release,
    by: Option<String>,
) -> Result<Candidate, ApiError> {
    let packed = match kept.files.clone() {
        None => None,
        Some(files) => {
            let of_releases = Arc::clone(&context.files);
            let work = move || {
                let manifest = of_releases.contents.manifest(files.manifest)?;
                Ok((changes::source(&of_releases.contents, &files)?, manifest))
            };
            Some(blocking(work).await?)
        }
    };
    let of_then = credentials(context, &kept.app.name, kept.number).await?;
    // Certificates are renewed without a deploy: those of then may have expired.
    let credentials = credentials_or(&kept.app, &kept.folder, of_then).await;
    Ok(Candidate {
        app: kept.app,
        folder: kept.folder,
        packed,
        credentials,
        error_pages: kept.error_pages,
        by,
        restores: Some(kept.restores.unwrap_or(kept.number)),
    })
}

/// Gives up the rollout that goes on. What ran before it goes on running.
#[utoipa::path(
    post, path = "/v1/apps/{app}/cancel", params(("app" = String, Path,)),
    responses(
        (status = 202, body = CancelAnswer),
        (status = 404, body = ApiError),
        (status = 409, body = ApiError, description = "No rollout goes on.")
    )
)]
pub(super) async fn cancel(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(app): Path<String>,
) -> Result<(StatusCode, Json<CancelAnswer>), ApiError> {
    let name = AppName::new(&app).map_err(|_| ApiError::no_app(&app))?;
    let answer = give_up(&context, &name, &peer, "cancelled").await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

async fn give_up(
    context: &Context,
    name: &AppName,
    peer: &Peer,
    what: &str,
) -> Result<CancelAnswer, ApiError> {
    let by = peer.name().map(|name| format!(" by {name}"));
    let message = format!("{what}{}", by.unwrap_or_default());
    for _ in 0..ATTEMPTS {
        let Some(Current {
            mut desired,
            modified,
        }) = current(context, name).await?
        else {
            return Err(ApiError::no_app(name.as_str()));
        };
        if desired.rollout.state != RolloutState::Progressing || desired.intent != Intent::Run {
            let message = format!("no rollout of {name} goes on");
            return Err(ApiError::new(StatusCode::CONFLICT, message).hint(format!(
                "`roadbed rollback {name}` goes back to the release before"
            )));
        }
        let failure = Failure {
            service: None,
            instance: None,
            message: message.clone(),
            exit: None,
        };
        let cancelled = desired.rollout.release;
        desired.abandon(failure, context.clock.now());
        let transaction = Transaction::new()
            .expect(keys::desired(name), Expected::Modified(modified))
            .put(keys::desired(name), encode(&desired));
        if let Outcome::Committed(_) = context.store.transact(transaction).await? {
            let seen = |app: Option<&AppStatus>| {
                app.is_none_or(|app| app.rollout.state != RolloutPhase::Progressing)
            };
            context.until_published(name, seen).await;
            return Ok(CancelAnswer {
                app: name.to_string(),
                cancelled,
                to: desired.confirmed,
            });
        }
    }
    Err(busy(name))
}
