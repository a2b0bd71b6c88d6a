//! `roadbed down`: stops an app, or everything.

use std::process::ExitCode;

use control::ShutdownRequest;
use control::status::Status;
use model::AppName;
use tokio::time::{Duration, Instant, sleep};

use crate::api_client::{ApiClient, ApiFailure};
use crate::arguments::Down;
use crate::commands::runtime;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::print_result;
use crate::terminal::progress;

/// How long a server may take to end: its proxy finishes what is in flight first.
const LONGEST_END: Duration = Duration::from_secs(60);
/// The pause between two looks whether the server has ended.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn run(down: &Down, context: &Context) -> Result<ExitCode, Failure> {
    let client = context.client();
    runtime()?.block_on(async {
        match &down.app {
            Some(app) => {
                stop_app(&client, app).await?;
                print_result(&format!("{app} is down\n"))
            }
            None => {
                let status: Status = client.get("/v1/status").await?;
                for app in &status.apps {
                    stop_app(&client, &app.app).await?;
                }
                match stop_server(&client).await? {
                    true => print_result("everything is down\n"),
                    false => Err(Failure::new("another app was started meanwhile")
                        .hint("`roadbed status` lists what runs")),
                }
            }
        }
    })
}

/// Has an app stop, and waits until it has.
pub(super) async fn stop_app(client: &ApiClient, app: &str) -> Result<(), Failure> {
    AppName::new(app).map_err(|error| {
        Failure::usage(format!("{app:?} does not name an app: {error}"))
            .hint("`roadbed status` lists the apps")
    })?;
    client.delete(&format!("/v1/apps/{app}")).await?;
    progress(&format!("stopping {app}"));
    follow::gone(client, app).await
}

/// Has the server and its proxy end, and waits until they have; says no if apps still run.
pub(super) async fn stop_server(client: &ApiClient) -> Result<bool, Failure> {
    let request = ShutdownRequest { with_proxy: true };
    match client.order("/v1/shutdown", &request).await {
        Err(ApiFailure::Refused(error)) if error.status == 409 => return Ok(false),
        ordered => ordered?,
    }
    let begun = Instant::now();
    while client.is_up().await {
        if begun.elapsed() > LONGEST_END {
            return Err(Failure::new("the server does not end")
                .hint("its log, in `server-logs` of its home, says what it waits for"));
        }
        sleep(PAUSE).await;
    }
    Ok(true)
}
