//! Getting a connection to a backend: an endpoint in turn, then an idle connection to it or a
//! new one, then another endpoint if that fails.

use std::rc::Rc;
use std::time::Duration;

use super::gateway_error::GatewayError;
use crate::limits::CONNECT_RETRIES;
use crate::socket::Socket;
use crate::worker::{InFlight, Upstream, Worker};

/// A connection to a backend, and the count of what is in flight there.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) socket: Socket,
    in_flight: InFlight,
    /// It has served requests before, so that the backend may just have closed it.
    pub(crate) reused: bool,
}

impl Backend {
    /// Ends what is in flight and keeps the connection for the next request.
    pub(crate) fn keep(self) {
        self.in_flight.endpoint().keep_idle(self.socket);
    }

    /// Ends what is in flight in a way that the backend notices at once.
    pub(crate) fn abort(self) {
        self.socket.reset_on_close();
    }
}

/// Connects to an endpoint of `upstream`. Connections that have been idle for at most
/// `idle_limit` are reused; none are where that is none.
pub(crate) async fn dial(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    idle_limit: Option<Duration>,
) -> Result<Backend, GatewayError> {
    let mut failed = Vec::new();
    while let Some(in_flight) = upstream.pick(&failed) {
        let endpoint = in_flight.endpoint();
        if let Some(socket) = idle_limit.and_then(|limit| endpoint.take_idle(limit)) {
            return Ok(Backend {
                socket,
                in_flight,
                reused: true,
            });
        }
        match Socket::connect(endpoint.address, worker.limits.connect).await {
            Ok(socket) => {
                return Ok(Backend {
                    socket,
                    in_flight,
                    reused: false,
                });
            }
            Err(error) => {
                let (instance, address) = (&endpoint.instance, endpoint.address);
                tracing::debug!(%instance, %address, %error, "cannot connect");
                failed.push(in_flight);
            }
        }
        if failed.len() > CONNECT_RETRIES {
            break;
        }
    }
    match failed.is_empty() {
        true => Err(GatewayError::NoHealthyEndpoint),
        false => Err(GatewayError::ConnectFailed),
    }
}
