//! Serving HTTP until told to stop, and then finishing what was begun.

use std::net::Ipv4Addr;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::goods::Failure;

/// Serves `router` on `127.0.0.1:PORT`, and `/healthz` beside it, until SIGTERM or SIGINT. After
/// that no connection is accepted, idle ones are closed, and requests under way are answered.
///
/// `/healthz` speaks for this process alone: one that asked the services it calls would turn
/// their trouble into its own.
///
/// # Errors
/// The port cannot be listened on.
pub async fn serve(name: &str, port: u16, router: Router) -> Result<(), String> {
    let listener = listen(port).await?;
    let router = router.route("/healthz", get(async || "ok\n"));
    println!("{name}: listening on 127.0.0.1:{port}");
    // Answers are small and whole: waiting to fill a packet only delays them. A connection on which
    // this fails is broken anyway.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let stop = stop_signal()?;
    let name_of_stop = name.to_owned();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            stop.await;
            println!("{name_of_stop}: told to stop, finishing what was begun");
        })
        .await
        .map_err(|error| format!("cannot go on serving: {error}"))?;
    println!("{name}: done");
    Ok(())
}

/// Listens on a port of 127.0.0.1.
///
/// # Errors
/// The port cannot be listened on.
pub async fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))
}

/// Ends when SIGTERM or SIGINT arrives; both are caught from the call on.
///
/// # Errors
/// The operating system refuses to have them caught.
pub fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let catch = |kind| signal(kind).map_err(|error| format!("cannot catch signals: {error}"));
    let (mut terminate, mut interrupt) = (
        catch(SignalKind::terminate())?,
        catch(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A failed request's answer: a status and the reason as JSON.
pub fn failure(status: StatusCode, reason: impl ToString) -> Response {
    (
        status,
        Json(Failure {
            error: reason.to_string(),
        }),
    )
        .into_response()
}
