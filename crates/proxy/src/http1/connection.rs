//! A client's connection: one request after the other, never two at a time. What a client sends
//! ahead waits in the buffer that its request arrived in, and then in the kernel.

use std::net::IpAddr;
use std::rc::Rc;

use super::exchange::exchange;
use super::fields::head_end;
use super::in_place::{answer, redirect};
use super::request::{self, RequestHead};
use super::rewrite::{self, Addition};
use super::{context, translated};
use crate::buffers::Pooled;
use crate::http::Refusal;
use crate::http::accept::Wants;
use crate::http::attest::{Attested, attest};
use crate::http::gateway_error::{GatewayError, Reply};
use crate::http::linger::linger;
use crate::http::manner::Manner;
use crate::http::message::Body;
use crate::http::phases::Next;
use crate::http::route::{Destination, Origin, Refused, Way, note_redirected, route};
use crate::http2::PREFACE;
use crate::limits::HEAD_BYTES;
use crate::measure::Measured;
use crate::routing::rules::{Rules, manner};
use crate::socket::{Socket, unless};
use crate::telemetry;
use crate::telemetry::record::Version;
use crate::translate::request::Request;
use crate::upstream::Upstream;
use crate::worker::{Listener, Worker};

/// How the serving of a connection ended.
pub(crate) enum Served {
    /// With the connection.
    Ended,
    /// The client speaks HTTP/2, which begins with these bytes.
    IsHttp2(Pooled),
}

/// Serves a client's connection to its end.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: &Socket,
    listener: &Listener,
    peer: IpAddr,
) -> Served {
    // Held only while there are bytes in it or a request is being served.
    let mut input: Option<Pooled> = None;
    let mut is_new = true;
    let connection = Connection {
        worker,
        client,
        listener,
        origin: &Origin::of(client, listener, peer),
    };
    let next = loop {
        let mut buffer = match input.take() {
            Some(pipelined) if !pipelined.is_empty() => pipelined,
            _ => match first_bytes(worker, client, listener, is_new).await {
                Some(buffer) => buffer,
                None => break Next::Close,
            },
        };
        if is_new && may_be_preface(buffer.bytes()) && !client.is_secure() {
            match read_preface(worker, client, &mut buffer).await {
                Some(true) => return Served::IsHttp2(buffer),
                Some(false) => {}
                None => break Next::Close,
            }
        }
        is_new = false;
        // A client that sends far ahead must not keep the worker to itself.
        tokio::task::coop::consume_budget().await;
        let head = match read_head(worker, client, &mut buffer).await {
            Ok(head) => head,
            Err(HeadEnd::Closed) => break Next::Close,
            Err(HeadEnd::Refused(error)) => {
                note_unread(connection, error);
                break refuse(worker, client, error).await;
            }
        };
        match serve_request(connection, head, buffer, &mut input).await {
            Next::Request => {}
            end => break end,
        }
    };
    match next {
        Next::Request | Next::Close => client.say_goodbye(),
        Next::Linger => {
            drop(input);
            linger(client, &worker.buffers, &worker.limits).await;
        }
        Next::Reset => client.reset_on_close(),
    }
    Served::Ended
}

/// Whether HTTP/2 begins with `bytes` or they begin it.
fn may_be_preface(bytes: &[u8]) -> bool {
    let length = bytes.len().min(PREFACE.len());
    length > 0 && bytes[..length] == PREFACE[..length]
}

