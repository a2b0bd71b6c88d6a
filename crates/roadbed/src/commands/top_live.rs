//! `roadbed top` on a terminal: a picture that follows what happens, until its reader has seen
//! enough. It goes on when the server goes away and when it comes back.

use std::convert::Infallible;
use std::process::ExitCode;

use control::status::Status;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api_client::ApiClient;
use crate::arguments::Top;
use crate::commands::top_frame::Picture;
use crate::commands::top_look::{Look, look};
use crate::commands::top_view::{picture, rows};
use crate::failure::Failure;
use crate::output::Reader;
use crate::screen::{Key, Screen};

/// Shows pictures until a key or a signal ends it, with what was `first` seen as the beginning.
pub(super) async fn run(top: &Top, client: &ApiClient, first: Look) -> Result<ExitCode, Failure> {
    let cannot = |error: std::io::Error| Failure::new(format!("cannot await signals: {error}"));
    let mut resized = signal(SignalKind::window_change()).map_err(cannot)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(cannot)?;
    let begun = Picture {
        summary: "looking at what happens …".into(),
        ..Picture::default()
    };
    let (show, mut shown) = watch::channel(begun);
    let mut following = std::pin::pin!(follow(top, client, first, &show));
    let mut screen = Screen::open()?;
    let mut scrolled = 0;
    loop {
        let picture = shown.borrow_and_update().clone();
        if screen.draw(&picture.lines(screen.size(), scrolled))? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            never = &mut following => match never {},
            // Fails only without a sender, which is above.
            _ = shown.changed() => {}
            _ = resized.recv() => {}
            keys = screen.keys() => for key in keys {
                if key == Key::Quit {
                    return Ok(ExitCode::SUCCESS);
                }
                scrolled = picture.moved(screen.size(), scrolled, key);
            },
            _ = interrupted.recv() => return Ok(ExitCode::SUCCESS),
            _ = terminated.recv() => return Ok(ExitCode::SUCCESS),
            _ = hung_up.recv() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Looks again and again, and has what happened in between shown.
async fn follow(
    top: &Top,
    client: &ApiClient,
    first: Look,
    show: &watch::Sender<Picture>,
) -> Infallible {
    let mut before = Some(first);
    loop {
        tokio::time::sleep(top.interval).await;
        match see(client, before.take()).await {
            Ok((seen, picture)) => {
                before = seen;
                show.send_replace(picture);
            }
            // What was seen last stays, since it is the best that is known.
            Err(failure) => show.send_modify(|picture| {
                let message = failure.message();
                picture.summary = format!("{message}; this is from before, trying again");
            }),
        }
    }
}

/// Looks once: what is seen, and what happened since what was seen before.
async fn see(client: &ApiClient, before: Option<Look>) -> Result<(Option<Look>, Picture), Failure> {
    let status: Status = client.get("/v1/status").await?;
    let after = look(client).await?;
    // Without a proxy nothing is counted, and what comes after that is not what happened since.
    let is_counted = status.server.connections.is_some();
    let (past, interval) = match &before {
        Some(before) => (&before.requests, after.at - before.at),
        None => (&after.requests, std::time::Duration::ZERO),
    };
    let rows = rows(&status, past, &after.requests, interval);
    let mut picture = picture(&rows, &status, interval);
    if before.is_none() && is_counted {
        picture.summary = "looking at what happens …".into();
    }
    Ok((is_counted.then_some(after), picture))
}
