//! Answers of the proxy itself: a status, a reason that a program can read in a field, and a
//! sentence for people, or both in JSON for who prefers that, or a page of the app's.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::accept::Wants;
use super::date;
use super::error_page::Page;
use super::field_section::FieldSection;
use super::manner::Manner;
use super::refusal::Refusal;
use crate::http::message::{Body, RequestFacts};
use crate::socket::Socket;
use crate::worker::Listener;

/// The field that has the reason.
pub(crate) const REASON: &[u8] = b"roadbed-reason";

/// The field that forbids to try a request again, and what it says then. It is understood from
/// backends too, a proxy like this one or an app that knows.
pub(crate) const RETRY: &str = "roadbed-retry";
/// See [`RETRY`].
pub(crate) const NO_RETRY: &[u8] = b"no";

/// Why the proxy answers in place of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error("no service is exposed at this host and path")]
    NoRoute,
    #[error("this connection was opened for another host, with another certificate")]
    Misdirected,
    #[error("the service has no healthy instance at the moment")]
    NoHealthyEndpoint,
    #[error("the service speaks TCP, not HTTP")]
    WrongProtocol,
    #[error("the service has more to do than it can: try again later")]
    Overloaded,
    #[error("too many requests wait for the service: try again later")]
    QueueFull,
    #[error("the request has waited too long for its turn: try again later")]
    QueueTimeout,
    #[error("the service does not open WebSockets over HTTP/2")]
    NoWebSocket,
    #[error("no instance of the service accepts connections")]
    ConnectFailed,
    #[error("the service closed the connection before it answered")]
    BackendClosed,
    #[error("the service did not answer in time")]
    Timeout,
    #[error("the request was not done within the time that this route gives it")]
    Deadline,
    #[error("the request's content did not go on in time")]
    IdleTimeout,
    #[error("the service's answer breaks the rules of HTTP: {0}")]
    BadResponse(Refusal),
    #[error("the request's head was not complete in time")]
    SlowRequest,
    #[error("there is no such file")]
    NoFile,
    #[error("files can be read and nothing else: by GET and HEAD")]
    MethodNotAllowed,
    #[error("the file is there and cannot be read")]
    FileUnreadable,
    #[error("the request has passed more trusted hops than there can be: it goes in a circle")]
    InCircle,
    #[error("the request was to go no further, and this is a gateway")]
    EndsHere,
    #[error("this gateway does not send requests back")]
    TraceEndsHere,
    #[error("the request has more content than this route takes")]
    BodyTooLarge,
    #[error("there were more requests than this route takes; the next is taken in {0} s")]
    RateLimited(u32),
    #[error("{0}")]
    BadRequest(Refusal),
}

impl GatewayError {
    /// What is said to a request by this method that was not to go further than here (RFC 9110
    /// section 7.6.2). What TRACE would send back has secrets of the client in it.
    pub(crate) fn last_hop(method: &[u8]) -> Self {
        match method {
            b"TRACE" => Self::TraceEndsHere,
            _ => Self::EndsHere,
        }
    }

