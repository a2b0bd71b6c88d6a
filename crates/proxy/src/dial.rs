//! Getting a connection to a backend: an endpoint is chosen, then an idle connection to it or a new
//! one, then another endpoint if that fails.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::http::gateway_error::GatewayError;
use crate::http::phases::NoAnswer;
use crate::http2::pool::{Opening, Slot};
use crate::limits::{CONNECT_RETRIES, FRESH_ENOUGH, PASSED_OVER_BYTES};
use crate::retry::Tries;
use crate::socket::{Socket, within};
use crate::tls;
use crate::upstream::{Endpoint, InFlight, Kept, Upstream};
use crate::worker::Worker;

/// A connection to a backend of its own, and the count of what is in flight there.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) socket: Socket,
    /// It had been idle before: the backend may just be closing it.
    pub(crate) was_idle: bool,
    /// When it is too old to be used again.
    expires: Option<Instant>,
    in_flight: InFlight,
}

impl Backend {
    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.in_flight.endpoint()
    }

    /// The same, to be held for longer.
    pub(crate) fn shared_endpoint(&self) -> &Rc<Endpoint> {
        self.in_flight.shared_endpoint()
    }

    /// Ends what is in flight and keeps the connection for the next request.
    pub(crate) fn keep(self) {
        let (socket, expires) = (self.socket, self.expires);
        self.in_flight
            .endpoint()
            .keep_idle(Kept { socket, expires });
    }

    /// Ends what is in flight, of which no answer was passed on. If what is left of one is little,
    /// it is awaited first: a backend that is hung up on in mid-answer has errors in its log.
    pub(crate) fn give_up(self, worker: &Rc<Worker>, error: NoAnswer) {
        match error {
            NoAnswer::PassedOver { rest: Some(0) } => self.keep(),
            NoAnswer::PassedOver { rest: Some(rest) } if rest <= PASSED_OVER_BYTES => {
                let worker = worker.clone();
                drop(tokio::task::spawn_local(async move {
                    let limit = worker.limits.linger;
                    let skipped = within(limit, skip(&worker, &self.socket, rest)).await;
                    match skipped.unwrap_or(false) {
                        true => self.keep(),
                        false => self.abort(),
                    }
                }));
            }
            _ => self.abort(),
        }
    }

    /// Ends what is in flight in a way that the backend notices at once.
    pub(crate) fn abort(self) {
        self.socket.reset_on_close();
    }
}

/// Reads and drops so many bytes; whether it was these and no more.
async fn skip(worker: &Worker, socket: &Socket, mut rest: u64) -> bool {
    while rest > 0 {
        let Ok(Some(buffer)) = socket.read_first(&worker.buffers).await else {
            return false;
        };
        match rest.checked_sub(buffer.bytes().len() as u64) {
            Some(left) => rest = left,
            None => return false,
        }
    }
    true
}

/// A place on a connection to a backend that requests share, and the count of what is in flight.
#[derive(Debug)]
pub(crate) struct SharedBackend {
    pub(crate) slot: Slot,
    in_flight: InFlight,
}

impl SharedBackend {
    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.in_flight.endpoint()
    }

    /// Whether what is sent is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.in_flight.endpoint().tls.is_some()
    }
}

/// What leads to a backend.
#[derive(Debug)]
pub(crate) enum Connected {
    /// HTTP/1.1 or bytes.
    Alone(Backend),
    /// HTTP/2.
    Shared(SharedBackend),
}

impl Connected {
    /// Which endpoint it leads to.
    pub(crate) fn endpoint(&self) -> *const Endpoint {
        Rc::as_ptr(self.shared_endpoint())
    }

