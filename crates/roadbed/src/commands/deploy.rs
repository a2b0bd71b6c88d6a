//! `roadbed deploy`: a new release of an app that runs, or a first one on a running server.

use std::process::ExitCode;

use control::status::AppStatus;

use crate::api_client::ApiClient;
use crate::arguments::Deploy;
use crate::commands::send::send;
use crate::commands::status::MOST_ROUTES;
use crate::commands::{build, request, rollback, runtime};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::print_result;
use crate::terminal::progress;

pub(crate) fn run(deploy: &Deploy, context: &Context) -> Result<ExitCode, Failure> {
    let app = spec::load(&deploy.app.path)?;
    let name = app.app.name.to_string();
    runtime()?.block_on(async {
        let client = context.client();
        if deploy.cancel {
            return rollback::cancel(&client, &name).await;
        }
        progress(&format!("deploying {name} from {}", app.folder.display()));
        request::refuse_early(&client, &app, false).await?;
        build::run(&app).await?;
        let files = send(&client, context, &app).await?;
        let answer = request::deploy(&client, context, &app, files, false).await?;
        progress(&format!("rolling out release {}", answer.release));
        follow(&client, context, &name, answer.release).await
    })
}

/// Follows a rollout to its end, or until it is not to be watched any more.
pub(super) async fn follow(
    client: &ApiClient,
    context: &Context,
    name: &str,
    release: u64,
) -> Result<ExitCode, Failure> {
    let status = tokio::select! {
        status = follow::rollout(client, &context.home, name, release) => status?,
        _ = tokio::signal::ctrl_c() => return Err(unwatched(name)),
    };
    print_result(&summary(&status))
}

/// What is said when nobody watches any more.
pub(super) fn unwatched(name: &str) -> Failure {
    Failure::new(format!(
        "what was begun with {name} goes on without being watched"
    ))
    .hint(format!(
        "`roadbed status {name}` shows how far it is, `roadbed deploy --cancel` gives a rollout up"
    ))
}

/// What is up, and where.
pub(super) fn summary(status: &AppStatus) -> String {
    let mut text = format!("{} is up at release {}\n", status.app, status.release);
    for service in &status.services {
        if let Some(url) = &service.url {
            text.push_str(&format!("  {}  {url}\n", service.service));
        }
    }
    for route in status.routes.iter().take(MOST_ROUTES) {
        if let Some(url) = &route.url {
            text.push_str(&format!("  {url} to {}\n", route.leads_to));
        }
    }
    text
}
