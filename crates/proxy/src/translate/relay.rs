//! Passing an answer's body on, and telling of its failure in the way that its client understands.

use std::pin::pin;
use std::time::Instant;

use super::answer::Answer;
use super::context::Exchange;
use super::grpc;
use super::sink::{Sink, pump};
use super::source::Source;
use crate::compress::{self, Compressed};
use crate::http::gateway_error::GatewayError;
use crate::http::phases::{BodyError, Next, Sent};
use crate::http2::Reason;
use crate::retry::Attempted;

/// Passes an answer on, where it is a backend's to what was attempted; `sent` is how far its request
/// has been sent.
pub(crate) async fn answer(
    exchange: &Exchange<'_>,
    attempted: Option<Attempted<'_>>,
    mut answer: Answer,
    mut body: Source<'_>,
    sent: Sent,
) -> Result<Next, BodyError> {
    let (status, in_head) = (answer.status.as_u16(), grpc::status(&answer.fields));
    exchange.measured.head(status);
    let facts = &exchange.request.facts;
    if let Some(rules) = exchange.rules {
        answer.fields.change(&rules.response);
        if rules.security {
            answer.fields.secure(&rules.response, exchange.is_secure);
        }
    }
    answer.fields.set_id(exchange.id);
    answer.add_date();
    let compression = match exchange.rules {
        Some(rules) if rules.compress => compress::prepare(exchange, &mut answer),
        _ => None,
    };
    let (mut sink, next) = exchange.client.begin(answer, facts, sent)?;
    let sent_bytes = exchange.measured.sent();
    let idle = exchange.idle();
    let outcome = match compression {
        None => {
            let pumping = pin!(pump(&mut body, &mut sink, idle, sent_bytes));
            exchange.in_time(pumping).await
        }
        Some(compression) => {
            let mut pieces = Compressed::new(body, compression);
            let pumping = Box::pin(pump(&mut pieces, &mut sink, idle, sent_bytes));
            exchange.in_time(pin!(pumping)).await
        }
    };
    match outcome {
        Some(Ok(in_trailers)) => {
            exchange.measured.answered(status, in_trailers.or(in_head));
            if let (Some(attempted), Some(status), None) = (attempted, in_trailers, in_head)
                && exchange.is_grpc
            {
                attempted.ended(status, Instant::now());
            }
            Ok(next)
        }
        Some(Err(error)) => {
            let told = match error {
                BodyError::Idle => GatewayError::IdleTimeout,
                _ => GatewayError::BackendClosed,
            };
            fail(exchange, &mut sink, told);
            Err(error)
        }
        None => {
            fail(exchange, &mut sink, exchange.late);
            Err(BodyError::Source)
        }
    }
}

/// Ends an answer that has begun so that nobody takes it for whole.
fn fail(exchange: &Exchange<'_>, sink: &mut Sink<'_>, error: GatewayError) {
    if !exchange.is_grpc || !sink.fail_with(&grpc::failure(error)) {
        sink.cut(Reason::INTERNAL_ERROR);
    }
}
