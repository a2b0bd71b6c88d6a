//! Why a message is refused.

/// A message breaks a rule of RFC 9110 or 9112, or exceeds a limit. Whoever sent it is told, and
/// nothing that followed it on the connection is read as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line ends with LF alone. Parsers disagree on whether that ends a line.
    #[error("a line ends with a bare LF instead of CRLF")]
    BareLineFeed,
    /// The first line or a field does not follow the grammar.
    #[error("malformed head: {0}")]
    Malformed(&'static str),
    /// The head has too many bytes.
    #[error("the head is longer than {} bytes", crate::limits::HEAD_BYTES)]
    HeadTooLong,
    /// The head has too many fields.
    #[error("the head has more than {} fields", crate::limits::HEAD_FIELDS)]
    TooManyFields,
    /// The request's target has too many bytes.
    #[error(
        "the request target is longer than {} bytes",
        crate::limits::TARGET_BYTES
    )]
    TargetTooLong,
    /// The request's target does not follow the grammar.
    #[error("bad request target: {0}")]
    Target(&'static str),
    /// Neither HTTP/1.1 nor HTTP/1.0.
    #[error("the HTTP version is neither 1.1 nor 1.0")]
    Version,
    /// The method is understood, and deliberately not served.
    #[error("CONNECT is for forward proxies; this is a gateway")]
    Connect,
    /// `Host` is missing, repeated or invalid.
    #[error("{0}")]
    Host(&'static str),
    /// `Content-Length` is repeated or not a number.
    #[error("Content-Length is repeated, a list, or not a number")]
    ContentLength,
    /// Both ways to say how long the body is.
    #[error("both Content-Length and Transfer-Encoding are given")]
    LengthAndCoding,
    /// `Transfer-Encoding` in a version that has none.
    #[error("Transfer-Encoding is given in HTTP/1.0")]
    CodingInOldVersion,
    /// `Transfer-Encoding` is something other than `chunked`.
    #[error("the only Transfer-Encoding supported is exactly \"chunked\"")]
    Coding,
    /// A body in such a coding has no end that could be found (RFC 9112 section 6.3).
    #[error("the last Transfer-Encoding is not \"chunked\"")]
    CodingWithoutEnd,
    /// `Connection` names a field that may not be removed.
    #[error("Connection names a field that frames or addresses the message")]
    Connection,
    /// `Expect` asks for something other than `100-continue`.
    #[error("the only expectation supported is 100-continue")]
    Expectation,
    /// A chunked body does not follow the grammar.
    #[error("malformed chunked body: {0}")]
    Chunk(&'static str),
}

impl Refusal {
    /// The status that a client is answered with.
    pub fn status(self) -> u16 {
        match self {
            Self::HeadTooLong | Self::TooManyFields => 431,
            Self::TargetTooLong => 414,
            Self::Version => 505,
            Self::Connect | Self::Coding => 501,
            Self::Expectation => 417,
            _ => 400,
        }
    }
}
