//! A span as OTLP has it (opentelemetry-proto, `trace/v1/trace.proto`), with attributes by the
//! semantic conventions for HTTP.

use std::time::Duration;

use super::record::{Outcome, Record, Trace, Version};
use crate::protobuf::Message;

/// Kinds of spans: one who is asked, and one who asks.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
/// The status of a span that failed.
const ERROR: u64 = 2;
/// The field of `ScopeSpans` that each span is.
const SPANS: u32 = 2;

/// Writes a span as a field of `ScopeSpans`: several, one behind the other, are those of one.
pub(super) fn write(out: &mut Vec<u8>, record: &Record, trace: &Trace) {
    let outcome = &record.outcome.get();
    Message::new(out).message(SPANS, |span| {
        span.bytes(1, &trace.own.trace);
        span.bytes(2, &trace.own.span);
        if let Some(parent) = &trace.parent {
            span.bytes(4, parent);
        }
        span.bytes(5, name(record).as_bytes());
        // A call of one service by another is one that the proxy makes in the caller's place.
        span.number(6, if record.is_edge { SERVER } else { CLIENT });
        span.fixed_64(7, nanoseconds(record.began));
        span.fixed_64(8, nanoseconds(record.began + outcome.whole));
        attributes(span, record, outcome);
        if outcome.is_cut || outcome.is_failure {
            span.message(15, |status| status.number(3, ERROR));
        }
        // It is known whether the parent is on another machine only from outside; bit 0 is the
        // flag of the trace.
        span.fixed_32(16, 1);
    });
}

/// The method, and what kind of thing is asked for: never a path, of which there are too many.
fn name(record: &Record) -> String {
    let method = match record.method() {
        [] => "HTTP".into(),
        method => String::from_utf8_lossy(method),
    };
    match (&*record.route.borrow(), &*record.upstream.borrow()) {
        (Some(route), _) => format!("{method} {route}"),
        (None, Some(upstream)) => format!("{method} {}", upstream.id),
        (None, None) => method.into_owned(),
    }
}

fn attributes(span: &mut Message<'_>, record: &Record, outcome: &Outcome) {
    let lossy = |bytes| String::from_utf8_lossy(bytes);
    let peer = record.peer.to_canonical().to_string();
    let route = record.route.borrow();
    for (key, value) in [
        ("http.request.method", lossy(record.method())),
        ("server.address", lossy(record.host())),
        ("url.path", lossy(record.path())),
        ("http.route", route.as_deref().unwrap_or_default().into()),
        ("client.address", peer.into()),
        (
            "roadbed.caller",
            record.caller.as_deref().unwrap_or_default().into(),
        ),
        ("error.type", error(outcome).into()),
    ] {
        if !value.is_empty() {
            text(span, key, &value);
        }
    }
    text(span, "network.protocol.name", "http");
    text(span, "network.protocol.version", version(record.version));
    text(
        span,
        "url.scheme",
        if record.is_secure { "https" } else { "http" },
    );
    if let Some(status) = outcome.status {
        number(span, "http.response.status_code", status.into());
    }
    if let Some(grpc) = outcome.grpc {
        number(span, "rpc.grpc.status_code", grpc.into());
    }
    number(span, "http.request.body.size", record.received.get());
    number(span, "http.response.body.size", record.sent.get());
    if record.retries.get() > 0 {
        number(
            span,
            "http.request.resend_count",
            record.retries.get().into(),
        );
    }
    if let Some(upstream) = &*record.upstream.borrow() {
        text(span, "roadbed.app", upstream.id.app.as_str());
        text(span, "roadbed.service", upstream.id.service.as_str());
    }
    if let Some(endpoint) = &*record.endpoint.borrow() {
        text(span, "roadbed.instance", &endpoint.instance.to_string());
        number(span, "roadbed.release", endpoint.instance.release);
    }
}

/// Why a request failed.
fn error(outcome: &Outcome) -> &'static str {
    match outcome.reason {
        Some(reason) => reason,
        None if outcome.is_cut => "cut",
        None => "",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Old => "1.0",
        Version::One => "1.1",
        Version::Two => "2",
    }
}

/// The field of a span, and of a resource's, that each attribute is.
const ATTRIBUTES: u32 = 9;

fn text(span: &mut Message<'_>, key: &str, value: &str) {
    span.message(ATTRIBUTES, |attribute| {
        text_attribute(attribute, key, value)
    });
}

/// Writes the fields of `KeyValue`.
pub(super) fn text_attribute(attribute: &mut Message<'_>, key: &str, value: &str) {
    attribute.bytes(1, key.as_bytes());
    attribute.message(2, |any| any.bytes(1, value.as_bytes()));
}

fn number(span: &mut Message<'_>, key: &str, value: u64) {
    span.message(ATTRIBUTES, |attribute| {
        attribute.bytes(1, key.as_bytes());
        attribute.message(2, |any| any.some_number(3, value));
    });
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
