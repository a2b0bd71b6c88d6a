//! `roadbed rollback`: back to an earlier release, and `roadbed deploy --cancel`: back from a rollout.

use std::process::ExitCode;

use control::{CancelAnswer, RollbackAnswer, RollbackRequest};
use serde_json::json;

use crate::api_client::ApiClient;
use crate::arguments::Rollback;
use crate::commands::{runtime, watched};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::print_result;
use crate::terminal::progress;

pub(crate) fn run(rollback: &Rollback, context: &Context) -> Result<ExitCode, Failure> {
    let name = &rollback.app;
    runtime()?.block_on(async {
        let client = context.client();
        let request = RollbackRequest { to: rollback.to };
        let path = format!("/v1/apps/{name}/rollback");
        let answer: RollbackAnswer = client.post(&path, &request).await?;
        let Some(release) = answer.release else {
            progress(&format!("the rollout of {name} is given up"));
            return settle(&client, name, Some(answer.to)).await;
        };
        progress(&format!(
            "rolling {name} back to release {}, as release {release}",
            answer.to
        ));
        watched::follow(&client, context, name, release).await
    })
}

/// Gives up the rollout of an app.
pub(super) async fn cancel(client: &ApiClient, name: &str) -> Result<ExitCode, Failure> {
    let path = format!("/v1/apps/{name}/cancel");
    let answer: CancelAnswer = client.post(&path, &json!({})).await?;
    let cancelled = answer.cancelled;
    progress(&format!(
        "the rollout of release {cancelled} of {name} is given up"
    ));
    settle(client, name, answer.to).await
}

/// Waits until what ran before runs alone.
async fn settle(client: &ApiClient, name: &str, to: Option<u64>) -> Result<ExitCode, Failure> {
    let settled = tokio::select! {
        settled = follow::settled(client, name) => settled?,
        _ = tokio::signal::ctrl_c() => return Err(watched::unwatched(name)),
    };
    match (to, settled) {
        (Some(_), Some(status)) => print_result(&watched::summary(&status)),
        _ => print_result(&format!("nothing of {name} runs\n")),
    }
}
