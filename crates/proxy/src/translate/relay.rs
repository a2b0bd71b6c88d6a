//! Passing an answer's body on, and telling of its failure in the way that its client understands.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::context::Exchange;
use super::grpc;
use super::sink::{Sink, pump};
use super::source::{Piece, Source};
use crate::compress::{self, Compressed};
use crate::http::error_page::{Page, is_about_content};
use crate::http::gateway_error::GatewayError;
use crate::http::message::Body;
use crate::http::phases::{BodyError, Next, Sent};
use crate::http2::Reason;
use crate::limits::REPLACED_BYTES;
use crate::retry::Attempted;
use crate::socket::within;

/// The reason that a page shows where it stands in place of what a service has answered.
const OF_A_SERVICE: &str = "service";

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
    let replaced = match page_instead(exchange, status) {
        None => Replaced::No,
        // Rare, and a wait takes much room.
        Some(page) => Box::pin(replace(exchange, page, &mut answer, &mut body)).await,
    };
    let mut facts = exchange.request.facts;
    if replaced == Replaced::Cut {
        facts.keep_alive = false;
    }
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
    let (mut sink, next) = exchange.client.begin(answer, &facts, sent)?;
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
            match replaced {
                // The answer is whole, but the service's connection is of no use any more.
                Replaced::Cut => Err(BodyError::Sink),
                _ => Ok(next),
            }
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

/// What became of the content of a service's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    /// It stays as it is.
    No,
    /// A page took its place, and all of it has come.
    Wholly,
    /// A page took its place, and not all of it was waited for.
    Cut,
}

/// The page of the app that stands in place of what its service answers with this status, if any.
fn page_instead<'a>(exchange: &'a Exchange<'_>, status: u16) -> Option<Page<'a>> {
    let rules = exchange.rules.filter(|rules| rules.replaces_answers)?;
    let pages = rules.pages.as_deref();
    let facts = &exchange.request.facts;
    let is_asked_for = pages?.of(status)?.services && !exchange.is_grpc && !facts.upgrade;
    Page::find(pages, status, facts.wants).filter(|_| is_asked_for)
}

/// Puts a page in place of the content of an answer. The status and all fields stay that are not about
/// the content.
async fn replace(
    exchange: &Exchange<'_>,
    page: Page<'_>,
    answer: &mut Answer,
    body: &mut Source<'_>,
) -> Replaced {
    let status = answer.status.as_u16();
    let limit = exchange.worker.limits.linger;
    let end = within(limit, skip(body, limit)).await;
    let content = page.fill(status, OF_A_SERVICE, exchange.id);
    let fields = &mut answer.fields;
    fields.retain(|name, _| !is_about_content(name));
    fields.push(b"content-type", page.content_type().as_bytes());
    fields.push(b"content-length", content.len().to_string().as_bytes());
    fields.push(b"vary", b"accept");
    (answer.body, *body) = match exchange.request.facts.is_head || content.is_empty() {
        true => (Body::None, Source::Nothing),
        false => (Body::Length(content.len() as u64), Source::Whole(content)),
    };
    match end {
        Some(true) => Replaced::Wholly,
        _ => Replaced::Cut,
    }
}

/// Drops content as long as there is not much of it; whether that was all.
async fn skip(body: &mut Source<'_>, idle: Duration) -> bool {
    let mut left = REPLACED_BYTES;
    loop {
        match body.next(idle).await {
            Ok(Some(Piece::Data(data))) => match left.checked_sub(data.len()) {
                Some(less) => {
                    left = less;
                    body.passed_on(data.len());
                }
                None => return false,
            },
            Ok(Some(Piece::Trailers(_)) | None) => return true,
            Err(_) => return false,
        }
    }
}

/// Ends an answer that has begun so that nobody takes it for whole.
fn fail(exchange: &Exchange<'_>, sink: &mut Sink<'_>, error: GatewayError) {
    if !exchange.is_grpc || !sink.fail_with(&grpc::failure(error)) {
        sink.cut(Reason::INTERNAL_ERROR);
    }
}
