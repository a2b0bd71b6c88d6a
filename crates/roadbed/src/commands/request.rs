//! An app on disk as the server is asked to run it.

use std::time::Duration;

use artifacts::Manifest;
use control::{DeployAnswer, DeployRequest, PlanAnswer};
use spec::Loaded;

use crate::api_client::{ApiClient, ApiFailure};
use crate::commands::send::send;
use crate::context::Context;
use crate::failure::Failure;

/// What the server answers where it lacks files of the release.
const LACKING: u16 = 424;
/// How often they are sent once more.
const ATTEMPTS: u32 = 3;
/// How long a server may take to unpack a release.
const LONGEST_UNPACKING: Duration = Duration::from_secs(600);

/// Asks for a release of `app` with these files, which were sent; `only_new` refuses if the app runs already.
pub(super) async fn deploy(
    client: &ApiClient,
    context: &Context,
    app: &Loaded,
    mut files: Manifest,
    only_new: bool,
) -> Result<DeployAnswer, Failure> {
    let mut attempts = 0;
    loop {
        let request = DeployRequest {
            files: Some(files),
            ..request(app, only_new)
        };
        match client
            .post_slow("/v1/deploy", &request, LONGEST_UNPACKING)
            .await
        {
            // What had been sent long ago was removed at this very moment.
            Err(ApiFailure::Refused(error)) if error.status == LACKING && attempts < ATTEMPTS => {
                attempts += 1;
                files = send(client, context, app).await?;
            }
            answer => return Ok(answer?),
        }
    }
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
        files: None,
        only_new,
    }
}
