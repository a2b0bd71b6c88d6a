//! The backend for gRPC: every call is answered with the message that came, on one thread.
//!
//! nginx could answer by itself too, but does so before a request has come to its end, which not
//! every proxy takes for right.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;

use super::server;

/// Calls under way on one connection, at most. A proxy may send those of all clients on one.
const STREAMS: u32 = 1000;

/// What a connection, and each call on it, may send ahead. Much more than a message.
const WINDOW: u32 = 1024 * 1024;

/// `roadbed-bench echo LISTEN`, which a bench starts; it runs until it is killed.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> ExitCode {
    server::run("echo", || {
        let address = words.next().context("an address is needed")?;
        server::serve(address.parse()?, connection)
    })
}

async fn connection(client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let mut connection = Builder::new()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(client)
        .await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::task::spawn_local(async move {
            // A call that breaks is the load's doing, and the load tells of it.
            let _ = answer(request, respond).await;
        });
    }
    Ok(())
}

async fn answer(
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let message = whole(request.body_mut()).await?;
    let mut head = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", grpc);
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(message, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

/// A body to its end.
async fn whole(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}
