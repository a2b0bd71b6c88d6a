//! The API: JSON over HTTP on a Unix socket that only the server's user can reach. Handlers read
//! the published status and write what is desired to the store; they never act themselves.

mod apps;
mod body;
mod changes;
mod contents;
mod errors;
mod files;
mod peer;
mod preview;
mod records;
mod releases;
mod rollback;
mod rollout;
mod server;
mod taken;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use model::AppName;
use store::Store;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;
use utoipa::OpenApi;

use crate::clock::Clock;
use crate::proxies::Registry;
use crate::releases::ReleaseFiles;
use crate::settings::Settings;
use crate::status::{AppStatus, Status};

pub use apps::{DeployAnswer, DeployRequest};
pub use changes::KeyChange;
pub use contents::{MissingAnswer, MissingRequest};
pub use errors::ApiError;
pub use files::file_obstacle;
pub(crate) use peer::Peer;
pub use preview::{PlanAnswer, RoutePlan, ServicePlan};
pub use releases::{
    PathChange, PathContent, ReleaseChanges, ReleaseDifference, ReleaseList, ReleaseState,
    ReleaseStatus,
};
pub use rollback::{CancelAnswer, RollbackAnswer, RollbackRequest};
pub use server::ShutdownRequest;

/// How long an answer waits for the status to show what was written.
const LONGEST_PUBLICATION: Duration = Duration::from_secs(5);

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock: Clock,
    /// Held from looking at what other apps claim to writing down what this one does. Holds whether
    /// the server is ending, after which nothing may be deployed.
    pub(crate) deploying: Arc<Mutex<bool>>,
    /// The connected proxies, to be asked what they counted.
    pub(crate) registry: Arc<Registry>,
    /// The files of releases.
    pub(crate) files: Arc<ReleaseFiles>,
    /// Ends the server.
    pub(crate) shutdown: mpsc::Sender<ShutdownRequest>,
}

impl Context {
    /// Waits until the published status of an app shows what was just written, so that whoever was
    /// answered never reads an older state afterwards. Where the reconciler is stuck it gives up
    /// in time: what was written stays written.
    async fn until_published(&self, app: &AppName, shows: impl Fn(Option<&AppStatus>) -> bool) {
        let mut status = self.status.clone();
        let shown = status.wait_for(|status| {
            shows(
                status
                    .apps
                    .iter()
                    .find(|candidate| candidate.app == app.as_str()),
            )
        });
        if timeout(LONGEST_PUBLICATION, shown).await.is_err() {
            tracing::warn!(%app, "the status does not show yet what was written");
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Roadbed",
        description = "The API of a Roadbed server, on the Unix socket `run/api.sock` in its home."
    ),
    paths(
        server::status,
        server::requests,
        server::shutdown,
        apps::show,
        apps::watch,
        apps::plan,
        apps::deploy,
        apps::down,
        contents::missing,
        contents::receive,
        releases::list,
        releases::diff,
        rollback::rollback,
        rollback::cancel
    ),
    components(schemas(ApiError))
)]
struct Document;

/// The OpenAPI document of all of this.
pub fn openapi_json() -> String {
    let mut text = Document::openapi()
        .to_pretty_json()
        .expect("the document has only text keys, which JSON can hold");
    text.push('\n');
    text
}

pub(crate) fn router(context: Context) -> Router {
    Router::new()
        .route("/v1/status", get(server::status))
        .route("/v1/requests", get(server::requests))
        .route("/v1/shutdown", post(server::shutdown))
        .route("/v1/apps/{app}", get(apps::show).delete(apps::down))
        .route("/v1/apps/{app}/watch", get(apps::watch))
        .route("/v1/apps/{app}/releases", get(releases::list))
        .route(
            "/v1/apps/{app}/releases/{before}/diff/{after}",
            get(releases::diff),
        )
        .route("/v1/apps/{app}/rollback", post(rollback::rollback))
        .route("/v1/apps/{app}/cancel", post(rollback::cancel))
        .route("/v1/plan", post(apps::plan))
        .merge(with_files())
        .fallback(errors::no_such_path)
        .method_not_allowed_fallback(errors::no_such_method)
        .with_state(context)
}

/// What comes with the list of a release's files, or with the files themselves.
fn with_files() -> Router<Context> {
    let lists = Router::new()
        .route("/v1/deploy", post(apps::deploy))
        .route("/v1/contents/missing", post(contents::missing))
        .layer(DefaultBodyLimit::max(contents::LONGEST_MANIFEST));
    // Read piece by piece, within limits of its own.
    let streams = Router::new()
        .route("/v1/contents", post(contents::receive))
        .layer(DefaultBodyLimit::disable());
    lists.merge(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        if std::env::var_os("ROADBED_GENERATE").is_some() {
            std::fs::write(path, openapi_json()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == openapi_json(),
            "docs/openapi.json is not current; run `cargo xtask generate`"
        );
    }
}
