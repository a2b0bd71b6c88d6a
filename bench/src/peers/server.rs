//! What this program's own peer and backend share: connections served on one thread until they
//! are killed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Runs a command for as long as it goes well, which only a kill ends.
pub(super) fn run(name: &str, serve: impl FnOnce() -> Result<Infallible>) -> ExitCode {
    match serve() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Has `connection` serve each connection to `listen`, all on this thread.
pub(super) fn serve<C>(
    listen: SocketAddr,
    connection: impl Fn(TcpStream) -> C,
) -> Result<Infallible>
where
    C: Future<Output = Result<()>> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(listen).await.context("listening")?;
        loop {
            let (client, _) = listener.accept().await?;
            let served = connection(client);
            spawn_local(async {
                // A connection that breaks is the load's doing, and the load tells of it.
                let _ = served.await;
            });
        }
    })
}
