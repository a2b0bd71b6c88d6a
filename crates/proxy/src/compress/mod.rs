//! Answers that are made smaller on their way, where their route asks for it: which ones, and what
//! their heads say then. [`encoder`] does it, and [`pieces`] takes what a service sends as it comes,
//! so that nothing waits for more.

mod encoder;
mod pieces;

use std::rc::Rc;

use http::StatusCode;

use self::encoder::Encoder;
pub(crate) use self::pieces::Compressed;
use crate::http::accept_encoding::{Coding, accepted};
use crate::http::fields::{content_length, elements};
use crate::http::message::Body;
use crate::limits::{COMPRESSED_AT_A_TIME, LEAST_COMPRESSED};
use crate::translate::Exchange;
use crate::translate::answer::Answer;
use crate::worker::Worker;

/// What compresses one answer. It counts among those of its worker until it is dropped.
pub(crate) struct Compression {
    encoder: Encoder,
    _slot: Slot,
}

struct Slot(Rc<Worker>);

impl Slot {
    /// One of those that a worker has, if one is free.
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let count = worker.compressing.get();
        (count < COMPRESSED_AT_A_TIME).then(|| {
            worker.compressing.set(count + 1);
            Self(worker.clone())
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.compressing.set(self.0.compressing.get() - 1);
    }
}

/// Decides whether `answer` is compressed, and has its head say so; none where it stays as it is.
/// Without a free slot it does: to be quick is worth more than to be small.
pub(crate) fn prepare(exchange: &Exchange<'_>, answer: &mut Answer) -> Option<Compression> {
    if answer.status == StatusCode::NOT_MODIFIED {
        // What it would say of the whole answer it says of that (RFC 9110 section 15.4.5).
        vary(answer);
    }
    let is_head = exchange.request.facts.is_head;
    if !may_be_compressed(answer, is_head) || exchange.is_grpc {
        return None;
    }
    vary(answer);
    let taken = accepted(exchange.request.fields.all(b"accept-encoding"));
    let coding = *taken.first()?;
    if is_head {
        // The fields are those that GET would have (RFC 9110 section 9.3.2), as far as they are known.
        announce(answer, coding);
        answer.body = Body::None;
        return None;
    }
    let slot = Slot::take(exchange.worker)?;
    let encoder = Encoder::new(coding)
        .inspect_err(|error| tracing::error!(%error, "nothing can be compressed"))
        .ok()?;
    announce(answer, coding);
    Some(Compression {
        encoder,
        _slot: slot,
    })
}

/// Whether an answer would be smaller and is not forbidden to be (RFC 9110 section 7.7).
fn may_be_compressed(answer: &Answer, is_head: bool) -> bool {
    let fields = &answer.fields;
    let is_part = matches!(answer.status.as_u16(), 100..=199 | 204..=206 | 304);
    let length = fields.get(b"content-length");
    let is_long = match answer.body {
        // What GET would bring.
        Body::None if is_head => match length.map(content_length) {
            None => true,
            Some(length) => length.is_ok_and(|length| length >= LEAST_COMPRESSED),
        },
        Body::None => false,
        Body::Length(length) => length >= LEAST_COMPRESSED,
        Body::Chunked | Body::UntilClose => true,
    };
    let mut kept = fields.all(b"cache-control").flat_map(elements);
    is_long
        && !is_part
        && !fields.contains(b"content-encoding")
        && !fields.contains(b"content-range")
        && !kept.any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
        && fields.get(b"content-type").is_some_and(is_compressible)
}

/// Whether content of this type is not compressed in itself.
fn is_compressible(value: &[u8]) -> bool {
    const TYPES: [&[u8]; 14] = [
        b"application/atom+xml",
        b"application/graphql-response+json",
        b"application/javascript",
        b"application/json",
        b"application/manifest+json",
        b"application/rss+xml",
        b"application/wasm",
        b"application/x-ndjson",
        b"application/xhtml+xml",
        b"application/xml",
        b"font/otf",
        b"font/ttf",
        b"image/svg+xml",
        b"image/x-icon",
    ];
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let name = value[..end].trim_ascii().to_ascii_lowercase();
    name.starts_with(b"text/")
        || TYPES.contains(&&name[..])
        || name.starts_with(b"application/")
            && (name.ends_with(b"+json") || name.ends_with(b"+xml"))
}

/// Says that another client may get this otherwise, also where this one gets it as it is: a cache
/// must not give to one what is for the other.
fn vary(answer: &mut Answer) {
    let names = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
    let is_said = answer.fields.all(b"vary").flat_map(elements).any(names);
    if !is_said {
        answer.fields.push(b"vary", b"accept-encoding");
    }
}

/// Has a head say that its content is in `coding`.
fn announce(answer: &mut Answer, coding: Coding) {
    let fields = &mut answer.fields;
    fields.push(b"content-encoding", coding.name().as_bytes());
    fields.remove(b"content-length");
    // Of what is compressed at the moment no part can be asked for.
    fields.remove(b"accept-ranges");
    // A digest of the content as it was.
    fields.remove(b"content-digest");
    fields.remove(b"content-md5");
    // It is the same for whoever reads it, and not byte by byte (RFC 9110 section 8.8.1).
    if let Some(tag) = fields.get(b"etag").filter(|tag| tag.starts_with(b"\"")) {
        let weak = [b"W/", tag].concat();
        fields.set(b"etag", &weak);
    }
    answer.body = Body::Chunked;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::field_section::FieldSection;

    fn answer(status: u16, body: Body, fields: &[(&str, &str)]) -> Answer {
        let fields = fields.iter();
        let fields: FieldSection = fields
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            fields,
            body,
        }
    }

