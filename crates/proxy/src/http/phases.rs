//! The two directions of an exchange, which run at once: a backend may answer before it has read
//! the request, and a client may wait for `100 Continue` before it sends the rest.
//!
//! Futures are taken by reference: one that is passed by value is stored twice, once more at each
//! level, and what is waiting for an answer should take little memory.

use std::pin::Pin;
use std::time::{Duration, Instant};

use super::gateway_error::GatewayError;
use super::refusal::Refusal;

/// Why a body was not relayed to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// Its sender closed or failed within it.
    Source,
    /// Its sender fell silent within it.
    Idle,
    /// It does not follow the chunked coding.
    Malformed(Refusal),
    /// It is longer than it may be.
    TooLong,
    /// Its receiver closed, failed or does not take it.
    Sink,
}

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

/// How far a request has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Some of it is still to be sent.
    Partly,
    /// All of it.
    Wholly,
    /// The backend does not take the rest. It may still answer.
    Rejected,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The backend, or the wait for it, failed.
    Failed(GatewayError),
    /// The client is gone.
    ClientGone,
    /// There is one, but another endpoint is asked. `rest` is how much of it is still to come, where
    /// its connection can be used again after that.
    PassedOver { rest: Option<u64> },
}

/// Waits for the head of the answer while the request is being sent. `timeout` runs from the end
/// of the request, at which `ends` is called; `gone` returns when the client does not want an answer
/// any more. With the head comes the time at which all of the request had been sent, if it had been.
pub(crate) async fn await_head<Head>(
    mut sending: Pin<&mut impl Future<Output = Result<(), BodyError>>>,
    sent: &mut Sent,
    mut reading: Pin<&mut impl Future<Output = Result<Head, NoAnswer>>>,
    (gone, ends): (impl AsyncFn(), impl FnOnce()),
    timeout: Duration,
) -> Result<(Head, Option<Instant>), NoAnswer> {
    while *sent == Sent::Partly {
        tokio::select! {
            biased;
            result = &mut sending => *sent = sent_after(result)?,
            head = &mut reading => return head.map(|head| (head, None)),
            // Sending may itself be waiting, for a backend that does not read.
            () = gone() => return Err(NoAnswer::ClientGone),
        }
    }
    ends();
    let ended = Instant::now();
    let deadline = (ended + timeout).into();
    let wholly = (*sent == Sent::Wholly).then_some(ended);
    tokio::select! {
        biased;
        head = reading => head.map(|head| (head, wholly)),
        () = gone() => Err(NoAnswer::ClientGone),
        () = tokio::time::sleep_until(deadline) => Err(NoAnswer::Failed(GatewayError::Timeout)),
    }
}

/// What the end of the sending side means while there is no answer yet.
fn sent_after(result: Result<(), BodyError>) -> Result<Sent, NoAnswer> {
    match result {
        Ok(()) => Ok(Sent::Wholly),
        Err(BodyError::Sink) => Ok(Sent::Rejected),
        Err(BodyError::Source) => Err(NoAnswer::ClientGone),
        Err(BodyError::Idle) => Err(NoAnswer::Failed(GatewayError::IdleTimeout)),
        Err(BodyError::TooLong) => Err(NoAnswer::Failed(GatewayError::BodyTooLarge)),
        Err(BodyError::Malformed(refusal)) => {
            Err(NoAnswer::Failed(GatewayError::BadRequest(refusal)))
        }
    }
}

/// Does what is given unless its deadline comes first, where it has one.
pub(crate) async fn in_time<T>(
    deadline: Option<tokio::time::Instant>,
    what: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    match deadline {
        None => Some(what.await),
        Some(deadline) => {
            let what = Box::pin(tokio::time::timeout_at(deadline, what));
            what.await.ok()
        }
    }
}

/// Waits for the end of the answer while the rest of the request is being sent.
pub(crate) async fn await_end<End>(
    mut sending: Pin<&mut impl Future<Output = Result<(), BodyError>>>,
    sent: &mut Sent,
    mut relay: Pin<&mut impl Future<Output = Result<End, BodyError>>>,
    gone: impl AsyncFn(),
) -> Result<End, BodyError> {
    while *sent == Sent::Partly {
        tokio::select! {
            biased;
            end = &mut relay => return end,
            result = &mut sending => *sent = match result {
                Ok(()) => Sent::Wholly,
                Err(BodyError::Sink) => Sent::Rejected,
                Err(error) => return Err(error),
            },
            () = gone() => return Err(BodyError::Sink),
        }
    }
    tokio::select! {
        biased;
        end = relay => end,
        () = gone() => Err(BodyError::Sink),
    }
}
