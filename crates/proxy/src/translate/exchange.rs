//! One request and its answer: a backend is found, tried, and another is tried where the first
//! cannot have done anything with the request.

use std::pin::pin;
use std::time::Instant;

use super::context::{Attempt, Exchange};
use super::source::Replayable;
use super::{grpc, to_http1, to_http2};
use crate::dial::{Connected, dial};
use crate::files;
use crate::http::gateway_error::GatewayError;
use crate::http::phases::Next;
use crate::retry::{Fault, Tries};

/// Has a backend answer a request whose body is `body`; what becomes of the client's connection.
pub(crate) async fn exchange(exchange: &Exchange<'_>, mut body: Replayable<'_>) -> Next {
    if let Some(files) = exchange.upstream.files() {
        return Box::pin(files::answer(exchange, &files)).await;
    }
    let facts = exchange.request.facts;
    let mut tries = Tries::new(facts);
    let error = loop {
        let dialed = {
            let dialing = pin!(dial(exchange.worker, exchange.upstream, &tries));
            exchange.in_time(dialing).await
        };
        if let Some(Ok(connected)) = &dialed {
            tries.went_to(connected.endpoint());
        }
        let attempt = match dialed {
            Some(Ok(Connected::Alone(backend))) => {
                to_http1::attempt(exchange, backend, &tries, &mut body).await
            }
            Some(Ok(Connected::Shared(backend))) => {
                Box::pin(to_http2::attempt(exchange, backend, &tries, &mut body)).await
            }
            Some(Err(error)) => break error,
            None => break GatewayError::Timeout,
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
    exchange.measured.answered(error.status(), status);
    Box::pin(exchange.client.fail(error, facts, is_grpc, exchange.id)).await
}