    #[test]
    fn only_what_is_whole_long_and_not_compressed_yet_is() {
        const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
        let long = Body::Length(LEAST_COMPRESSED);
        for (status, body, fields, expected) in [
            (200, long, &[HTML][..], true),
            (404, Body::Chunked, &[HTML], true),
            (
                200,
                Body::UntilClose,
                &[("content-type", "Application/Problem+JSON")],
                true,
            ),
            (200, Body::Length(LEAST_COMPRESSED - 1), &[HTML], false),
            (200, Body::None, &[HTML], false),
            (206, long, &[HTML], false),
            (200, long, &[HTML, ("content-range", "bytes 0-1/2")], false),
            (200, long, &[HTML, ("content-encoding", "gzip")], false),
            (200, long, &[HTML, ("content-encoding", "identity")], false),
            (
                200,
                long,
                &[HTML, ("cache-control", "max-age=1, No-Transform")],
                false,
            ),
            (200, long, &[("content-type", "image/png")], false),
            (
                200,
                long,
                &[("content-type", "application/octet-stream")],
                false,
            ),
            (200, long, &[], false),
        ] {
            let answer = answer(status, body, fields);
            assert_eq!(
                may_be_compressed(&answer, false),
                expected,
                "{status} {body:?} {fields:?}"
            );
        }
    }

    #[test]
    fn head_is_told_what_get_would_be() {
        const HTML: (&str, &str) = ("content-type", "text/html");
        for (fields, expected) in [
            (&[HTML][..], true),
            (&[HTML, ("content-length", "5000")], true),
            (&[HTML, ("content-length", "10")], false),
            (&[("content-type", "image/png")], false),
        ] {
            let answer = answer(200, Body::None, fields);
            assert_eq!(may_be_compressed(&answer, true), expected, "{fields:?}");
            assert!(!may_be_compressed(&answer, false));
        }
    }

    #[test]
    fn the_head_says_what_becomes_of_the_content() {
        let fields = [
            ("etag", "\"a\""),
            ("content-length", "5000"),
            ("accept-ranges", "bytes"),
            ("vary", "cookie"),
        ];
        let mut answer = answer(200, Body::Length(5000), &fields);
        vary(&mut answer);
        vary(&mut answer);
        announce(&mut answer, Coding::Gzip);
        let all: Vec<_> = answer.fields.iter().collect();
        assert_eq!(
            all,
            [
                (&b"vary"[..], &b"cookie"[..]),
                (b"vary", b"accept-encoding"),
                (b"content-encoding", b"gzip"),
                (b"etag", b"W/\"a\""),
            ]
        );
        assert_eq!(answer.body, Body::Chunked);
    }
}
