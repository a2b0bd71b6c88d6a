//! A client's connection: each of its streams is a task of its own; the connection ends when it
//! has been idle for long, when its listener goes, or when it makes trouble.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use tokio::time::{Instant, Sleep};

use super::connection::{Arrived, Connection, Ping, Role};
use super::driver::Driver;
use super::handle::Handle;
use super::head::RequestHead;
use super::reason::Reason;
use super::request;
use super::window::Window;
use crate::buffers::Pooled;
use crate::http::Refusal;
use crate::http::accept::Wants;
use crate::http::attest::{Attested, attest};
use crate::http::gateway_error::GatewayError;
use crate::http::manner::Manner;
use crate::http::message::{Body, RequestFacts};
use crate::http::route::{Destination, Origin, Refused, Way, note_redirected, route};
use crate::limits::{HTTP2_CONNECTION_WINDOW, HTTP2_WAITING_BODIES};
use crate::measure::Measured;
use crate::routing::rules::{body_limit, manner};
use crate::socket::Socket;
use crate::telemetry;
use crate::telemetry::record::Version;
use crate::translate::client::Client;
use crate::translate::source::{Replayable, Source};
use crate::translate::{Exchange, exchange, grpc};
use crate::worker::{Extra, Listener, Worker};

/// What all streams of a connection share.
struct Shared {
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    origin: Origin,
    connection: Rc<RefCell<Connection>>,
    /// How many streams are being served, and since when there has been none.
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
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
    }
}

/// Serves a client's connection to its end; `read_already` is what was read from it.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: Socket,
    read_already: Option<Pooled>,
    listener: &Rc<Listener>,
    peer: IpAddr,
) {
    client.keep_alive();
    let origin = Origin::of(&client, listener, peer);
    let driver = Driver::new(Role::Server, client, read_already, &worker.buffers);
    let shared = Rc::new(Shared {
        worker: worker.clone(),
        listener: listener.clone(),
        origin,
        connection: driver.connection.clone(),
        streams: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
    });
    run(&shared, driver).await;
}

/// What a connection's task wakes up for.
enum Woken {
    Streams,
    Ended,
    ListenerGone,
    Tick,
}

async fn run(shared: &Rc<Shared>, mut driver: Driver) {
    let (limits, connection) = (&shared.worker.limits, &shared.connection);
    let tick = limits.head.min(limits.keep_alive);
    let mut timer = Box::pin(tokio::time::sleep(tick));
    let mut gone = Box::pin(async {
        shared.listener.gone().await;
        // A new connection is given time for the requests that it was opened for.
        tokio::time::sleep(limits.first_request).await;
    });
    let mut is_ending = false;
    let (mut window, mut streams) = (Window::new(), FuturesUnordered::new());
    loop {
        let woken = poll_fn(|cx| {
            let gone = (!is_ending).then_some(gone.as_mut());
            poll_bytes(cx, &mut driver, &mut window, &mut streams)
                .or_else(|| poll_times(cx, gone, timer.as_mut()))
                .map_or(Poll::Pending, Poll::Ready)
        });
        match woken.await {
            Woken::Streams => accept(shared, |served, extra, arrived| {
                streams.push(stream(served, extra, arrived));
            }),
            Woken::Ended => break,
            Woken::ListenerGone => {
                is_ending = true;
                connection.borrow_mut().shut_down();
                // A client that does not even answer to that is not waited for much longer.
                timer.as_mut().reset(Instant::now() + limits.linger);
            }
            Woken::Tick => {
                let idle = shared.streams.get() == 0;
                if connection.borrow().is_over()
                    || connection.borrow().is_slow(limits.head)
                    || (idle && is_ending)
                {
                    break;
                }
                if idle && shared.idle_since.get().elapsed() >= limits.keep_alive {
                    is_ending = true;
                    connection.borrow_mut().shut_down();
                }
                timer.as_mut().reset(Instant::now() + tick);
            }
        }
    }
    if let Some(excess) = connection.borrow().excess() {
        tracing::debug!(peer = %shared.origin.peer, what = excess.what, "a client is too much");
    }
    connection.borrow_mut().end(Reason::CANCEL);
    // Streams see their connection's end and end themselves.
    let ending = streams.collect::<()>();
    Box::pin(async { tokio::join!(ending, driver.close(limits)) }).await;
}

/// Moves bytes, and serves streams in between; what has happened, if that is not all. Streams are
/// served within their connection's task: most are short, what they send leaves together, and
/// a task of its own for each would cost as much as the rest of it.
fn poll_bytes(
    cx: &mut Context<'_>,
    driver: &mut Driver,
    window: &mut Window,
    streams: &mut FuturesUnordered<impl Future<Output = ()>>,
) -> Option<Woken> {
    let moved = driver.poll(cx);
    if driver.connection.borrow().has_arrived() {
        return Some(Woken::Streams);
    }
    if moved.is_ready() {
        return Some(Woken::Ended);
    }
    // What they have to say is sent below, without another turn.
    driver.connection.borrow_mut().clear_driver();
    while let Poll::Ready(Some(())) = Pin::new(&mut *streams).poll_next(cx) {}
    measure(window, &mut driver.connection.borrow_mut());
    driver.poll_send(cx).is_ready().then_some(Woken::Ended)
}

