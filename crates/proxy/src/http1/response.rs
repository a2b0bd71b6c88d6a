//! Heads of answers, parsed as strictly as those of requests: what a backend gets wrong must not
//! become an answer that two readers understand differently.

use std::mem::MaybeUninit;

use super::fields::{Connection, Fields, drop_named, malformed};
use crate::http::Refusal;
use crate::http::fields::content_length;
use crate::http::gateway_error::{NO_RETRY, RETRY};
use crate::http::message::Body;
use crate::limits::HEAD_FIELDS;
use crate::upstream::is_gateway_failure;

/// The head of an answer that follows the rules.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead {
    /// How many bytes it has.
    pub(crate) length: usize,
    /// The status, 100 to 599.
    pub(crate) status: u16,
    /// The body that follows.
    pub(crate) body: Body,
    /// The backend will take another request on this connection.
    pub(crate) keep_alive: bool,
    /// The backend agrees to speak another protocol (101 with the fields that this needs).
    pub(crate) upgrade: bool,
    /// It says when it was made.
    pub(crate) has_date: bool,
    pub(crate) fields: Fields,
}

impl ResponseHead {
    /// Whether another answer to the same request follows.
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether it says that its backend cannot serve, and that it is not to be asked again. It begins
    /// `bytes`.
    pub(crate) fn forbids_retry(&self, bytes: &[u8]) -> bool {
        is_gateway_failure(self.status)
            && self
                .fields
                .values(bytes, RETRY)
                .any(|value| value == NO_RETRY)
    }

    /// How much is still to come of the answer, of whose body so many bytes are there; none where
    /// that is not known or its connection takes no other request.
    pub(crate) fn rest_after(&self, bytes: usize) -> Option<u64> {
        let length = match self.body {
            Body::None => 0,
            Body::Length(length) => length,
            Body::Chunked | Body::UntilClose => return None,
        };
        length.checked_sub(bytes as u64).filter(|_| self.keep_alive)
    }
}

/// Parses `bytes`, which are one head up to and with its empty line, as the answer to a request
/// whose method was HEAD or not.
pub(crate) fn parse_complete(bytes: &[u8], to_head: bool) -> Result<ResponseHead, Refusal> {
    // The parser passes over empty lines in front. Only clients are forgiven those (RFC 9112
    // section 2.2): in front of an answer they are what is left of the body of another.
    if !bytes.starts_with(b"HTTP/") {
        return Err(Refusal::Malformed("it has no status line"));
    }
    let mut headers = [const { MaybeUninit::uninit() }; HEAD_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    );
    match parsed.map_err(malformed)? {
        httparse::Status::Complete(length) if length == bytes.len() => {}
        _ => return Err(Refusal::Malformed("it has no status line")),
    }
    let (Some(status @ 100..=599), Some(version)) = (response.code, response.version) else {
        return Err(Refusal::Malformed("its status is not from 100 to 599"));
    };
    let mut reading = Reading {
        fields: Fields::locate(bytes, response.headers),
        without_content: status < 200 || status == 204,
        connection: Connection::default(),
        length: None,
        chunked: false,
        upgrade: None,
        has_date: false,
    };
    for (index, header) in response.headers.iter().enumerate() {
        reading.field(index, header)?;
    }
    if reading.connection.names_fields {
        drop_named(&mut reading.fields, response.headers)?;
    }
    reading.finish(bytes.len(), status, version == 0, to_head)
}

/// What is gathered while the fields are read.
struct Reading {
    fields: Fields,
    /// The status allows neither a body nor fields that announce one.
    without_content: bool,
    connection: Connection,
    length: Option<u64>,
    chunked: bool,
    upgrade: Option<usize>,
    has_date: bool,
}

impl Reading {
    fn field(&mut self, index: usize, header: &httparse::Header<'_>) -> Result<(), Refusal> {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        match header.name.len() {
            4 if is("date") => self.has_date = true,
            7 if is("upgrade") => {
                self.fields.drop(index);
                self.upgrade = Some(index);
            }
            10 if is("connection") => {
                self.connection.add(header.value);
                self.fields.drop(index);
            }
            10 if is("keep-alive") => self.fields.drop(index),
            12 if is("x-request-id") => self.fields.claim(index),
            14 if is("content-length") => {
                if self.length.is_some() {
                    return Err(Refusal::ContentLength);
                }
                self.length = Some(content_length(header.value)?);
                if self.without_content {
                    self.fields.drop(index);
                }
            }
            16 if is("proxy-connection") => self.fields.drop(index),
            17 if is("transfer-encoding") => {
                if self.chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::Coding);
                }
                self.chunked = true;
                // The codec says anew how it frames.
                self.fields.drop(index);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(
        mut self,
        length: usize,
        status: u16,
        old_version: bool,
        to_head: bool,
    ) -> Result<ResponseHead, Refusal> {
        if self.chunked && self.length.is_some() {
            return Err(Refusal::LengthAndCoding);
        }
        if self.chunked && old_version {
            return Err(Refusal::CodingInOldVersion);
        }
        let body = match (self.chunked, self.length) {
            _ if self.without_content || to_head || status == 304 => Body::None,
            (true, _) => Body::Chunked,
            (false, Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::UntilClose,
        };
        let upgrade = status == 101 && self.connection.upgrade && self.upgrade.is_some();
        if let (true, Some(index)) = (upgrade, self.upgrade) {
            self.fields.keep(index);
        }
        // Content that is announced where none may be is likely to come all the same, and would
        // be taken for the beginning of the next answer.
        let excess = self.without_content && (self.chunked || self.length.is_some_and(|l| l > 0));
        let keep_alive = body != Body::UntilClose
            && !excess
            && !self.connection.close
            && (!old_version || self.connection.keep_alive);
        Ok(ResponseHead {
            length,
            status,
            body,
            keep_alive,
            upgrade,
            has_date: self.has_date,
            fields: self.fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<ResponseHead, Refusal> {
        parse_complete(format!("{head}\r\n").as_bytes(), false)
    }

    fn body(head: &str) -> Body {
        parse(head).unwrap().body
    }

    #[test]
    fn the_body_follows_from_status_and_fields() {
        assert_eq!(
            body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
            Body::Length(5)
        );
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), Body::None);
        assert_eq!(
            body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"),
            Body::Chunked
        );
        assert_eq!(body("HTTP/1.1 200 OK\r\n"), Body::UntilClose);
        assert_eq!(
            body("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n"),
            Body::None
        );
        assert_eq!(
            body("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n"),
            Body::None
        );
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(parse_complete(head, true).unwrap().body, Body::None);
    }

    #[test]
    fn a_connection_is_kept_only_where_both_the_version_and_the_framing_allow() {
        let kept = |head: &str| parse(head).unwrap().keep_alive;
        assert!(kept("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"));
        assert!(!kept(
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n"
        ));
        assert!(!kept("HTTP/1.1 200 OK\r\n"));
        assert!(kept("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n"));
        assert!(!kept("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n"));
        assert!(!kept(
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n"
        ));
        assert!(!kept("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n"));
        assert!(kept(
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n"
        ));
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        for bad in [
            "HTTP/1.1 600 ?\r\n",
            "HTTP/1.1 099 ?\r\n",
            "HTTP/2 200 OK\r\n",
            "HTTP/1.1 20 OK\r\n",
            "ICY 200 OK\r\n",
            "\r\nHTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n",
            "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 3\r\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn switching_protocols_needs_its_fields() {
        let head = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        assert!(parse(head).unwrap().upgrade);
        assert!(
            !parse("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n")
                .unwrap()
                .upgrade
        );
    }
}