/// Reads on until it is clear whether the client speaks HTTP/2; none when it ends the connection
/// before, or takes too long.
async fn read_preface(worker: &Worker, client: &Socket, buffer: &mut Pooled) -> Option<bool> {
    let reading = async {
        while may_be_preface(buffer.bytes()) {
            if buffer.bytes().len() >= PREFACE.len() {
                return Some(true);
            }
            match client.read(buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        Some(false)
    };
    tokio::time::timeout(worker.limits.head, reading)
        .await
        .ok()?
}

/// Waits for the first bytes of a request, without a buffer; none when the connection is to be
/// closed. With its listener's end it is, but a new one is given time for the one request that
/// its client has connected for: it would be told of a failure, not of an idle connection's end.
async fn first_bytes(
    worker: &Rc<Worker>,
    client: &Socket,
    listener: &Listener,
    is_new: bool,
) -> Option<Pooled> {
    let closing = async {
        listener.gone().await;
        if is_new {
            tokio::time::sleep(worker.limits.first_request).await;
        }
    };
    let reading = unless(closing, client.read_first(&worker.buffers));
    match tokio::time::timeout(worker.limits.keep_alive, reading).await {
        Ok(Some(Ok(buffer))) => buffer,
        _ => None,
    }
}

/// What all requests of a connection share.
#[derive(Clone, Copy)]
struct Connection<'a> {
    worker: &'a Rc<Worker>,
    client: &'a Socket,
    listener: &'a Listener,
    origin: &'a Origin,
}

/// Serves one request, whose head is at the beginning of `buffer`. What follows it there is left
/// in `input`.
async fn serve_request(
    connection: Connection<'_>,
    mut head: RequestHead,
    mut buffer: Pooled,
    input: &mut Option<Pooled>,
) -> Next {
    let Connection {
        worker,
        client,
        listener,
        origin,
    } = connection;
    let bytes = &buffer.bytes()[..head.length];
    let asked = head.asked(bytes);
    let attested = attest(worker, listener, origin, &asked);
    let said = attested.as_ref().map(Option::as_ref);
    let version = Version::one(head.facts.old_version);
    let from = (origin, said.ok().flatten());
    let kept = telemetry::begin(worker, listener, from, version, Some(&asked));
    let routed = match said {
        Ok(said) => route(worker, listener, origin, said, &asked, head.facts),
        Err(error) => Err((*error).into()),
    };
    drop(asked);
    let attested = attested.ok().flatten();
    let id = attested.as_ref().map(|attested| &attested.id);
    let is_secure = attested.as_ref().is_some_and(Attested::is_secure);
    let way = match routed {
        Ok(Destination::Upstream(way)) => way,
        Ok(Destination::Redirect(redirection, rules, counters)) => {
            buffer.consume(head.length);
            *input = Some(buffer);
            let to = (redirection.status, &counters);
            note_redirected(worker, listener, kept, to);
            let manner = manner(rules.as_deref(), id, is_secure);
            let reply = Reply::to(head.facts, listener).given(manner);
            return redirect(worker, client, &redirection, reply).await;
        }
        Err(refused) => {
            buffer.consume(head.length);
            *input = Some(buffer);
            let error = refused.note(worker, listener, kept, None);
            let reply = Reply::to(head.facts, listener).given(refused.manner(id, is_secure));
            return answer(worker, client, error, reply).await;
        }
    };
    head.facts.sticky = way.sticky;
    let facts = head.facts;
    let to = (&way.upstream, way.counters.as_deref());
    let measured = &Measured::of(to, worker.sides.of(listener), kept);
    let Way {
        upstream, rules, ..
    } = &way;
    // Requests are copied, and answers changed, where they are values.
    let needs_values =
        |rules: &Rc<Rules>| rules.mirror.is_some() || rules.compress || rules.replaces_answers;
    let needs_values = rules.as_ref().is_some_and(needs_values) && !facts.upgrade;
    let values = || Request::from_http1(bytes, &head);
    let request = match (upstream.speaks_http2(), needs_values) {
        (true, _) => Some(values()),
        // One that cannot become one stays as it is.
        (false, true) => values().ok().map(Ok),
        (false, false) => None,
    };
    if let Some(request) = request {
        let to = (&**upstream, rules.as_deref());
        buffer.consume(head.length);
        let request = (request, attested.as_ref());
        return Box::pin(translate(connection, to, measured, request, buffer, input)).await;
    }
    let mut out = match facts.body {
        Body::None => worker.buffers.take_small(),
        _ => worker.buffers.take(),
    };
    let onward = measured.onward();
    let addition = Addition {
        default_host: upstream.id.service.as_str(),
        attested: attested.as_ref(),
        rules: rules.as_deref(),
        onward: onward.as_ref(),
    };
    rewrite::request(&mut out, bytes, &mut head, addition);
    buffer.consume(head.length);
    *input = Some(buffer);
    exchange(
        context::Exchange {
            worker,
            client,
            listener,
            upstream,
            facts,
            measured,
            rules: rules.as_deref(),
            id,
            is_secure,
        },
        input,
        out,
    )
    .await
}

/// Counts a request that could not be read.
fn note_unread(connection: Connection<'_>, error: GatewayError) {
    let Connection {
        worker,
        listener,
        origin,
        ..
    } = connection;
    let kept = telemetry::begin(worker, listener, (origin, None), Version::One, None);
    Refused::from(error).note(worker, listener, kept, None);
}

/// Serves one request where a backend may speak HTTP/2.
async fn translate(
    connection: Connection<'_>,
    (upstream, rules): (&Upstream, Option<&Rules>),
    measured: &Measured<'_>,
    (request, attested): (Result<Request, Refusal>, Option<&Attested<'_>>),
    buffer: Pooled,
    input: &mut Option<Pooled>,
) -> Next {
    let Connection {
        worker,
        client,
        listener,
        ..
    } = connection;
    *input = (!buffer.is_empty()).then_some(buffer);
    let mut request = match request {
        Ok(request) => request,
        Err(refusal) => {
            let error = GatewayError::BadRequest(refusal);
            measured.refused(error, None);
            return refuse(worker, client, error).await;
        }
    };
    if let Some(attested) = attested {
        request.attest(attested);
    }
    if let Some(onward) = measured.onward() {
        request.follow(&onward);
    }
    if let Some(rules) = rules {
        request.change(rules);
    }
    let facts = request.facts;
    let one = context::Exchange {
        worker,
        client,
        listener,
        upstream,
        facts,
        measured,
        rules,
        id: attested.map(|attested| &attested.id),
        is_secure: attested.is_some_and(Attested::is_secure),
    };
    translated::serve(one, request, input).await
}

/// Why there is no request.
enum HeadEnd {
    /// The client ended the connection.
    Closed,
    /// The client is told what is wrong.
    Refused(GatewayError),
}

/// Reads a request's head, which stays in the buffer.
async fn read_head(
    worker: &Worker,
    client: &Socket,
    buffer: &mut Pooled,
) -> Result<RequestHead, HeadEnd> {
    let refused = |refusal| HeadEnd::Refused(GatewayError::BadRequest(refusal));
    let reading = async {
        let mut scanned = 0;
        // What speaks another protocol, TLS above all, would wait for us as we would for it.
        let first = buffer.bytes().first();
        if first.is_some_and(|byte| !byte.is_ascii_graphic() && !b"\r\n".contains(byte)) {
            return Err(refused(Refusal::Malformed(
                "it does not begin with a method",
            )));
        }
        loop {
            match head_end(buffer.bytes(), scanned).map_err(refused)? {
                Some(end) => {
                    return request::parse_complete(&buffer.bytes()[..end]).map_err(refused);
                }
                None => scanned = buffer.bytes().len(),
            }
            if buffer.is_full() {
                // One byte more than a head may have is enough to refuse it.
                buffer.grow(HEAD_BYTES + 1);
            }
            match client.read(buffer).await {
                Ok(0) | Err(_) => return Err(HeadEnd::Closed),
                Ok(_) => {}
            }
        }
    };
    match tokio::time::timeout(worker.limits.head, reading).await {
        Ok(head) => head,
        Err(_) => Err(HeadEnd::Refused(GatewayError::SlowRequest)),
    }
}

/// Tells a client what is wrong with its request. Nothing after it is read as a request: what
/// looks like one may be part of what was not understood.
async fn refuse(worker: &Worker, client: &Socket, error: GatewayError) -> Next {
    let reply = Reply {
        manner: Manner::default(),
        wants: Wants::Text,
        head_only: false,
        keep_alive: false,
        old_version: false,
    };
    answer(worker, client, error, reply).await
}
