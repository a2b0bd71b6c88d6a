//! Getting a connection to a backend: an endpoint in turn, then an idle connection to it or a
//! new one, then another endpoint if that fails.

use std::rc::Rc;

use super::gateway_error::GatewayError;
use crate::limits::{CONNECT_RETRIES, FRESH_ENOUGH};
use crate::socket::Socket;
use crate::worker::{Endpoint, InFlight, Upstream, Worker};

/// A connection to a backend, and the count of what is in flight there.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) socket: Socket,
    in_flight: InFlight,
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

/// Which idle connections may serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// Any: should the backend just have closed it, the request is sent again.
    Any,
    /// Only what the backend hardly closes at this very moment: the request is sent once.
    Safe,
    /// None.
    Never,
}

impl Reuse {
    fn take(self, worker: &Worker, endpoint: &Endpoint) -> Option<Socket> {
        match self {
            Self::Any => endpoint.take_idle(worker.limits.pool_idle, Socket::is_spent),
            Self::Safe => endpoint.take_idle(FRESH_ENOUGH, Socket::is_spent_now),
            Self::Never => None,
        }
    }
}

/// Gets a connection to an endpoint of `upstream`.
pub(crate) async fn dial(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    reuse: Reuse,
) -> Result<Backend, GatewayError> {
    let mut failed = Vec::new();
    while let Some(in_flight) = upstream.pick(&failed) {
        let endpoint = in_flight.endpoint();
        if let Some(socket) = reuse.take(worker, endpoint) {
            return Ok(Backend { socket, in_flight });
        }
        match Socket::connect(endpoint.address, worker.limits.connect).await {
            Ok(socket) => {
                return Ok(Backend { socket, in_flight });
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
