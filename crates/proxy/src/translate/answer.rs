//! An answer between two codecs, and how it leaves in HTTP/1.1.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::fields;
use crate::http::fields::{check_names, one_length};
use crate::http::message::{Body, RequestFacts};
use crate::http::{Refusal, date};
use crate::http1::response::ResponseHead;
use crate::worker::buffers::Buffer;

/// The head of an answer, without the fields that are for one connection only.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What follows.
    pub(crate) body: Body,
}

impl Answer {
    /// The answer whose head is `bytes`.
    pub(crate) fn from_http1(bytes: &[u8], head: &ResponseHead) -> Self {
        let mut headers = fields::parse(head.fields.kept(bytes), bytes);
        headers.remove(header::UPGRADE);
        Self {
            // The parser has seen a status from 100 to 599.
            status: StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY),
            headers,
            body: head.body,
        }
    }

    /// The answer that came as `response`; `is_over` is whether nothing can follow it.
    ///
    /// # Errors
    /// It would be read in two ways further on: the library looks at the first of several lengths,
    /// and lets names pass that are none.
    pub(crate) fn from_http2(
        response: http::response::Parts,
        is_over: bool,
    ) -> Result<Self, Refusal> {
        check_names(&response.headers)?;
        let length = one_length(&response.headers)?;
        // The stream of one without content may end in a frame of its own.
        let without_content = matches!(response.status.as_u16(), 100..=199 | 204 | 304);
        let body = match length {
            _ if is_over || without_content => Body::None,
            Some(length) if length > 0 => Body::Length(length),
            _ => Body::Chunked,
        };
        Ok(Self {
            status: response.status,
            headers: response.headers,
            body,
        })
    }

    /// Says when it was made, where it does not say so itself.
    pub(crate) fn add_date(&mut self) {
        if !self.headers.contains_key(header::DATE)
            && let Ok(date) = HeaderValue::from_bytes(&date::now())
        {
            self.headers.insert(header::DATE, date);
        }
    }

    /// The answer as HTTP/2 has it.
    pub(crate) fn into_http2(self) -> http::Response<()> {
        let mut response = http::Response::new(());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
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
        for (name, value) in &self.headers {
            if !(without_length && name == header::CONTENT_LENGTH) {
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
        for (name, value) in &self.headers {
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
            && !self.headers.contains_key(header::CONTENT_LENGTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&str, &str)]) -> Result<Answer, Refusal> {
        let mut response = http::Response::builder();
        for (name, value) in fields {
            let name = http::HeaderName::from_lowercase(name.as_bytes()).unwrap();
            response = response.header(name, *value);
        }
        let (head, ()) = response.body(()).unwrap().into_parts();
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
            &[("a\"b", "1")],
        ] {
            assert!(body(bad).is_err(), "{bad:?}");
        }
    }
}
