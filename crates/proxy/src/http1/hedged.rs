//! A request from HTTP/1.1 to HTTP/1.1 that is sent to another endpoint too when the first lets it
//! wait for long.

use std::pin::pin;
use std::rc::Rc;

use super::context::Exchange;
use super::exchange::{self, Attempt};
use crate::buffers::Pooled;
use crate::dial::{Backend, Connected, dial};
use crate::hedge::{Ended, Second, race};
use crate::http::gateway_error::GatewayError;
use crate::http::phases::in_time;
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

/// An attempt as [`exchange::attempt`] makes it, of a request without a body whose head is `out`, and
/// another one beside it if it waits for long.
pub(super) async fn attempt(
    exchange: Exchange<'_>,
    backend: Backend,
    tries: &Tries,
    input: &mut Option<Pooled>,
    out: &mut Pooled,
) -> Attempt {
    let (worker, upstream) = (exchange.worker, exchange.upstream);
    let endpoint = backend.shared_endpoint().clone();
    let mut again = worker.buffers.take_small();
    again.append(out.bytes());
    let second = async || {
        let own = tries.beside(upstream, Rc::as_ptr(&endpoint))?;
        let dialed = {
            let dialing = pin!(dial(worker, upstream, &own));
            in_time(exchange.deadline(), dialing).await
        };
        let Some(Ok(Connected::Alone(backend))) = dialed else {
            return None;
        };
        tries.count_hedge(upstream);
        exchange.measured.goes_to(backend.shared_endpoint(), tries);
        Some(Second {
            endpoint: Rc::as_ptr(backend.shared_endpoint()),
            attempt: Box::pin(async move {
                let (mut nothing, mut again) = (None, again);
                let attempt = exchange::attempt(exchange, backend, tries, &mut nothing, &mut again);
                let end = attempt.await;
                drop(own);
                end
            }),
        })
    };
    let first = Box::pin(exchange::attempt(exchange, backend, tries, input, out));
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
