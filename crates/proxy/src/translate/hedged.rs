//! A request with HTTP/2 on a side that is sent to another endpoint too when the first lets it wait
//! for long.

use std::pin::pin;
use std::rc::Rc;

use super::context::{Attempt, Exchange};
use super::source::Replayable;
use super::{to_http1, to_http2};
use crate::dial::{Connected, dial};
use crate::hedge::{Ended, Second, race};
use crate::http::gateway_error::GatewayError;
use crate::retry::Tries;

impl Ended for Attempt {
    fn is_final(&self) -> bool {
        match self {
            Self::Over(_) => true,
            // There is no time left for the other one either.
            Self::Failed(GatewayError::Timeout | GatewayError::Deadline) => true,
            Self::Failed(_) | Self::Again(_) => false,
        }
    }
}

/// Whether there may be another attempt beside the first. Nothing in a call of gRPC says that it is
/// harmless to make it twice, so that is declared.
pub(super) fn may(exchange: &Exchange<'_>, tries: &Tries) -> bool {
    let hedges = &exchange.upstream.hedges;
    hedges.is_on()
        && match exchange.is_grpc {
            true => tries.may_hedge_call() && hedges.has_call(&exchange.request.path),
            false => tries.may_hedge(exchange.upstream),
        }
}

/// An attempt at a backend of either kind, and another one beside it if it waits for long and all of
/// the body has been sent.
pub(super) async fn attempt(
    exchange: &Exchange<'_>,
    connected: Connected,
    tries: &Tries,
    body: &mut Replayable<'_>,
) -> Attempt {
    let upstream = exchange.upstream;
    let endpoint = connected.shared_endpoint().clone();
    let taken = body.share();
    let second = async || {
        let pieces = taken.whole()?;
        let own = tries.beside(upstream, Rc::as_ptr(&endpoint))?;
        let dialed = {
            let dialing = pin!(dial(exchange.worker, upstream, &own));
            exchange.in_time(dialing).await
        };
        let Some(Ok(connected)) = dialed else {
            return None;
        };
        tries.count_hedge(upstream);
        let measured = exchange.measured;
        measured.goes_to(connected.shared_endpoint(), tries);
        Some(Second {
            endpoint: connected.endpoint(),
            attempt: Box::pin(async move {
                let mut body = Replayable::of(pieces);
                let end = one(exchange, connected, tries, &mut body).await;
                drop(own);
                end
            }),
        })
    };
    let first = Box::pin(one(exchange, connected, tries, body));
    let first = (Rc::as_ptr(&endpoint), first as _);
    race(
        &tries.race,
        first,
        upstream.hedges.after(),
        second,
        |seen| {
            upstream.saw_first(&endpoint, seen.took, seen.has_lost);
            if !seen.has_lost {
                exchange.measured.goes_to(&endpoint, tries);
            }
        },
    )
    .await
}

async fn one(
    exchange: &Exchange<'_>,
    connected: Connected,
    tries: &Tries,
    body: &mut Replayable<'_>,
) -> Attempt {
    match connected {
        Connected::Alone(backend) => to_http1::attempt(exchange, backend, tries, body).await,
        Connected::Shared(backend) => to_http2::attempt(exchange, backend, tries, body).await,
    }
}