    /// The value of the field `roadbed-reason`.
    pub(crate) fn reason(self) -> &'static str {
        self.status_and_reason().1
    }

    /// The status that it is answered with.
    pub(crate) fn status(self) -> u16 {
        self.status_and_reason().0
    }

    /// Whether trying again at once would make things worse.
    pub(crate) fn forbids_retry(self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::QueueFull | Self::QueueTimeout
        )
    }

    fn status_and_reason(self) -> (u16, &'static str) {
        match self {
            Self::NoRoute => (404, "no-route"),
            Self::Misdirected => (421, "misdirected"),
            Self::NoHealthyEndpoint => (503, "no-healthy-endpoint"),
            Self::Overloaded => (503, "overloaded"),
            Self::QueueFull => (503, "queue-full"),
            Self::QueueTimeout => (503, "queue-timeout"),
            Self::WrongProtocol => (502, "wrong-protocol"),
            Self::NoWebSocket => (502, "no-websocket"),
            Self::ConnectFailed => (502, "connect-failed"),
            Self::BackendClosed => (502, "backend-closed"),
            Self::Timeout => (504, "timeout"),
            Self::Deadline => (504, "deadline"),
            Self::IdleTimeout => (408, "idle-timeout"),
            Self::BadResponse(_) => (502, "bad-response"),
            Self::SlowRequest => (408, "slow-request"),
            Self::NoFile => (404, "no-file"),
            Self::MethodNotAllowed => (405, "method-not-allowed"),
            Self::FileUnreadable => (500, "file-unreadable"),
            Self::InCircle => (508, "loop"),
            Self::EndsHere => (200, "max-forwards"),
            Self::TraceEndsHere => (501, "max-forwards"),
            Self::BodyTooLarge => (413, "body-too-large"),
            Self::RateLimited(_) => (429, "rate-limited"),
            Self::BadRequest(refusal) => (refusal.status(), "bad-request"),
        }
    }

    /// After how many seconds it is worth while to ask again, where that is known.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(seconds),
            _ => None,
        }
    }

    /// The methods that would do, where the method was wrong (RFC 9110 section 15.5.6).
    fn allow(self) -> Option<&'static str> {
        (self == Self::MethodNotAllowed).then_some("GET, HEAD")
    }

    /// The answer that tells of it, to who wants to read what it `wants`, in this manner: its status,
    /// fields and content.
    pub(crate) fn response(
        self,
        wants: Wants,
        manner: Manner<'_>,
    ) -> (StatusCode, FieldSection, Bytes) {
        let (status, reason) = self.status_and_reason();
        let page = Page::find(manner.pages, status, wants);
        let (kind, body) = match page {
            Some(page) => (page.content_type(), page.fill(status, reason, manner.id)),
            None => self.content(wants),
        };
        let mut fields = FieldSection::with_capacity(300, 8);
        fields.push(REASON, reason.as_bytes());
        if self.forbids_retry() {
            fields.push(RETRY.as_bytes(), NO_RETRY);
        }
        fields.push(b"content-type", kind.as_bytes());
        fields.push(b"content-length", body.len().to_string().as_bytes());
        fields.push(b"date", &date::now());
        if let Some(seconds) = self.retry_after() {
            fields.push(b"retry-after", seconds.to_string().as_bytes());
        }
        if let Some(methods) = self.allow() {
            fields.push(b"allow", methods.as_bytes());
        }
        if page.is_some() {
            fields.push(b"vary", b"accept");
        }
        manner.add_to(&mut fields);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        (status, fields, body)
    }

    /// What it says, and of which type that is.
    fn content(self, wants: Wants) -> (&'static str, Bytes) {
        let reason = self.reason();
        match wants {
            Wants::Json => {
                let error = serde_json::json!({ "reason": reason, "message": self.to_string() });
                let body = serde_json::json!({ "error": error }).to_string() + "\n";
                ("application/json", body.into())
            }
            Wants::Html | Wants::Text => {
                let body = format!("{reason}: {self}\n");
                ("text/plain; charset=utf-8", body.into())
            }
        }
    }
}

/// Who is answered over HTTP/1.x, and what follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    /// What comes from the request and its route.
    pub(crate) manner: Manner<'a>,
    /// What the client wants to read.
    pub(crate) wants: Wants,
    /// The request was HEAD: the body is only announced.
    pub(crate) head_only: bool,
    /// The client's connection is kept.
    pub(crate) keep_alive: bool,
    /// The client speaks HTTP/1.0.
    pub(crate) old_version: bool,
}

impl<'a> Reply<'a> {
    /// The reply to a request. Its connection is kept unless it has a body: what is left of one
    /// would be taken for the next request.
    pub(crate) fn to(facts: RequestFacts, listener: &Listener) -> Self {
        Self {
            manner: Manner::default(),
            wants: facts.wants,
            head_only: facts.is_head,
            keep_alive: facts.keep_alive && facts.body == Body::None && !listener.is_gone(),
            old_version: facts.old_version,
        }
    }

    /// The same in this manner.
    pub(crate) fn given(self, manner: Manner<'a>) -> Self {
        Self { manner, ..self }
    }

