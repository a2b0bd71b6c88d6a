//! An answer between two codecs, and how it leaves in HTTP/1.1.

use http::StatusCode;

use super::{fields, grpc};
use crate::buffers::Buffer;
use crate::http::field_section::FieldSection;
use crate::http::fields::one_length;
use crate::http::gateway_error::{NO_RETRY, RETRY};
use crate::http::grpc_status;
use crate::http::message::{Body, RequestFacts};
use crate::http::{Refusal, date};
use crate::http1::response::ResponseHead;
use crate::http2::head::AnswerHead;
use crate::retry::Seen;
use crate::upstream::is_gateway_failure;

/// The head of an answer, without the fields that are for one connection only.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: FieldSection,
    /// What follows.
    pub(crate) body: Body,
}

impl Answer {
    /// The answer whose head is `bytes`.
    pub(crate) fn from_http1(bytes: &[u8], head: &ResponseHead) -> Self {
        let mut fields = fields::parse(head.fields.kept(bytes), bytes.len(), head.fields.count());
        fields.remove(b"upgrade");
        Self {
            // The parser has seen a status from 100 to 599.
            status: StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY),
            fields,
            body: head.body,
        }
    }

    /// The answer whose head came as `head`; `is_over` is whether nothing can follow it.
    ///
    /// # Errors
    /// It would be read in two ways further on.
    pub(crate) fn from_http2(head: AnswerHead, is_over: bool) -> Result<Self, Refusal> {
        let length = one_length(&head.fields)?;
        // The stream of one without content may end in a frame of its own.
        let without_content = matches!(head.status.as_u16(), 100..=199 | 204 | 304);
        let body = match length {
            _ if is_over || without_content => Body::None,
            Some(length) if length > 0 => Body::Length(length),
            _ => Body::Chunked,
        };
        Ok(Self {
            status: head.status,
            fields: head.fields,
            body,
        })
    }

    /// What is seen of it, which came in HTTP/2; of gRPC or not.
    pub(crate) fn seen(&self, is_grpc: bool) -> Seen {
        let in_head = is_grpc.then(|| grpc::status(&self.fields)).flatten();
        let status = match in_head {
            Some(grpc_status::UNAVAILABLE) => StatusCode::SERVICE_UNAVAILABLE.as_u16(),
            _ => self.status.as_u16(),
        };
        Seen {
            status,
            rest: None,
            is_open: is_grpc && in_head.is_none() && self.status == StatusCode::OK,
            forbids_retry: is_gateway_failure(status)
                && self.fields.get(RETRY.as_bytes()) == Some(NO_RETRY),
        }
    }

    /// Says when it was made, where it does not say so itself.
    pub(crate) fn add_date(&mut self) {
        if !self.fields.contains(b"date") {
            self.fields.push(b"date", &date::now());
        }
    }

    /// Whether a client of HTTP/1.x can tell where it ends without its connection's end.
    pub(crate) fn delimits_itself(&self, facts: &RequestFacts) -> bool {
        !facts.old_version || matches!(self.body, Body::None | Body::Length(_))
    }

    /// Writes its head for a client that speaks HTTP/1.x.
    pub(crate) fn write_http1(&self, out: &mut Buffer, facts: &RequestFacts, keep_alive: bool) {
        self.write_status(out);
        let in_chunks = matches!(self.body, Body::Chunked | Body::UntilClose);
        // A body whose length is not what its head says is one that is not known; one that may not
        // be has none.
        let without_length = in_chunks || self.status == StatusCode::NO_CONTENT;
        for (name, value) in self.fields.iter() {
            if !(without_length && name == b"content-length") {
                fields::append(out, name, value);
            }
        }
        if in_chunks && !facts.old_version {
            out.append(b"transfer-encoding: chunked\r\n");
        }
        if self.needs_length(facts) {
            out.append(b"content-length: 0\r\n");
        }
        if !keep_alive {
            out.append(b"connection: close\r\n");
        } else if facts.old_version {
            out.append(b"connection: keep-alive\r\n");
        }
        out.append(b"\r\n");
    }

    /// Writes it as an informational answer, or with `accept` as one that opens a WebSocket.
    pub(crate) fn write_interim(&self, out: &mut Buffer, accept: Option<&str>) {
        self.write_status(out);
        for (name, value) in self.fields.iter() {
            fields::append(out, name, value);
        }
        if let Some(accept) = accept {
            out.append(b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ");
            out.append(accept.as_bytes());
            out.append(b"\r\n");
        }
        out.append(b"\r\n");
    }

    fn write_status(&self, out: &mut Buffer) {
        for part in ["HTTP/1.1 ", self.status.as_str(), " "] {
            out.append(part.as_bytes());
        }
        out.append(
            self.status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes(),
        );
        out.append(b"\r\n");
    }

    /// Whether without a length it would seem to have a body until the connection ends.
    fn needs_length(&self, facts: &RequestFacts) -> bool {
        let without_content = matches!(self.status.as_u16(), 100..=199 | 204 | 304);
        self.body == Body::None
            && !facts.is_head
            && !without_content
            && !self.fields.contains(b"content-length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&str, &str)]) -> Result<Answer, Refusal> {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let head = AnswerHead {
            status: StatusCode::OK,
            fields: fields.collect(),
        };
        Answer::from_http2(head, false)
    }

    #[test]
    fn an_answer_that_would_be_read_in_two_ways_is_refused() {
        let body = |fields: &[_]| answer(fields).map(|answer| answer.body);
        assert_eq!(body(&[("content-length", "2")]), Ok(Body::Length(2)));
        assert_eq!(body(&[]), Ok(Body::Chunked));
        for bad in [
            &[("content-length", "2"), ("content-length", "2")][..],
            &[("content-length", "2"), ("content-length", "3")],
            &[("content-length", "+2")],
        ] {
            assert!(body(bad).is_err(), "{bad:?}");
        }
    }
}
