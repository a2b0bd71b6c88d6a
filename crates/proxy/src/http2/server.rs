//! A client's connection: each of its streams is a task of its own; the connection ends when it
//! has been idle for long, when its listener goes, or when it makes trouble.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use tokio::time::{Instant, Sleep};

use super::guard::{Excess, Guard};
use super::guarded::Guarded;
use super::request;
use super::window::Prober;
use crate::http::gateway_error::GatewayError;
use crate::http::message::{Body, RequestFacts};
use crate::http::route::{Origin, route};
use crate::limits::{
    HEAD_BYTES, HTTP2_CONNECTION_WINDOW, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW, HTTP2_STREAMS,
    HTTP2_WAITING_BODIES,
};
use crate::socket::{Socket, Stream};
use crate::translate::client::Client;
use crate::translate::request::Request;
use crate::translate::source::{Replayable, Source};
use crate::translate::{Exchange, exchange, grpc, library};
use crate::worker::buffers::Pooled;
use crate::worker::{Listener, Worker};

/// What all streams of a connection share.
struct Shared {
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    origin: Origin,
    guard: Rc<Guard>,
    /// How many streams are being served, and since when there has been none.
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Wakes the worker's count of connections when the last of them ends.
    done: tokio::sync::Notify,
}

/// Counts a stream as being served until it is dropped.
struct Served(Rc<Shared>);

impl Served {
    fn begin(shared: &Rc<Shared>) -> Self {
        shared.streams.set(shared.streams.get() + 1);
        Self(shared.clone())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.idle_since.set(Instant::now());
        self.0.done.notify_one();
    }
}

type Io = Guarded<Stream>;

/// Serves a client's connection to its end; `read_already` is what was read from it.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: Socket,
    read_already: Option<Pooled>,
    listener: &Rc<Listener>,
    peer: IpAddr,
) {
    client.keep_alive();
    let guard = Rc::new(Guard::new());
    let shared = Rc::new(Shared {
        worker: worker.clone(),
        listener: listener.clone(),
        origin: Origin::of(&client, peer),
        guard: guard.clone(),
        streams: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        done: tokio::sync::Notify::new(),
    });
    let io = Guarded::new(Stream::new(client, read_already), guard.clone());
    let handshake = settings().handshake(io);
    let limit = worker.limits.head;
    if let Ok(Ok(connection)) = tokio::time::timeout(limit, handshake).await {
        run(&shared, connection, &guard).await;
    }
    // Streams see their connection's end and end themselves.
    while shared.streams.get() > 0 {
        shared.done.notified().await;
    }
}

pub(super) fn settings() -> h2::server::Builder {
    let mut settings = h2::server::Builder::new();
    settings
        .initial_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .max_send_buffer_size(HTTP2_SEND_BUFFER)
        .enable_connect_protocol();
    settings
}

/// What a connection's task wakes up for.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and a request is the usual one"
)]
enum Woken {
    Stream(http::Request<RecvStream>, SendResponse<Bytes>),
    Ended,
    Excess(Excess),
    ListenerGone,
    Tick,
}

async fn run(shared: &Rc<Shared>, mut connection: Connection<Io, Bytes>, guard: &Guard) {
    let limits = &shared.worker.limits;
    let tick = limits.head.min(limits.keep_alive);
    let mut timer = Box::pin(tokio::time::sleep(tick));
    let mut gone = Box::pin(async {
        shared.listener.gone().await;
        // A new connection is given time for the requests that it was opened for.
        tokio::time::sleep(limits.first_request).await;
    });
    let mut is_ending = false;
    let mut prober = connection.ping_pong().map(Prober::new);
    loop {
        let woken = poll_fn(|cx| {
            let gone = (!is_ending).then_some(gone.as_mut());
            let woken = poll(cx, &mut connection, guard, gone, timer.as_mut());
            if let Some(prober) = &mut prober {
                let tell = |size: u32| {
                    connection.set_initial_window_size(size)?;
                    // Some bodies that wait for slow backends must not stop the others.
                    let all = size.saturating_mul(HTTP2_WAITING_BODIES);
                    connection.set_target_window_size(all.max(HTTP2_CONNECTION_WINDOW));
                    Ok(())
                };
                prober.poll(cx, guard.content(), tell);
            }
            woken
        });
        match woken.await {
            Woken::Stream(request, respond) => begin(shared, request, respond),
            Woken::Ended => return,
            Woken::Excess(Excess { what, reason }) => {
                tracing::debug!(peer = %shared.origin.peer, what, "a client is too much");
                connection.abrupt_shutdown(reason);
                // What it is told may wait for a client that does not read.
                let farewell = poll_fn(|cx| connection.poll_closed(cx));
                let _ = tokio::time::timeout(limits.linger, farewell).await;
                return;
            }
            Woken::ListenerGone => {
                is_ending = true;
                connection.graceful_shutdown();
                // A client that does not even answer to that is not waited for much longer.
                timer.as_mut().reset(Instant::now() + limits.linger);
            }
            Woken::Tick => {
                let idle = shared.streams.get() == 0;
                if guard.is_slow(limits.head) || (idle && is_ending) {
                    return;
                }
                if idle && shared.idle_since.get().elapsed() >= limits.keep_alive {
                    is_ending = true;
                    connection.graceful_shutdown();
                }
                timer.as_mut().reset(Instant::now() + tick);
            }
        }
    }
}