    /// A whole answer: its status, fields, what becomes of the connection, and its content.
    pub(crate) fn text(self, status: u16, fields: &FieldSection, body: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(512 + body.len());
        let line = format!("HTTP/1.1 {status} {}\r\n", phrase(status));
        text.extend_from_slice(line.as_bytes());
        for (name, value) in fields.iter() {
            for part in [name, b": ", value, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        let connection = match (self.keep_alive, self.old_version) {
            (false, _) => "connection: close\r\n",
            (true, true) => "connection: keep-alive\r\n",
            (true, false) => "",
        };
        text.extend_from_slice(connection.as_bytes());
        text.extend_from_slice(b"\r\n");
        if !self.head_only {
            text.extend_from_slice(body);
        }
        text
    }
}

/// Answers with `error`.
pub(crate) async fn send(
    client: &Socket,
    error: GatewayError,
    reply: Reply<'_>,
    limit: Duration,
) -> io::Result<()> {
    client.write_all(&text(error, reply), limit).await
}

fn text(error: GatewayError, reply: Reply<'_>) -> Vec<u8> {
    let (status, fields, body) = error.response(reply.wants, reply.manner);
    reply.text(status.as_u16(), &fields, &body)
}

/// The phrase that goes with a status of ours.
fn phrase(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    let phrase = status.and_then(|status| status.canonical_reason());
    phrase.unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: Reply<'_> = Reply {
        manner: Manner {
            id: None,
            careful: None,
            pages: None,
            is_secure: false,
        },
        wants: Wants::Text,
        head_only: false,
        keep_alive: true,
        old_version: false,
    };

    fn shown(error: GatewayError, reply: Reply<'_>) -> String {
        String::from_utf8(text(error, reply)).unwrap()
    }

    #[test]
    fn an_error_is_a_sentence_or_json_and_always_has_its_reason() {
        let plain = shown(GatewayError::NoRoute, REPLY);
        let (before, rest) = plain.split_once("date: ").unwrap();
        assert_eq!(
            (before, &rest[date::LENGTH..]),
            (
                "HTTP/1.1 404 Not Found\r\nroadbed-reason: no-route\r\n\
                 content-type: text/plain; charset=utf-8\r\ncontent-length: 54\r\n",
                "\r\n\r\nno-route: no service is exposed at this host and path\n",
            )
        );
        let json = shown(
            GatewayError::Timeout,
            Reply {
                wants: Wants::Json,
                keep_alive: false,
                ..REPLY
            },
        );
        assert!(json.starts_with("HTTP/1.1 504 Gateway Timeout\r\nroadbed-reason: timeout\r\n"));
        assert!(json.contains("connection: close\r\n"));
        let body: serde_json::Value =
            serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["error"]["reason"], "timeout");
    }

    #[test]
    fn head_announces_a_body_and_sends_none() {
        let answer = shown(
            GatewayError::NoRoute,
            Reply {
                head_only: true,
                ..REPLY
            },
        );
        assert!(answer.contains("content-length: 54\r\n") && answer.ends_with("\r\n\r\n"));
    }

    /// One error of each kind. A new one does not compile until it is here, and then it has to be in
    /// the documents.
    fn all() -> Vec<GatewayError> {
        use GatewayError::*;
        let refusal = Refusal::HeadTooLong;
        let all = vec![
            NoRoute,
            Misdirected,
            NoHealthyEndpoint,
            WrongProtocol,
            Overloaded,
            QueueFull,
            QueueTimeout,
            NoWebSocket,
            ConnectFailed,
            BackendClosed,
            Timeout,
            Deadline,
            IdleTimeout,
            BadResponse(refusal),
            SlowRequest,
            NoFile,
            MethodNotAllowed,
            FileUnreadable,
            InCircle,
            EndsHere,
            TraceEndsHere,
            BodyTooLarge,
            RateLimited(1),
            BadRequest(refusal),
        ];
        for error in &all {
            match error {
                NoRoute | Misdirected | NoHealthyEndpoint | WrongProtocol | Overloaded
                | QueueFull | QueueTimeout | NoWebSocket | ConnectFailed | BackendClosed
                | Timeout | Deadline | IdleTimeout | BadResponse(_) | SlowRequest | NoFile
                | MethodNotAllowed | FileUnreadable | InCircle | EndsHere | TraceEndsHere
                | BodyTooLarge | RateLimited(_) | BadRequest(_) => {}
            }
        }
        all
    }

    #[test]
    fn every_reason_is_in_the_documents_with_its_status() {
        let page = include_str!("../../../../docs/edge.md");
        for error in all() {
            let (status, reason) = error.status_and_reason();
            let is_row = |line: &&str| {
                let status = status.to_string();
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                let shown = cells
                    .get(1)
                    .is_some_and(|cell| cell.split(", ").any(|s| s == status));
                shown && cells.get(2) == Some(&format!("`{reason}`").as_str())
            };
            assert!(page.lines().any(|line| is_row(&line)), "{status} {reason}");
        }
    }
}
