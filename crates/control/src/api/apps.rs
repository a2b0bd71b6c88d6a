//! Apps: what runs, what a deploy would do, deploying, going down.

use std::path::{Path as FilePath, PathBuf};

use artifacts::Manifest;
use axum::Json;
use axum::body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{App, AppName, Intent, RolloutState};
use serde::{Deserialize, Serialize};
use store::{Expected, Outcome, Transaction};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use utoipa::ToSchema;

use super::body::Body;
use super::peer::Peer;
use super::records::{Current, current, release};
use super::rollout::{Candidate, begin, busy};
use super::{ApiError, Context, PlanAnswer, files, taken};
use crate::state::{encode, keys};
use crate::status::{AppIntent, AppStatus, Status};

/// An app to deploy, as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The app's folder, absolute.
    pub folder: String,
    /// The text of its `roadbed.toml`.
    pub source: String,
    /// Its files: what is at each path, as `{"kind": "file", "digest": SHA-256, "size": bytes,
    /// "executable": bool, "modified": nanoseconds since 1970}`, `{"kind": "link", "target": text}`
    /// or, for a folder with nothing in it, `{"kind": "folder"}`. Their contents have to be on the
    /// server already. Not needed for a plan.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub files: Option<Manifest>,
    /// Refuse if the app runs already.
    #[serde(default)]
    pub only_new: bool,
}

/// What a deploy has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployAnswer {
    /// The app.
    pub app: String,
    /// Its new release, which is being rolled out.
    pub release: u64,
    /// Whether the app was not there before.
    pub is_new: bool,
}

/// How often going down is tried when something else is written at the same moment.
const DOWN_ATTEMPTS: u32 = 10;

/// One app at this moment. The proxies are asked as for the status of everything.
#[utoipa::path(
    get, path = "/v1/apps/{app}", params(("app" = String, Path,)),
    responses((status = 200, body = AppStatus), (status = 404, body = ApiError))
)]
pub(super) async fn show(
    State(context): State<Context>,
    Path(app): Path<String>,
) -> Result<Json<AppStatus>, ApiError> {
    let counted = context.registry.counting.ask().await;
    let mut found = find(&context.status.borrow(), &app).ok_or_else(|| ApiError::no_app(&app))?;
    found.add(&counted);
    Ok(Json(found))
}

/// One app now and whenever it changes, as lines of JSON; `null` once it is gone.
#[utoipa::path(
    get, path = "/v1/apps/{app}/watch", params(("app" = String, Path,)),
    responses((status = 200, body = AppStatus, content_type = "application/x-ndjson"))
)]
pub(super) async fn watch(State(context): State<Context>, Path(app): Path<String>) -> Response {
    let mut last = None;
    let changes = WatchStream::new(context.status.clone()).filter_map(move |status| {
        let now = find(&status, &app);
        let changed = last.as_ref() != Some(&now);
        changed.then(|| {
            let mut line = encode(&now);
            line.push(b'\n');
            last = Some(now);
            Ok::<_, std::convert::Infallible>(line)
        })
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        body::Body::from_stream(changes),
    )
        .into_response()
}

fn find(status: &Status, app: &str) -> Option<AppStatus> {
    status
        .apps
        .iter()
        .find(|candidate| candidate.app == app)
        .cloned()
}

/// What a deploy would do, without doing it.
#[utoipa::path(
    post, path = "/v1/plan", request_body = DeployRequest,
    responses((status = 200, body = PlanAnswer), (status = 422, body = ApiError))
)]
pub(super) async fn plan(
    State(context): State<Context>,
    Body(request): Body<DeployRequest>,
) -> Result<Json<PlanAnswer>, ApiError> {
    let app = parse(&request).await?;
    let current = current(&context, &app.name).await?;
    let running = match &current {
        Some(current) if current.desired.intent == Intent::Halted => None,
        Some(current) => release(&context, &app.name, current.desired.target).await?,
        None => None,
    };
    let obstacle = match obstacle(current.as_ref(), &app, &request) {
        Some(error) => Some(error),
        None => taken::by_another(&context, &app, folder(&request)).await?,
    };
    let obstacle = match obstacle {
        Some(error) => Some(error),
        None => files::obstacle(&app, folder(&request)).await?,
    };
    let running = running
        .as_ref()
        .map(|release| (release.number, &release.app));
    Ok(Json(PlanAnswer::new(
        running,
        &app,
        context.settings.edge,
        obstacle,
    )))
}

