//! The codec over byte strings instead of sockets: what fuzz targets and property tests drive. It
//! is the same code that serves connections, without the waiting.

use std::net::IpAddr;

use super::chunked::{Decoder, Step};
use super::fields::head_end;
use super::request::{self, RequestHead};
use super::response;
use super::rewrite::{self, Addition, Framing, Told};
use crate::buffers::Buffer;
use crate::http::Refusal;
use crate::http::attest::Attested;
use crate::http::date;
use crate::http::message::Body;
use crate::http::request_id::RequestIds;
use crate::http::route::Origin;

/// The head at the beginning of `bytes`, and the head that a backend is sent for it; none while
/// it is incomplete. With `client` the request came in at the edge, else from a service.
///
/// # Errors
/// The head breaks a rule or exceeds a limit.
pub fn forward_request(
    bytes: &[u8],
    client: Option<IpAddr>,
) -> Result<Option<(RequestHead, Vec<u8>)>, Refusal> {
    let Some(mut head) = request::parse(bytes)? else {
        return Ok(None);
    };
    let mut out = Buffer::new(head.length);
    let origin = client.map(Origin::in_clear);
    let attested = {
        let asked = head.asked(bytes);
        let attested = |origin| Attested::of(origin, &RequestIds::default(), &asked).ok();
        origin.as_ref().and_then(attested)
    };
    let addition = Addition {
        default_host: "service",
        attested: attested.as_ref(),
        rules: None,
        onward: None,
    };
    rewrite::request(&mut out, &bytes[..head.length], &mut head, addition);
    let mut forwarded = out.bytes().to_vec();
    if attested.is_some() {
        pin_id(&mut forwarded);
    }
    Ok(Some((head, forwarded)))
}

/// What the head of an answer says that matters to who reads the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// How many bytes the head has.
    pub length: usize,
    /// The status.
    pub status: u16,
    /// The body that follows.
    pub body: Body,
    /// The connection changes its protocol.
    pub upgrade: bool,
}

/// The head of an answer at the beginning of `bytes`, and the head that the client is sent for
/// it; none while it is incomplete. `to_head` is whether HEAD was asked, `old_client` whether the
/// client speaks HTTP/1.0.
///
/// # Errors
/// The head breaks a rule or exceeds a limit.
pub fn forward_answer(
    bytes: &[u8],
    to_head: bool,
    old_client: bool,
) -> Result<Option<(Answer, Vec<u8>)>, Refusal> {
    let Some(end) = head_end(bytes, 0)? else {
        return Ok(None);
    };
    let head = response::parse_complete(&bytes[..end], to_head)?;
    let mut out = Buffer::new(end);
    let framing = Framing {
        old_version: old_client,
        keep_alive: true,
    };
    rewrite::response(&mut out, &bytes[..end], &head, framing, Told::default());
    let mut forwarded = out.bytes().to_vec();
    if !head.has_date {
        pin_date(&mut forwarded);
    }
    let answer = Answer {
        length: head.length,
        status: head.status,
        body: head.body,
        upgrade: head.upgrade,
    };
    Ok(Some((answer, forwarded)))
}

/// Has the name that we have given be the same for every request.
fn pin_id(head: &mut [u8]) {
    const FIELD: &[u8] = b"\r\nx-request-id: ";
    if let Some(at) = memchr::memmem::rfind(head, FIELD) {
        head[at + FIELD.len()..][..32].fill(b'0');
    }
}

/// Has the date that we have added be the same whenever the answer is made.
fn pin_date(head: &mut [u8]) {
    const FIELD: &[u8] = b"\r\ndate: ";
    if let Some(at) = memchr::memmem::rfind(head, FIELD) {
        let start = at + FIELD.len();
        head[start..start + date::LENGTH].copy_from_slice(b"Sun, 06 Nov 1994 08:49:37 GMT");
    }
}

/// A chunked body, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The content of its chunks.
    pub content: Vec<u8>,
    /// The lines of its trailers, without the empty one.
    pub trailers: Vec<u8>,
    /// How many bytes it took up.
    pub used: usize,
}

/// Decodes the chunked body at the beginning of `bytes`; none while it is incomplete. Its reader
/// sees so many bytes at first as the first of `arrivals` says, then as the next, and all of them
/// at last.
///
/// # Errors
/// The body does not follow the grammar.
pub fn decode(bytes: &[u8], arrivals: &[usize]) -> Result<Option<Decoded>, Refusal> {
    let (mut decoder, mut decoded) = (Decoder::new(), Decoded::default());
    for &arrived in arrivals.iter().chain([&bytes.len()]) {
        while decoded.used <= arrived {
            match decoder.step(&bytes[decoded.used..arrived])? {
                Step::Incomplete => break,
                Step::Framing(count) => decoded.used += count,
                Step::Data(count) => {
                    let data = &bytes[decoded.used..decoded.used + count];
                    decoded.content.extend_from_slice(data);
                    decoded.used += count;
                }
                Step::End(count, trailers) => {
                    let rest = &bytes[decoded.used..];
                    decoded.trailers.extend_from_slice(&rest[trailers]);
                    decoded.used += count;
                    return Ok(Some(decoded));
                }
            }
        }
    }
    Ok(None)
}

/// One chunk with `content`, unless that is empty, and then the end with `trailers`, as the proxy
/// writes them.
pub fn encode(content: &[u8], trailers: &[u8]) -> Vec<u8> {
    let mut out = Buffer::new(content.len());
    if !content.is_empty() {
        super::chunked::encode(&mut out, content);
    }
    super::chunked::encode_end(&mut out, trailers);
    out.bytes().to_vec()
}
