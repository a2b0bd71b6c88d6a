//! A line of the access log: one object of JSON. What is not known is left out.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{AppName, ServiceName};
use serde::Serialize;

use super::record::Record;
use super::time::rfc3339;
use super::trace_context::write_hex;

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    from: &'static str,
    client: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    protocol: &'static str,
    tls: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_ms: Option<f64>,
    request_bytes: u64,
    response_bytes: u64,
    #[serde(flatten)]
    service: Option<Service<'a>>,
    #[serde(flatten)]
    instance: Option<Instance>,
    #[serde(skip_serializing_if = "is_zero")]
    retries: u32,
    #[serde(flatten)]
    trace: Option<TraceIds>,
}

#[derive(Serialize)]
struct Service<'a> {
    app: &'a AppName,
    service: &'a ServiceName,
}

#[derive(Serialize)]
struct Instance {
    instance: String,
    release: u64,
    endpoint: SocketAddr,
    endpoint_protocol: &'static str,
}

#[derive(Serialize)]
struct TraceIds {
    trace_id: String,
    span_id: String,
    sampled: bool,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Writes the line of a request, with its end.
pub(super) fn write(out: &mut Vec<u8>, record: &Record) {
    let outcome = record.outcome.get();
    let (upstream, endpoint) = (record.upstream.borrow(), record.endpoint.borrow());
    let route = record.route.borrow();
    let line = Line {
        time: &rfc3339(record.began),
        from: match record.is_edge {
            true => "edge",
            false => "mesh",
        },
        // A socket for both IP versions sees IPv4 in IPv6's clothes.
        client: record.peer.to_canonical(),
        caller: record.caller.as_deref(),
        protocol: record.version.text(),
        tls: record.is_secure,
        method: String::from_utf8_lossy(record.method()),
        host: String::from_utf8_lossy(record.host()),
        path: String::from_utf8_lossy(record.path()),
        route: route.as_deref(),
        status: outcome.status,
        grpc_status: outcome.grpc,
        reason: outcome.reason,
        cut: outcome.is_cut,
        duration_ms: milliseconds(outcome.whole),
        head_ms: outcome.head.map(milliseconds),
        request_bytes: record.received.get(),
        response_bytes: record.sent.get(),
        service: upstream.as_ref().map(|upstream| Service {
            app: &upstream.id.app,
            service: &upstream.id.service,
        }),
        instance: endpoint.as_ref().map(|endpoint| Instance {
            instance: endpoint.instance.to_string(),
            release: endpoint.instance.release,
            endpoint: endpoint.address,
            endpoint_protocol: match endpoint.speaks_http2() {
                true => "HTTP/2",
                false => "HTTP/1.1",
            },
        }),
        retries: record.retries.get(),
        trace: record.trace.map(|trace| TraceIds {
            trace_id: hex(&trace.own.trace),
            span_id: hex(&trace.own.span),
            sampled: trace.own.is_sampled,
        }),
    };
    // Neither can fail: it is all text and numbers, and memory takes it.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

/// Milliseconds with three digits behind the point.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn hex(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    write_hex(&mut text, bytes);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::record::{Outcome, Trace, Version};
    use super::super::trace_context::TraceParent;
    use super::*;

    fn written(record: &Record, outcome: Outcome) -> Value {
        record.outcome.set(outcome);
        let mut out = Vec::new();
        write(&mut out, record);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let outcome = Outcome {
            status: Some(400),
            reason: Some("bad-request"),
            ..Outcome::default()
        };
        let expected = json!({
            "time": "1970-01-01T00:00:00.000000Z", "from": "mesh", "client": "0.0.0.0",
            "protocol": "HTTP/1.1", "tls": false, "status": 400, "reason": "bad-request",
            "duration_ms": 0.0, "request_bytes": 0, "response_bytes": 0,
        });
        assert_eq!(written(&Record::empty(), outcome), expected);
    }

    #[test]
    fn all_that_is_known_is_there() {
        let mut record = Record::empty();
        record.version = Version::Two;
        record.caller = Some("shop/web".into());
        record.retries.set(1);
        record.received.set(7);
        record.sent.set(8);
        let own = TraceParent {
            trace: [0xab; 16],
            span: [1; 8],
            is_sampled: true,
        };
        record.trace = Some(Trace { own, parent: None });
        let outcome = Outcome {
            status: Some(200),
            grpc: Some(14),
            is_cut: true,
            head: Some(Duration::from_micros(1_500)),
            whole: Duration::from_micros(12_345),
            ..Outcome::default()
        };
        let line = written(&record, outcome);
        for (field, value) in [
            ("protocol", json!("HTTP/2")),
            ("caller", json!("shop/web")),
            ("grpc_status", json!(14)),
            ("cut", json!(true)),
            ("head_ms", json!(1.5)),
            ("duration_ms", json!(12.345)),
            ("request_bytes", json!(7)),
            ("response_bytes", json!(8)),
            ("retries", json!(1)),
            ("trace_id", json!("ab".repeat(16))),
            ("span_id", json!("01".repeat(8))),
            ("sampled", json!(true)),
        ] {
            assert_eq!(line[field], value, "{line}");
        }
    }
}