    /// The endpoint that it leads to.
    pub(crate) fn shared_endpoint(&self) -> &Rc<Endpoint> {
        let (Self::Alone(Backend { in_flight, .. })
        | Self::Shared(SharedBackend { in_flight, .. })) = self;
        in_flight.shared_endpoint()
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
    fn take(self, idle: Duration, endpoint: &Endpoint, now: Instant) -> Option<Kept> {
        match self {
            Self::Any => endpoint.take_idle(now, idle, Socket::is_spent),
            Self::Safe => endpoint.take_idle(now, idle.min(FRESH_ENOUGH), Socket::is_spent_now),
            Self::Never => None,
        }
    }
}

/// Gets a connection to an endpoint of `upstream` in whatever it speaks, for the next of `tries`.
pub(crate) async fn dial(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    tries: &Tries,
) -> Result<Connected, GatewayError> {
    let (mut failed, mut was_refused) = (Vec::new(), false);
    let mut now = Instant::now();
    if tries.is_first() {
        upstream.asked(now);
    }
    while let Some(in_flight) = upstream.pick(now, &worker.limits, &failed, tries) {
        if !failed.is_empty() {
            if !upstream.may_retry(now, was_refused) {
                break;
            }
            tries.count_retry();
        }
        let endpoint = in_flight.endpoint();
        let idle = upstream.idle(&worker.limits);
        if let Some(Kept { socket, expires }) = tries.reuse.take(idle, endpoint, now) {
            upstream.counters.connected(false);
            return Ok(Connected::Alone(Backend {
                socket,
                was_idle: true,
                expires,
                in_flight,
            }));
        }
        let is_new = Cell::new(false);
        let expires = upstream.expiry(now);
        let connected = connect(worker, endpoint, &is_new, expires).await;
        if connected.is_ok() {
            upstream.counters.connected(is_new.get());
        }
        match connected {
            Ok(Opened::Socket(socket)) => {
                return Ok(Connected::Alone(Backend {
                    socket,
                    was_idle: false,
                    expires,
                    in_flight,
                }));
            }
            Ok(Opened::Slot(slot)) => {
                return Ok(Connected::Shared(SharedBackend { slot, in_flight }));
            }
            Err(error) => {
                let (instance, address) = (&endpoint.instance, endpoint.address);
                tracing::debug!(%instance, %address, %error, "cannot connect");
                now = Instant::now();
                upstream.failed(endpoint, now, &worker.limits);
                // Where nobody listens, trying cost nobody anything.
                was_refused = error.kind() == io::ErrorKind::ConnectionRefused;
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

/// Gets a connection of its own to an endpoint of `upstream`, for bytes.
pub(crate) async fn dial_alone(
    worker: &Rc<Worker>,
    upstream: &Upstream,
) -> Result<Backend, GatewayError> {
    match dial(worker, upstream, &Tries::of_connection()).await? {
        Connected::Alone(backend) => {
            // It is all that is seen of how the endpoint does.
            upstream.connected(backend.endpoint());
            Ok(backend)
        }
        // The upstream has changed while we connected.
        Connected::Shared(_) => Err(GatewayError::ConnectFailed),
    }
}

enum Opened {
    Socket(Socket),
    Slot(Slot),
}

/// Connects, or finds a place on a connection that is there; `is_new` is which of the two it was.
async fn connect(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    is_new: &Cell<bool>,
    expires: Option<Instant>,
) -> io::Result<Opened> {
    let open = async {
        is_new.set(true);
        open(worker, endpoint).await
    };
    match endpoint.speaks_http2() {
        false => open.await.map(Opened::Socket),
        true => {
            let opening = Opening {
                limit: worker.limits.connect,
                ping: worker.limits.ping,
                expires,
            };
            let slot = endpoint.http2.slot(opening, &worker.buffers, open);
            Box::pin(slot).await.map(Opened::Slot)
        }
    }
}

async fn open(worker: &Rc<Worker>, endpoint: &Endpoint) -> io::Result<Socket> {
    let limit = worker.limits.connect;
    let socket = Socket::connect(endpoint.address, limit).await?;
    match &endpoint.tls {
        None => Ok(socket),
        // Few connections begin this way, and it takes much room.
        Some(expected) => Box::pin(secure(worker, endpoint, expected, socket)).await,
    }
}

async fn secure(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    expected: &model::EndpointTls,
    socket: Socket,
) -> io::Result<Socket> {
    let trust = worker
        .trust
        .borrow()
        .client(&expected.authority, endpoint.protocol);
    let config = trust.ok_or_else(|| io::Error::other("its authority is not known"))?;
    let name = expected.name.clone().try_into().map_err(io::Error::other)?;
    let (buffers, limit) = (&worker.buffers, worker.limits.connect);
    let socket = socket.open_tls(config, name, buffers, limit).await?;
    match endpoint.speaks_http2() && socket.protocol().as_deref() != Some(tls::HTTP2) {
        true => Err(io::Error::other("it does not speak HTTP/2")),
        false => Ok(socket),
    }
}
