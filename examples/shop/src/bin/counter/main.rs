//! The counter: adds up named events, over TCP, one line a request.
//!
//! ```text
//! INCR front    adds one, answers "OK" and the new count
//! GET front     answers "OK" and the count, 0 for a name never seen
//! ```
//!
//! Anything else is answered with `ERR` and the reason. Requests may be sent without waiting for
//! answers, which come in their order.

mod connection;
mod table;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shop::{serve, settings};
use table::Table;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many connections are served at a time; more wait until one ends.
const MOST_CONNECTIONS: usize = 1024;

/// How much of the counts may be lost in a power failure. A process that is killed loses nothing.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    shop::run("counter", count())
}

async fn count() -> Result<(), String> {
    let table = Table::open(&settings::data_folder()?).map_err(|error| error.to_string())?;
    let file = table.file();
    let table = Arc::new(Mutex::new(table));
    let port = settings::port()?;
    let listener = serve::listen(port).await?;
    println!("counter: listening on 127.0.0.1:{port}");
    let stop = serve::stop_signal()?;
    tokio::pin!(stop);
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut sync = tokio::time::interval(SYNC_INTERVAL);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(stream, Arc::clone(&table), stopped.clone()));
                }
                Err(error) => {
                    // Most often too many open files: ended connections make room again.
                    eprintln!("counter: cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            _ = sync.tick() => {
                let file = Arc::clone(&file);
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = file.sync_data() {
                        eprintln!("counter: the counts are not safe on the disk: {error}");
                    }
                });
            }
        }
    }
    println!("counter: told to stop, finishing what was begun");
    drop(listener);
    drop(stopping);
    while connections.join_next().await.is_some() {}
    file.sync_data()
        .map_err(|error| format!("the counts are not safe on the disk: {error}"))?;
    println!("counter: done");
    Ok(())
}
