//! An app on disk as the server is asked to run it.

use control::{DeployAnswer, DeployRequest, PlanAnswer};
use spec::Loaded;

use crate::api_client::{ApiClient, ApiFailure};
use crate::failure::Failure;

/// Asks for a release of `app`; `only_new` refuses if the app runs already.
pub(super) async fn deploy(
    client: &ApiClient,
    app: &Loaded,
    only_new: bool,
) -> Result<DeployAnswer, Failure> {
    Ok(client.post("/v1/deploy", &request(app, only_new)).await?)
}

/// Asks what a deploy would do.
pub(super) async fn plan(
    client: &ApiClient,
    app: &Loaded,
    only_new: bool,
) -> Result<PlanAnswer, ApiFailure> {
    client.post("/v1/plan", &request(app, only_new)).await
}

/// Fails now if the deploy would be refused later, after a build that takes minutes.
pub(super) async fn refuse_early(
    client: &ApiClient,
    app: &Loaded,
    only_new: bool,
) -> Result<(), Failure> {
    let answer = plan(client, app, only_new).await?;
    match answer.obstacle {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn request(app: &Loaded, only_new: bool) -> DeployRequest {
    DeployRequest {
        folder: app.folder.display().to_string(),
        source: app.source.clone(),
        only_new,
    }
}
