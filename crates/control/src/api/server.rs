//! The server itself: its status, and its end.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::{Desired, Intent};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::{ApiError, Context};
use crate::requests::Requests;
use crate::state::{decode, keys};
use crate::status::{AppStatus, Status};

/// How a server should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Whether to stop the proxy too. Refused while apps run; without it apps and proxy run on.
    pub with_proxy: bool,
}

/// Everything at this moment. The proxies are asked what they counted, for at most half a second.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(context): State<Context>) -> Json<Status> {
    let counted = context.registry.counting.ask().await;
    let mut status = Status::clone(&context.status.borrow());
    status.add(&counted);
    Json(status)
}

/// What became of requests until this moment, in numbers that only grow.
#[utoipa::path(get, path = "/v1/requests", responses((status = 200, body = Requests)))]
pub(super) async fn requests(State(context): State<Context>) -> Json<Requests> {
    Json(Requests::from(&context.registry.counting.ask().await))
}

/// Ends the server.
#[utoipa::path(
    post, path = "/v1/shutdown", request_body = ShutdownRequest,
    responses((status = 202), (status = 409, body = ApiError, description = "Apps still run."))
)]
pub(super) async fn shutdown(
    State(context): State<Context>,
    Body(request): Body<ShutdownRequest>,
) -> Result<StatusCode, ApiError> {
    let mut ending = context.deploying.lock().await;
    let apps = running_apps(&context).await?;
    if request.with_proxy && apps > 0 {
        let message = match apps {
            1 => "an app still runs behind the proxy".to_owned(),
            _ => format!("{apps} apps still run behind the proxy"),
        };
        return Err(ApiError::new(StatusCode::CONFLICT, message)
            .hint("`roadbed down APP` stops one, `roadbed down --all` everything"));
    }
    *ending = true;
    // A full channel means that the server is ending already.
    match context.shutdown.try_send(request) {
        Ok(()) | Err(_) => Ok(StatusCode::ACCEPTED),
    }
}

/// How many apps should run or still do. The store tells of what was deployed this very moment, and
/// the status of what has not quite stopped.
async fn running_apps(context: &Context) -> Result<usize, ApiError> {
    let mut apps = BTreeSet::new();
    for entry in context.store.list(keys::DESIRED).await?.entries {
        let desired: Desired = decode(&entry.key, &entry.value)?;
        if desired.intent != Intent::Halted {
            apps.insert(entry.key[keys::DESIRED.len()..].to_owned());
        }
    }
    let status = context.status.borrow();
    let still = |app: &&AppStatus| app.services.iter().any(|s| !s.instances.is_empty());
    apps.extend(status.apps.iter().filter(still).map(|app| app.app.clone()));
    Ok(apps.len())
}
