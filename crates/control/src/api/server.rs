//! The server itself: its status, and its end.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::{ApiError, Context};
use crate::status::{AppIntent, AppStatus, Status};

/// How a server should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Whether to stop the proxy too. Refused while apps run; without it apps and proxy run on.
    pub with_proxy: bool,
}

/// Everything at this moment.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(context): State<Context>) -> Json<Status> {
    Json(Status::clone(&context.status.borrow()))
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
    let runs = |app: &&AppStatus| {
        app.intent != AppIntent::Halted || app.services.iter().any(|s| !s.instances.is_empty())
    };
    let apps = context.status.borrow().apps.iter().filter(runs).count();
    if request.with_proxy && apps > 0 {
        let message = match apps {
            1 => "an app still runs behind the proxy".to_owned(),
            _ => format!("{apps} apps still run behind the proxy"),
        };
        return Err(ApiError::new(StatusCode::CONFLICT, message)
            .hint("`roadbed down APP` stops one, `roadbed down --all` everything"));
    }
    // A full channel means that the server is ending already.
    match context.shutdown.try_send(request) {
        Ok(()) | Err(_) => Ok(StatusCode::ACCEPTED),
    }
}
