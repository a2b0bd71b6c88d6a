//! A client's connection: one request after the other, never two at a time. What a client sends
//! ahead waits in the buffer that its request arrived in, and then in the kernel.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::rc::Rc;

use model::Protocol;

use super::exchange::{Exchange, exchange};
use super::fields::head_end;
use super::gateway_error::{self, GatewayError, Reply};
use super::request::{self, Body, RequestHead};
use super::rewrite::{self, Addition};
use crate::limits::HEAD_BYTES;
use crate::socket::{Socket, unless};
use crate::worker::buffers::Pooled;
use crate::worker::{Listener, Upstream, Worker};

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request is read.
    Request,
    /// It is closed once the client has had time to read the answer.
    Linger,
    /// It is closed.
    Close,
    /// It is reset: the client must not take what it has for a whole answer.
    Reset,
}

/// Serves a client's connection to its end.
pub(crate) async fn serve(worker: &Rc<Worker>, client: Socket, listener: &Listener, peer: IpAddr) {
    // Held only while there are bytes in it or a request is being served.
    let mut input: Option<Pooled> = None;
    let next = loop {
        if input.as_ref().is_none_or(|input| input.is_empty()) {
            input = None;
            if idle(worker, &client, listener).await.is_break() {
                break Next::Close;
            }
        }
        match serve_request(worker, &client, listener, peer, &mut input).await {
            Next::Request => {}
            end => break end,
        }
    };
    match next {
        Next::Request | Next::Close => {}
        Next::Linger => linger(worker, &client, input).await,
        Next::Reset => client.reset_on_close(),
    }
}

/// Waits for the first byte of a request, without a buffer.
async fn idle(worker: &Worker, client: &Socket, listener: &Listener) -> ControlFlow<()> {
    let readable = unless(listener.gone(), client.readable());
    match tokio::time::timeout(worker.limits.keep_alive, readable).await {
        Ok(Some(Ok(()))) => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

/// Serves one request through all its phases.
async fn serve_request(
    worker: &Rc<Worker>,
    client: &Socket,
    listener: &Listener,
    peer: IpAddr,
    input: &mut Option<Pooled>,
) -> Next {
    let buffer = input.get_or_insert_with(|| worker.buffers.take());
    let mut head = match read_head(worker, client, buffer).await {
        Ok(head) => head,
        Err(HeadEnd::Closed) => return Next::Close,
        Err(HeadEnd::Refused(error)) => return refuse(worker, client, error).await,
    };
    let facts = head.facts;
    let bytes = &buffer.bytes()[..head.length];
    let upstream = match route(worker, listener, &head, bytes) {
        Ok(upstream) => upstream,
        Err(error) => {
            buffer.consume(head.length);
            let keep_alive = facts.keep_alive && facts.body == Body::None && !listener.is_gone();
            let reply = Reply {
                json: facts.prefers_json,
                head_only: facts.is_head,
                keep_alive,
                old_version: facts.old_version,
            };
            return answer(worker, client, error, reply).await;
        }
    };
    let mut out = match facts.body {
        Body::None => worker.buffers.take_small(),
        _ => worker.buffers.take(),
    };
    let addition = Addition {
        default_host: upstream.id.service.as_str(),
        client: listener.upstream().is_none().then_some(peer),
    };
    rewrite::request(&mut out, bytes, &mut head, addition);
    buffer.consume(head.length);
    exchange(
        Exchange {
            worker,
            client,
            listener,
            upstream: &upstream,
            facts,
        },
        input,
        out,
    )
    .await
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

/// Finds where a request goes.
fn route(
    worker: &Worker,
    listener: &Listener,
    head: &RequestHead,
    bytes: &[u8],
) -> Result<Rc<Upstream>, GatewayError> {
    let upstream = match listener.upstream() {
        Some(upstream) => upstream,
        None => {
            let (host, path) = (
                &bytes[head.host.clone()],
                &bytes[head.path_and_query.clone()],
            );
            worker
                .view
                .borrow()
                .route(host, path)
                .ok_or(GatewayError::NoRoute)?
        }
    };
    match upstream.protocol() {
        Protocol::Http => Ok(upstream),
        Protocol::Tcp => Err(GatewayError::WrongProtocol),
    }
}

/// Tells a client what is wrong with its request. Nothing after it is read as a request: what
/// looks like one may be part of what was not understood.
async fn refuse(worker: &Worker, client: &Socket, error: GatewayError) -> Next {
    let reply = Reply {
        json: false,
        head_only: false,
        keep_alive: false,
        old_version: false,
    };
    answer(worker, client, error, reply).await
}

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

/// Ends the connection towards the client and drops what it still sends, for a while: closing
/// with bytes unread would reset the connection and destroy the answer on its way.
async fn linger(worker: &Worker, client: &Socket, input: Option<Pooled>) {
    client.shutdown_write();
    drop(input);
    let mut left = worker.limits.linger_bytes;
    let dropping = async {
        while left > 0 && client.readable().await.is_ok() {
            let mut buffer = worker.buffers.take();
            match client.try_read(&mut buffer) {
                Some(Ok(0) | Err(_)) => return,
                Some(Ok(count)) => left = left.saturating_sub(count),
                None => {}
            }
        }
    };
    // Either way the connection is closed now.
    let _ = tokio::time::timeout(worker.limits.linger, dropping).await;
}
