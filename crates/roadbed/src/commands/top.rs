//! `roadbed top`: what happens right now, service by service.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use control::status::Status;
use serde::Serialize;

use crate::arguments::Top;
use crate::commands::runtime;
use crate::commands::top_frame::Picture;
use crate::commands::top_live;
use crate::commands::top_look::look;
use crate::commands::top_view::{Row, picture, rows};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Reader, print};

/// What `--json` prints for an interval.
#[derive(Serialize)]
struct Interval<'a> {
    seconds: f64,
    /// Connections that clients have open; absent where no proxy says so.
    connections: Option<u64>,
    services: &'a [Row],
}

pub(crate) fn run(top: &Top, context: &Context) -> Result<ExitCode, Failure> {
    // Pictures one below the other are of use to nobody.
    let is_live = std::io::stdout().is_terminal() && !top.once && !top.json;
    let goes_on = top.json && !top.once;
    runtime()?.block_on(async {
        let client = context.client();
        let mut before = look(&client).await?;
        if is_live {
            return top_live::run(top, &client, before).await;
        }
        loop {
            tokio::time::sleep(top.interval).await;
            let status: Status = client.get("/v1/status").await?;
            let after = look(&client).await?;
            let interval = after.at - before.at;
            let rows = rows(&status, &before.requests, &after.requests, interval);
            let text = match top.json {
                true => json(&rows, &status, interval)?,
                false => text(&picture(&rows, &status, interval)),
            };
            if print(&text)? == Reader::Gone || !goes_on {
                return Ok(ExitCode::SUCCESS);
            }
            before = after;
        }
    })
}

fn json(rows: &[Row], status: &Status, interval: Duration) -> Result<String, Failure> {
    let interval = Interval {
        seconds: interval.as_secs_f64(),
        connections: status.server.connections,
        services: rows,
    };
    let text = serde_json::to_string(&interval);
    let text = text.map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
    Ok(text + "\n")
}

/// A picture as it is where there is no end of room.
fn text(picture: &Picture) -> String {
    let Picture {
        summary,
        columns,
        services,
    } = picture;
    let lines = [summary.as_str(), "", columns].into_iter();
    let lines = lines.chain(services.iter().map(String::as_str));
    lines.map(|line| format!("{line}\n")).collect()
}
