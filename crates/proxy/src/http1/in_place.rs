//! Answers of the proxy itself, in place of a backend.

use crate::http::gateway_error::{self, GatewayError, Reply};
use crate::http::phases::Next;
use crate::http::redirect::Redirection;
use crate::socket::Socket;
use crate::worker::Worker;

/// Tells a client to ask elsewhere.
pub(crate) async fn redirect(
    worker: &Worker,
    client: &Socket,
    redirection: &Redirection,
    reply: Reply<'_>,
) -> Next {
    let text = redirection.text(reply);
    match client.write_all(&text, worker.limits.body_idle).await {
        Ok(()) if reply.keep_alive => Next::Request,
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}

/// Answers in place of a backend.
pub(crate) async fn answer(
    worker: &Worker,
    client: &Socket,
    error: GatewayError,
    reply: Reply<'_>,
) -> Next {
    match gateway_error::send(client, error, reply, worker.limits.body_idle).await {
        Ok(()) if reply.keep_alive => Next::Request,
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}