/// Begins to roll out a new release.
#[utoipa::path(
    post, path = "/v1/deploy", request_body = DeployRequest,
    responses(
        (status = 202, body = DeployAnswer),
        (status = 409, body = ApiError, description = "Something else is going on."),
        (status = 422, body = ApiError, description = "The app is not valid, or files that it names cannot be used."),
        (status = 424, body = ApiError, description = "Contents of its files are not on the server."),
        (status = 503, body = ApiError, description = "The server is ending."),
        (status = 507, body = ApiError, description = "The server's disk is full.")
    )
)]
pub(super) async fn deploy(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Body(request): Body<DeployRequest>,
) -> Result<(StatusCode, Json<DeployAnswer>), ApiError> {
    let app = parse(&request).await?;
    let Some(manifest) = request.files.clone() else {
        let message = "it is not said what files the release has";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
            .hint("`files` is empty only in POST /v1/plan"));
    };
    let files = files::read(&app, folder(&request)).await;
    let obstacle = |current: Option<&Current>| obstacle(current, &app, &request);
    // What is in the way comes first: it may be why files cannot be read.
    if let Some(error) = obstacle(current(&context, &app.name).await?.as_ref()) {
        return Err(error);
    }
    let files::Files {
        credentials,
        error_pages,
    } = files?;
    let candidate = Candidate {
        app: app.clone(),
        folder: PathBuf::from(&request.folder),
        packed: Some((request.source.clone(), manifest)),
        credentials,
        error_pages,
        by: peer.name(),
        restores: None,
    };
    let begun = begin(&context, candidate, obstacle).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// Begins to stop an app.
#[utoipa::path(
    delete, path = "/v1/apps/{app}", params(("app" = String, Path,)),
    responses((status = 202), (status = 404, body = ApiError), (status = 409, body = ApiError))
)]
pub(super) async fn down(
    State(context): State<Context>,
    Path(app): Path<String>,
) -> Result<StatusCode, ApiError> {
    let name = AppName::new(&app).map_err(|_| ApiError::no_app(&app))?;
    // Whatever the reconciler writes at the same moment, the app goes down.
    for _ in 0..DOWN_ATTEMPTS {
        let Some(Current {
            mut desired,
            modified,
        }) = current(&context, &name).await?
        else {
            return Err(ApiError::no_app(&app));
        };
        desired.intent = Intent::Down;
        let transaction = Transaction::new()
            .expect(keys::desired(&name), Expected::Modified(modified))
            .put(keys::desired(&name), encode(&desired));
        if let Outcome::Committed(_) = context.store.transact(transaction).await? {
            let seen =
                |app: Option<&AppStatus>| app.is_none_or(|app| app.intent == AppIntent::Down);
            context.until_published(&name, seen).await;
            return Ok(StatusCode::ACCEPTED);
        }
    }
    Err(busy(&name))
}

/// The request's app. The command line has shown every problem already; who calls the API
/// directly gets them as text.
async fn parse(request: &DeployRequest) -> Result<App, ApiError> {
    let unprocessable = |message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message);
    let folder = FilePath::new(&request.folder);
    let found = tokio::fs::metadata(folder).await;
    if !folder.is_absolute() || !found.is_ok_and(|found| found.is_dir()) {
        return Err(unprocessable(format!(
            "{:?} is not the absolute path of a folder",
            folder
        )));
    }
    spec::parse("roadbed.toml", &request.source)
        .map_err(|problems| unprocessable(problems.render(false)))
}

fn folder(request: &DeployRequest) -> &FilePath {
    FilePath::new(&request.folder)
}

/// Why this app cannot be deployed now, as far as it itself is concerned.
fn obstacle(current: Option<&Current>, app: &App, request: &DeployRequest) -> Option<ApiError> {
    let Current { desired, .. } = current?;
    let conflict = |message: String| ApiError::new(StatusCode::CONFLICT, message);
    let name = &app.name;
    if desired.intent == Intent::Down {
        return Some(conflict(format!("{name} is going down")).hint(format!(
            "try again when `roadbed status {name}` does not list it any more"
        )));
    }
    if desired.rollout.state == RolloutState::Progressing {
        let release = desired.rollout.release;
        return Some(
            conflict(format!("release {release} of {name} is being rolled out")).hint(format!(
                "`roadbed status {name}` shows how far it is, `roadbed deploy --cancel` gives it \
                     up, and `roadbed rollback {name}` goes back"
            )),
        );
    }
    if desired.intent == Intent::Halted {
        return None;
    }
    let running = desired.target;
    request.only_new.then(|| {
        conflict(format!("{name} is up already, at release {running}"))
            .hint("`roadbed deploy` replaces it by a new release")
    })
}
