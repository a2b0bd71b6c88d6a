//! Answers of the proxy itself, in place of a backend.

use crate::http::gateway_error::{self, GatewayError, Reply};
use crate::http::phases::Next;
use crate::socket::Socket;
use crate::worker::Worker;

/// Answers in place of a backend.
pub(crate) async fn answer(
    worker: &Worker,
    client: &Socket,
    error: GatewayError,
    reply: Reply,
) -> Next {
    match gateway_error::send(client, error, reply, worker.limits.body_idle).await {
        Ok(()) if reply.keep_alive => Next::Request,
        Ok(()) => Next::Linger,
        Err(_) => Next::Close,
    }
}
