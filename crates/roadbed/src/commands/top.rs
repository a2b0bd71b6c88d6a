//! `roadbed top`: what happens right now, service by service.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use control::requests::Requests;
use control::status::Status;
use serde::Serialize;

use crate::api_client::ApiClient;
use crate::arguments::Top;
use crate::commands::runtime;
use crate::commands::top_view::{Row, render, rows};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Reader, print};

/// Moves to the first line of a terminal and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";
/// Clears a terminal before the first picture.
const CLEAR_ALL: &str = "\x1b[2J";

/// What `--json` prints for an interval.
#[derive(Serialize)]
struct Interval<'a> {
    seconds: f64,
    /// Connections that clients have open; absent where no proxy says so.
    connections: Option<u64>,
    services: &'a [Row],
}

/// What became of requests until a moment.
struct Look {
    at: Instant,
    requests: Requests,
}

pub(crate) fn run(top: &Top, context: &Context) -> Result<ExitCode, Failure> {
    // Pictures one below the other are of use to nobody.
    let is_live = std::io::stdout().is_terminal() && !top.once && !top.json;
    let goes_on = is_live || top.json && !top.once;
    runtime()?.block_on(async {
        let client = context.client();
        let mut before = look(&client).await?;
        if is_live && print(CLEAR_ALL)? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            tokio::time::sleep(top.interval).await;
            let status: Status = client.get("/v1/status").await?;
            let after = look(&client).await?;
            let interval = after.at - before.at;
            let rows = rows(&status, &before.requests, &after.requests, interval);
            let text = match top.json {
                true => json(&rows, &status, interval)?,
                false => picture(&rows, &status, interval),
            };
            let clear = if is_live { CLEAR } else { "" };
            if print(&format!("{clear}{text}"))? == Reader::Gone || !goes_on {
                return Ok(ExitCode::SUCCESS);
            }
            before = after;
        }
    })
}

async fn look(client: &ApiClient) -> Result<Look, Failure> {
    let requests = client.get("/v1/requests").await?;
    Ok(Look {
        at: Instant::now(),
        requests,
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

fn picture(rows: &[Row], status: &Status, interval: Duration) -> String {
    let total: f64 = rows.iter().map(|row| row.requests_per_second).sum();
    let connections = match status.server.connections {
        None => "no proxy is connected".to_owned(),
        Some(1) => "1 connection".to_owned(),
        Some(count) => format!("{count} connections"),
    };
    let mut text = format!(
        "{total:.1} requests/s, {connections}; in the last {:.1} s\n\n",
        interval.as_secs_f64()
    );
    match rows.is_empty() {
        true => text.push_str("no app runs; `roadbed up FOLDER` starts one\n"),
        false => text.push_str(&render(rows)),
    }
    text
}
