//! A request of HTTP/1.x whose backend may speak HTTP/2.

use super::context::Exchange;
use super::request;
use crate::buffers::Pooled;
use crate::http::gateway_error::GatewayError;
use crate::http::message::{Body, RequestFacts};
use crate::http::phases::Next;
use crate::routing::rules::body_limit;
use crate::translate::client::Client;
use crate::translate::request::Request;
use crate::translate::source::{Http1Source, Replayable, Source};
use crate::translate::{self, Exchange as Translation};

/// Has a backend of either kind answer `request`, whose body is in `input` and in what its client
/// sends after that.
pub(crate) async fn serve(
    exchange: Exchange<'_>,
    request: Request,
    input: &mut Option<Pooled>,
) -> Next {
    let Exchange {
        worker,
        client,
        listener,
        upstream,
        measured,
        rules,
        id,
        is_secure,
        ..
    } = exchange;
    let facts = request.facts;
    let source = match (facts.upgrade, facts.body) {
        (true, _) => Source::Http1(Http1Source::raw(worker, client, input)),
        (false, Body::None) => Source::Nothing,
        (false, body) => Source::Http1(Http1Source::new(worker, client, input, body)),
    };
    let client = Client::Http1 {
        worker,
        socket: client,
        listener,
    };
    let one = Translation::new(worker, (upstream, rules), client, request, measured);
    let one = one.named(id, is_secure);
    let body = Replayable::new(source, body_limit(rules, facts));
    translate::exchange(&one, body).await
}

/// The request whose head is about to be sent to a backend of HTTP/1.1 as `head`, when it turns
/// out that its upstream has changed to HTTP/2 meanwhile.
///
/// # Errors
/// HTTP/2 cannot carry it.
pub(crate) fn again(head: &[u8], facts: RequestFacts) -> Result<Request, GatewayError> {
    let bad = GatewayError::BadRequest;
    // It was written by us, within the limits but for what we have added.
    let parsed = request::parse(head).map_err(bad)?;
    let parsed = parsed.ok_or(GatewayError::ConnectFailed)?;
    let mut request = Request::from_http1(head, &parsed).map_err(bad)?;
    let upgrade = request.facts.upgrade;
    // What the client can be told, and what becomes of its connection, is as it asked.
    request.facts = RequestFacts { upgrade, ..facts };
    request.count_forward();
    Ok(request)
}
