//! The floor: bytes both ways on one thread, a connection to the backend for each of a client's.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Result, bail};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

use super::server;

/// What is moved at once, at most; small ones would not be the least that a long body costs.
const BUFFER: usize = 64 * 1024;

/// `roadbed-bench relay LISTEN TARGET`, which a bench starts; it runs until it is killed.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> ExitCode {
    server::run("relay", || {
        let (listen, target) = addresses(&mut words)?;
        server::serve(listen, |client| relay(client, target))
    })
}

fn addresses(words: &mut impl Iterator<Item = String>) -> Result<(SocketAddr, SocketAddr)> {
    match (words.next(), words.next(), words.next()) {
        (Some(listen), Some(target), None) => Ok((listen.parse()?, target.parse()?)),
        _ => bail!("two addresses are needed"),
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr) -> Result<()> {
    let mut backend = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    backend.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}
