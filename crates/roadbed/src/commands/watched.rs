//! A rollout as the commands that begin one follow it, and what they say of its end.

use std::process::ExitCode;

use control::status::AppStatus;

use crate::api_client::ApiClient;
use crate::commands::status::MOST_ROUTES;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::print_result;

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