fn poll(
    cx: &mut Context<'_>,
    connection: &mut Connection<Io, Bytes>,
    guard: &Guard,
    gone: Option<Pin<&mut impl Future<Output = ()>>>,
    timer: Pin<&mut Sleep>,
) -> Poll<Woken> {
    let accepted = connection.poll_accept(cx);
    if let Some(excess) = guard.excess() {
        return Poll::Ready(Woken::Excess(excess));
    }
    match accepted {
        Poll::Ready(Some(Ok((request, respond)))) => {
            return Poll::Ready(Woken::Stream(request, respond));
        }
        Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Woken::Ended),
        Poll::Pending => {}
    }
    if gone.is_some_and(|gone| gone.poll(cx).is_ready()) {
        return Poll::Ready(Woken::ListenerGone);
    }
    timer.poll(cx).map(|()| Woken::Tick)
}

/// Serves one stream in a task of its own. One for which there is no room is refused, which its
/// client may try again (RFC 9113 section 8.7).
fn begin(
    shared: &Rc<Shared>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    // The first is what the connection itself was counted for.
    let extra = match shared.streams.get() {
        0 => None,
        _ => match shared.worker.connections.extra() {
            Some(extra) => Some(extra),
            None => return respond.send_reset(Reason::REFUSED_STREAM),
        },
    };
    let served = Served::begin(shared);
    drop(tokio::task::spawn_local(async move {
        stream(&served.0, request, respond).await;
        drop(extra);
    }));
}

async fn stream(shared: &Shared, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
    let (parts, body) = request.into_parts();
    let head = library::request_head(parts);
    let is_grpc = head.as_ref().is_ok_and(|head| grpc::is_grpc(&head.fields));
    let client = Client::Http2 {
        respond: RefCell::new(respond),
        guard: &shared.guard,
    };
    let checked = head.and_then(|head| request::validate(head, body.is_end_stream()));
    let mut request = match checked {
        Ok(request) => request,
        Err(refusal) => {
            let error = GatewayError::BadRequest(refusal);
            client.fail(error, NO_FACTS, is_grpc).await;
            return;
        }
    };
    let (listener, worker) = (&shared.listener, &shared.worker);
    let routed = {
        let (host, path) = named(&request);
        route(worker, listener, &shared.origin, host, path)
    };
    let upstream = match routed {
        Ok(upstream) => upstream,
        Err(error) => {
            client.fail(error, request.facts, is_grpc).await;
            return;
        }
    };
    if listener.upstream().is_none() {
        request.attest(&shared.origin);
    }
    let source = match body.is_end_stream() {
        true => Source::Nothing,
        false => Source::Http2(body),
    };
    let one = Exchange::new(worker, &upstream, client, request);
    // What becomes of the connection is its own business.
    let _ = Box::pin(exchange(&one, Replayable::new(source))).await;
}

fn named(request: &Request) -> (&[u8], &[u8]) {
    let host = request.authority.as_deref().unwrap_or_default();
    (host.as_bytes(), request.path.as_bytes())
}

/// What is known of a request that was refused.
const NO_FACTS: RequestFacts = RequestFacts {
    old_version: false,
    is_head: false,
    idempotent: false,
    body: Body::None,
    keep_alive: true,
    expects_continue: false,
    upgrade: false,
    prefers_json: false,
};
