//! `roadbed deploy`: a new release of an app that runs, or a first one on a running server.

use std::process::ExitCode;

use control::status::AppStatus;

use crate::arguments::Deploy;
use crate::commands::status::MOST_ROUTES;
use crate::commands::{build, request, runtime};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::print_result;
use crate::terminal::progress;

pub(crate) fn run(deploy: &Deploy, context: &Context) -> Result<ExitCode, Failure> {
    let app = spec::load(&deploy.app.path)?;
    let name = app.app.name.to_string();
    progress(&format!("deploying {name} from {}", app.folder.display()));
    runtime()?.block_on(async {
        let client = context.client();
        request::refuse_early(&client, &app, false).await?;
        build::run(&app).await?;
        let answer = request::deploy(&client, &app, false).await?;
        progress(&format!("rolling out release {}", answer.release));
        let following = follow::rollout(&client, &context.home, &name, answer.release);
        let status = tokio::select! {
            status = following => status?,
            _ = tokio::signal::ctrl_c() => {
                let message = format!("release {} of {name} goes on without being watched", answer.release);
                return Err(Failure::new(message).hint(format!("`roadbed status {name}` shows how far it is")));
            }
        };
        print_result(&summary(&status))
    })
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
