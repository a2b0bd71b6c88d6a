//! One request and its answer: a backend is found, tried, and another is tried where the first
//! cannot have done anything with the request.

use std::pin::pin;

use super::context::{Attempt, Exchange};
use super::source::Replayable;
use super::{grpc, to_http1, to_http2};
use crate::dial::{Connected, Reuse, dial};
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::Next;

/// Has a backend answer a request whose body is `body`; what becomes of the client's connection.
pub(crate) async fn exchange(exchange: &Exchange<'_>, mut body: Replayable<'_>) -> Next {
    let facts = exchange.request.facts;
    // A request without body can be sent once more if doing it twice is harmless.
    let repeatable = facts.idempotent && facts.body == Body::None && !facts.upgrade;
    let mut reuse = match repeatable {
        true => Reuse::Any,
        false => Reuse::Safe,
    };
    let (mut is_first, mut tried) = (true, None);
    let error = loop {
        let dialed = {
            let dialing = pin!(dial(exchange.worker, exchange.upstream, reuse, tried));
            exchange.in_time(dialing).await
        };
        if let Some(Ok(connected)) = &dialed {
            tried = Some(connected.endpoint());
        }
        let attempt = match dialed {
            Some(Ok(Connected::Alone(backend))) => {
                to_http1::attempt(exchange, backend, &mut body).await
            }
            Some(Ok(Connected::Shared(backend))) => {
                Box::pin(to_http2::attempt(exchange, backend, &mut body)).await
            }
            Some(Err(error)) => break error,
            None => break GatewayError::Timeout,
        };
        match attempt {
            Attempt::Over(next) => return next,
            Attempt::Failed(error) => break error,
            Attempt::Stale if is_first && repeatable => {}
            Attempt::Unprocessed if is_first && !facts.upgrade && body.rewind() => {}
            Attempt::Stale | Attempt::Unprocessed => break GatewayError::BackendClosed,
        }
        (is_first, reuse) = (false, Reuse::Never);
    };
    let is_grpc = exchange.is_grpc;
    let status = is_grpc.then(|| grpc::status_of(error));
    exchange.measured.answered(error.status(), status);
    Box::pin(exchange.client.fail(error, facts, is_grpc)).await
}
