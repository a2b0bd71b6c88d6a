//! One request and its answer: a backend is found, tried, and another is tried where the first
//! cannot have done anything with the request.

use std::pin::pin;
use std::time::Instant;

use super::context::{Attempt, Exchange};
use super::source::Replayable;
use super::{grpc, hedged, to_http1, to_http2};
use crate::dial::{Connected, dial};
use crate::files;
use crate::http::gateway_error::GatewayError;
use crate::http::phases::{Next, NoAnswer};
use crate::mirror;
use crate::retry::{Fault, Tries};
use crate::routing::rules::priority;

/// Has a backend answer a request whose body is `body`; what becomes of the client's connection. Where
/// its rule says so, a copy goes elsewhere: at once, or when its content has passed.
pub(crate) async fn exchange(exchange: &Exchange<'_>, mut body: Replayable<'_>) -> Next {
    let mut copy = mirror::Copy::of(exchange);
    if body.is_over()
        && let Some(copy) = copy.take()
    {
        copy.send(Some(Vec::new()));
    }
    let next = serve(exchange, &mut body).await;
    if let Some(copy) = copy {
        copy.send(body.whole());
    }
    next
}

async fn serve(exchange: &Exchange<'_>, body: &mut Replayable<'_>) -> Next {
    if let Some(files) = exchange.upstream.files() {
        return Box::pin(files::answer(exchange, &files)).await;
    }
    let facts = exchange.request.facts;
    let mut tries = Tries::of(facts, exchange.rules);
    let admitted = {
        let gone = async || exchange.client.hung_up().await;
        let admitting = pin!(tries.admit(exchange.upstream, priority(exchange.rules), gone));
        exchange.in_time(admitting).await
    };
    let admitted = admitted.unwrap_or(Err(NoAnswer::Failed(exchange.late)));
    let error = loop {
        match admitted {
            Ok(()) => {}
            Err(NoAnswer::Failed(error)) => break error,
            Err(_) => return Next::Close,
        }
        let dialed = {
            let dialing = pin!(dial(exchange.worker, exchange.upstream, &tries));
            exchange.in_time(dialing).await
        };
        if let Some(Ok(connected)) = &dialed {
            tries.went_to(connected.endpoint());
            exchange
                .measured
                .goes_to(connected.shared_endpoint(), &tries);
        }
        let attempt = match dialed {
            Some(Ok(connected)) if hedged::may(exchange, &tries) => {
                Box::pin(hedged::attempt(exchange, connected, &tries, body)).await
            }
            Some(Ok(Connected::Alone(backend))) => {
                to_http1::attempt(exchange, backend, &tries, body).await
            }
            Some(Ok(Connected::Shared(backend))) => {
                Box::pin(to_http2::attempt(exchange, backend, &tries, body)).await
            }
            Some(Err(error)) => break error,
            None => break exchange.late,
        };
        match attempt {
            Attempt::Over(next) => return next,
            Attempt::Failed(error) => break error,
            // What was sent of its body must be there to be sent again.
            Attempt::Again(Fault::Unprocessed) if facts.upgrade || !body.rewind() => {
                break GatewayError::BackendClosed;
            }
            Attempt::Again(fault) if tries.again(exchange.upstream, fault, Instant::now()) => {}
            Attempt::Again(_) => break GatewayError::BackendClosed,
        }
    };
    let is_grpc = exchange.is_grpc;
    let status = is_grpc.then(|| grpc::status_of(error));
    exchange.measured.refused(error, status);
    let manner = exchange.manner();
    Box::pin(exchange.client.fail(error, facts, is_grpc, manner)).await
}
