//! What a request asks and how long a message is, in whichever version of HTTP.

use super::accept::Wants;

/// How long a message's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks, the last of which is empty.
    Chunked,
    /// Until the connection ends. Only answers.
    UntilClose,
}

/// What a request asks, apart from what is passed on unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// It is HTTP/1.0.
    pub old_version: bool,
    /// Its method is HEAD: the answer has no body.
    pub is_head: bool,
    /// Doing it twice is doing it once (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// Its body.
    pub body: Body,
    /// The client wants to send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// It asks for another protocol on this connection.
    pub upgrade: bool,
    /// How often it may be passed on, us included, where that is said and counts.
    pub forwards: Option<u32>,
    /// How an error is best told.
    pub wants: Wants,
    /// What stands for the requests that go to the same endpoint, once its route is known.
    pub sticky: Option<u64>,
}

#[cfg(test)]
impl RequestFacts {
    /// What a GET asks that has nothing to it.
    pub(crate) const GET: Self = Self {
        old_version: false,
        is_head: false,
        idempotent: true,
        body: Body::None,
        keep_alive: true,
        expects_continue: false,
        upgrade: false,
        forwards: None,
        wants: Wants::Html,
        sticky: None,
    };
}

/// Whether doing it twice is doing it once (RFC 9110 section 9.2.2).
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(
        method,
        "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE"
    )
}