fn poll_times(
    cx: &mut Context<'_>,
    gone: Option<Pin<&mut impl Future<Output = ()>>>,
    timer: Pin<&mut Sleep>,
) -> Option<Woken> {
    if gone.is_some_and(|gone| gone.poll(cx).is_ready()) {
        return Some(Woken::ListenerGone);
    }
    timer.poll(cx).is_ready().then_some(Woken::Tick)
}

/// Grows the windows of a connection whose line is faster and longer than they allow for.
fn measure(window: &mut Window, connection: &mut Connection) {
    let arrived = connection.content();
    if window.is_measuring() {
        if connection.is_answered(Ping::Probe)
            && let Some(size) = window.answered(arrived, Instant::now())
        {
            // Some bodies that wait for slow backends must not stop the others.
            let all = size.saturating_mul(HTTP2_WAITING_BODIES);
            connection.grow_windows(size, all.max(HTTP2_CONNECTION_WINDOW));
        }
    } else if window.asks(arrived, Instant::now()) {
        connection.ping(Ping::Probe);
    }
}

/// Has `begin` serve each stream that has arrived. One for which there is no room is refused, which
/// its client may try again (RFC 9113 section 8.7).
fn accept(shared: &Rc<Shared>, begin: impl Fn(Served, Option<Extra>, Arrived)) {
    loop {
        let arrived = shared.connection.borrow_mut().take_arrived();
        let Some(arrived) = arrived else { return };
        // The first is what the connection itself was counted for.
        let extra = match shared.streams.get() {
            0 => None,
            _ => match shared.worker.connections.extra() {
                Some(extra) => Some(extra),
                None => {
                    let mut connection = shared.connection.borrow_mut();
                    connection.cancel(arrived.stream, Reason::REFUSED_STREAM);
                    connection.release(arrived.stream);
                    shared.worker.sides.of(&shared.listener).no_room();
                    continue;
                }
            },
        };
        begin(Served::begin(shared), extra, arrived);
    }
}

async fn stream(served: Served, _extra: Option<Extra>, arrived: Arrived) {
    let shared = &*served.0;
    let handle = Handle::new(&shared.connection, arrived.stream);
    let (listener, worker) = (&shared.listener, &shared.worker);
    let is_grpc = |head: &RequestHead| grpc::is_grpc(&head.fields);
    let is_grpc = arrived.head.as_ref().is_some_and(is_grpc);
    let checked = match arrived.head {
        Some(head) => request::validate(head, arrived.ends),
        None => Err(Refusal::HeadTooLong),
    };
    let client = Client::Http2 {
        worker,
        stream: handle.clone(),
    };
    let mut request = match checked {
        Ok(request) => request,
        Err(refusal) => {
            let error = GatewayError::BadRequest(refusal);
            let from = (&shared.origin, None);
            let kept = telemetry::begin(worker, listener, from, Version::Two, None);
            let grpc = is_grpc.then(|| grpc::status_of(error));
            Refused::from(error).note(worker, listener, kept, grpc);
            Box::pin(client.fail(error, NO_FACTS, is_grpc, Manner::default())).await;
            return;
        }
    };
    let attested = attest(worker, listener, &shared.origin, &request);
    let said = attested.as_ref().map(Option::as_ref);
    let from = (&shared.origin, said.ok().flatten());
    let kept = telemetry::begin(worker, listener, from, Version::Two, Some(&request));
    let routed = match said {
        Ok(said) => route(
            worker,
            listener,
            &shared.origin,
            said,
            &request,
            request.facts,
        ),
        Err(error) => Err((*error).into()),
    };
    let attested = attested.ok().flatten();
    let id = attested.as_ref().map(|attested| &attested.id);
    let is_secure = attested.as_ref().is_some_and(Attested::is_secure);
    let way = match routed {
        Ok(Destination::Upstream(way)) => way,
        Ok(Destination::Redirect(redirection, rules, counters)) => {
            let manner = manner(rules.as_deref(), id, is_secure);
            let (status, fields) = (redirection.status, redirection.fields(manner));
            note_redirected(worker, listener, kept, (status, &counters));
            if handle.send_answer(status, &fields, true).is_err() {
                handle.cancel(Reason::INTERNAL_ERROR);
            }
            return;
        }
        Err(refused) => {
            let grpc = is_grpc.then(|| grpc::status_of(refused.error));
            let error = refused.note(worker, listener, kept, grpc);
            let manner = refused.manner(id, is_secure);
            Box::pin(client.fail(error, request.facts, is_grpc, manner)).await;
            return;
        }
    };
    request.facts.sticky = way.sticky;
    let to = (&way.upstream, way.counters.as_deref());
    let measured = &Measured::of(to, worker.sides.of(listener), kept);
    let Way {
        upstream, rules, ..
    } = &way;
    if let Some(attested) = &attested {
        request.attest(attested);
    }
    if let Some(onward) = measured.onward() {
        request.follow(&onward);
    }
    if let Some(rules) = rules {
        request.change(rules);
    }
    let source = match arrived.ends {
        true => Source::Nothing,
        false => Source::Http2(handle.into()),
    };
    let limit = body_limit(rules.as_deref(), request.facts);
    let to = (&**upstream, rules.as_deref());
    let one = Exchange::new(worker, to, client, request, measured);
    let one = one.named(id, is_secure);
    // What becomes of the connection is its own business.
    let _ = Box::pin(exchange(&one, Replayable::new(source, limit))).await;
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
    forwards: None,
    wants: Wants::Text,
    sticky: None,
};
