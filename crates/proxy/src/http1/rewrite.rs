//! The head that leaves, from the head that arrived: its first line and what is for this
//! connection only are written anew, everything else is copied as it came.

use model::FieldChanges;

use super::request::RequestHead;
use super::response::ResponseHead;
use crate::buffers::Buffer;
use crate::http::attest::Attested;
use crate::http::date;
use crate::http::message::Body;
use crate::http::request_id::{REQUEST_ID, RequestId};
use crate::http::security;
use crate::routing::rules::Rules;
use crate::telemetry::Onward;
use crate::telemetry::trace_context::TRACEPARENT;

/// What a request is told on its way that its client did not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addition<'a> {
    /// `Host`, where the client gave none.
    pub(crate) default_host: &'a str,
    /// What the edge says of it, there. What the client itself claimed is left out.
    pub(crate) attested: Option<&'a Attested<'a>>,
    /// What its route changes.
    pub(crate) rules: Option<&'a Rules>,
    /// What is said of its trace, in place of what the client said.
    pub(crate) onward: Option<&'a Onward>,
}

/// Writes the request's head for a backend.
pub(crate) fn request(
    out: &mut Buffer,
    bytes: &[u8],
    head: &mut RequestHead,
    addition: Addition<'_>,
) {
    out.append(&bytes[head.method.clone()]);
    out.append(b" ");
    let target = &bytes[head.path_and_query.clone()];
    match addition.rules.and_then(|rules| rules.path.as_ref()) {
        Some(change) => change.write(target, &mut |part| out.append(part)),
        None => out.append(target),
    }
    out.append(b" HTTP/1.1\r\n");
    if head.host.is_empty() {
        append_field(out, b"host: ", addition.default_host.as_bytes());
    } else if head.absolute {
        append_field(out, b"host: ", &bytes[head.host.clone()]);
    }
    if addition.attested.is_some() {
        head.fields.drop_claims();
    }
    if let Some(onward) = addition.onward {
        head.fields.drop_all(bytes, |name| onward.replaces(name));
    }
    let changes = addition.rules.map(|rules| &rules.request);
    if let Some(changes) = changes {
        head.fields.drop_changed(bytes, changes);
    }
    for run in head.fields.kept(bytes) {
        out.append(run);
    }
    append_added(out, changes);
    // What a route says of it itself counts.
    let is_changed = changes.is_some_and(|changes| changes.drops(TRACEPARENT.as_bytes()));
    if let Some(onward) = addition.onward.filter(|_| !is_changed) {
        append_field(out, b"traceparent: ", &onward.traceparent);
    }
    if let Some(attested) = addition.attested {
        attested.write(&bytes[head.host.clone()], out);
    }
    if let Some(forwards) = head.facts.forwards {
        let left = forwards.saturating_sub(1).to_string();
        append_field(out, b"max-forwards: ", left.as_bytes());
    }
    if head.facts.body == Body::Chunked {
        out.append(b"transfer-encoding: chunked\r\n");
    }
    if head.facts.upgrade {
        out.append(b"connection: upgrade\r\n");
    }
    out.append(b"\r\n");
}

/// How an answer is framed for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// The client speaks HTTP/1.0.
    pub(crate) old_version: bool,
    /// The client's connection is kept for another request.
    pub(crate) keep_alive: bool,
}

/// What an answer is told on its way that its service did not say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told<'a> {
    /// What its route changes.
    pub(crate) rules: Option<&'a Rules>,
    /// What its request is called, at the edge.
    pub(crate) id: Option<&'a RequestId>,
    /// Whether its client speaks TLS.
    pub(crate) is_secure: bool,
}

/// Writes the answer's head for the client.
pub(crate) fn response(
    out: &mut Buffer,
    bytes: &[u8],
    head: &ResponseHead,
    framing: Framing,
    told: Told<'_>,
) {
    let Told {
        rules,
        id,
        is_secure,
    } = told;
    let changes = rules.map(|rules| &rules.response);
    out.append(b"HTTP/1.1 ");
    let line_end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    // The parser has seen "HTTP/1.x " in front of the status.
    out.append(&bytes[9..line_end]);
    let names_request = id.is_some() && head.fields.has_claims();
    let changed = (names_request || changes.is_some()).then(|| {
        let mut fields = head.fields.clone();
        if let Some(changes) = changes {
            fields.drop_changed(bytes, changes);
        }
        if names_request {
            fields.drop_claims();
        }
        fields
    });
    for run in changed.as_ref().unwrap_or(&head.fields).kept(bytes) {
        out.append(run);
    }
    append_added(out, changes);
    if let Some(rules) = rules.filter(|rules| rules.security) {
        let has = |name: &str| head.fields.values(bytes, name).next().is_some();
        for (name, value) in security::missing(&rules.response, is_secure, has) {
            out.append_parts([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    if let Some(id) = id {
        out.append_parts([REQUEST_ID, b": ", id.as_bytes(), b"\r\n"]);
    }
    if !head.has_date && head.status >= 200 {
        append_field(out, b"date: ", &date::now());
    }
    // An answer that ends with its connection is sent in chunks where the client knows them:
    // then it can tell the end from a failure.
    if !framing.old_version && matches!(head.body, Body::Chunked | Body::UntilClose) {
        out.append(b"transfer-encoding: chunked\r\n");
    }
    if head.upgrade {
        out.append(b"connection: upgrade\r\n");
    } else if head.is_interim() {
    } else if !framing.keep_alive {
        out.append(b"connection: close\r\n");
    } else if framing.old_version {
        out.append(b"connection: keep-alive\r\n");
    }
    out.append(b"\r\n");
}

fn append_added(out: &mut Buffer, changes: Option<&FieldChanges>) {
    for (name, value) in changes.into_iter().flat_map(FieldChanges::added) {
        for part in [name, ": ", value, "\r\n"] {
            out.append(part.as_bytes());
        }
    }
}

fn append_field(out: &mut Buffer, name: &[u8], value: &[u8]) {
    out.append(name);
    out.append(value);
    out.append(b"\r\n");
}
