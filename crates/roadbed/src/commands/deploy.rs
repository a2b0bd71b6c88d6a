//! `roadbed deploy`: a new release of an app that runs, or a first one on a running server.

use std::process::ExitCode;

use crate::arguments::Deploy;
use crate::commands::send::send;
use crate::commands::watched::follow;
use crate::commands::{build, request, rollback, runtime};
use crate::context::Context;
use crate::failure::Failure;
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
