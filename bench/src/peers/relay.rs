//! The floor: bytes both ways on one thread, a connection to the backend for each of a client's.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// What is moved at once, at most; small ones would not be the least that a long body costs.
const BUFFER: usize = 64 * 1024;

/// `roadbed-bench relay LISTEN TARGET`, which a bench starts; it runs until it is killed.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> ExitCode {
    match addresses(&mut words).and_then(|(listen, target)| serve(listen, target)) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn addresses(words: &mut impl Iterator<Item = String>) -> Result<(SocketAddr, SocketAddr)> {
    match (words.next(), words.next(), words.next()) {
        (Some(listen), Some(target), None) => Ok((listen.parse()?, target.parse()?)),
        _ => bail!("two addresses are needed"),
    }
}

fn serve(listen: SocketAddr, target: SocketAddr) -> Result<std::convert::Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind(listen).await.context("listening")?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::task::spawn_local(async move {
                // A connection that breaks is the load's doing.
                let _ = relay(client, target).await;
            });
        }
    })
}

async fn relay(mut client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    let mut backend = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    backend.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}
