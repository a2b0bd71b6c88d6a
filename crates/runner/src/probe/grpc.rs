//! The standard health service of gRPC, asked once: `grpc.health.v1.Health/Check`.
//!
//! Its two messages have one field each, so they are written and read here by hand. What else a
//! server puts into its answer is skipped, as the format asks for.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::probe::http2::{Answer, Question, ask};
use crate::probe::{ProbeFailure, Target};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// How much is repeated of what a server says.
const LONGEST_MESSAGE: usize = 200;

/// Why the health service does not say that all is well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrpcFailure {
    /// It says otherwise.
    #[error("{} is {status}, says its health service", of(service))]
    NotServing {
        /// What was asked about; the whole server if empty.
        service: String,
        /// What it is instead of SERVING.
        status: &'static str,
    },
    /// It does not know what it is asked about.
    #[error("its health service knows no service {service:?}; \"\" asks about the whole server")]
    UnknownService {
        /// What was asked about.
        service: String,
    },
    /// There is no health service.
    #[error("it has no health service, grpc.health.v1.Health: add it, or write tcp = true")]
    NoHealthService,
    /// The call failed.
    #[error(
        "its health service answered with status {code} of gRPC{}",
        said(message)
    )]
    Status {
        /// The status of gRPC.
        code: u16,
        /// What the server says about it.
        message: String,
    },
    /// It does not answer as a server of gRPC.
    #[error("it does not speak gRPC: its health service answered {problem}")]
    NotGrpc {
        /// What is wrong with the answer.
        problem: String,
    },
}

/// What a service is called in a sentence.
fn of(service: &str) -> String {
    match service {
        "" => "the server".to_owned(),
        name => format!("{name:?}"),
    }
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

/// Asks whether `service` is serving, or the whole server if it is empty.
pub(super) async fn check(target: &Target, service: &str) -> Result<(), ProbeFailure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let te = HeaderName::from_static("te");
    headers.insert(te, HeaderValue::from_static("trailers"));
    let question = Question {
        method: Method::POST,
        path: PATH,
        headers,
        body: Some(framed(&request(service))),
        whole_answer: true,
    };
    let answer = ask(target, question).await?;
    Ok(judge(&answer, service)?)
}

fn judge(answer: &Answer, service: &str) -> Result<(), GrpcFailure> {
    let not_grpc = |problem: String| Err(GrpcFailure::NotGrpc { problem });
    if answer.status != 200 {
        return not_grpc(format!("with status {} of HTTP", answer.status.as_u16()));
    }
    let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return not_grpc("without the content type of gRPC".to_owned());
    }
    // An answer without a message has its status in the head.
    let field = |name: &str| answer.trailers.get(name).or(answer.headers.get(name));
    let status = field("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u16>().ok());
    let message = field("grpc-message").map_or("", |value| value.to_str().unwrap_or_default());
    match status {
        Some(0) => {}
        Some(5) => {
            let service = service.to_owned();
            return Err(GrpcFailure::UnknownService { service });
        }
        Some(12) => return Err(GrpcFailure::NoHealthService),
        Some(code) => {
            let message = message.chars().take(LONGEST_MESSAGE).collect();
            return Err(GrpcFailure::Status { code, message });
        }
        None => return not_grpc("without a status of gRPC".to_owned()),
    }
    let status = match unframed(&answer.body).and_then(read_status) {
        Some(1) => return Ok(()),
        Some(0) => "UNKNOWN",
        Some(2) => "NOT_SERVING",
        Some(3) => "SERVICE_UNKNOWN",
        Some(_) => "in a state that is none of SERVING",
        None => return not_grpc("with bytes that are not its message".to_owned()),
    };
    Err(GrpcFailure::NotServing {
        service: service.to_owned(),
        status,
    })
}

/// `HealthCheckRequest { string service = 1; }`
fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        put_number(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    message.freeze()
}

fn put_number(message: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        message.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    message.put_u8(number as u8);
}

/// A message with what goes before it: whether it is compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// The one message of an answer.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?);
    (head[0] == 0 && u32::try_from(message.len()) == Ok(length)).then_some(message)
}

/// `HealthCheckResponse { ServingStatus status = 1; }`, with other fields skipped.
fn read_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_number(&mut message)?;
        let skipped = match tag & 7 {
            0 => {
                let number = take_number(&mut message)?;
                if tag >> 3 == 1 {
                    status = number;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(take_number(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_written_as_the_format_asks() {
        assert_eq!(request(""), Bytes::new());
        assert_eq!(request("a.B"), Bytes::from_static(b"\x0a\x03a.B"));
        let long = request(&"x".repeat(200));
        assert_eq!(&long[..3], b"\x0a\xc8\x01");
        assert_eq!(framed(b"ab"), Bytes::from_static(b"\0\0\0\0\x02ab"));
    }

    #[test]
    fn a_status_is_found_among_other_fields() {
        assert_eq!(read_status(b"\x08\x01"), Some(1));
        assert_eq!(read_status(b""), Some(0));
        let others = b"\x12\x02hi\x19\0\0\0\0\0\0\0\0\x25\0\0\0\0\x08\x02";
        assert_eq!(read_status(others), Some(2));
        for bad in [
            &b"\x08"[..],
            b"\x12\x09hi",
            b"\x0b",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(read_status(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_one_whole_message_is_an_answer() {
        assert_eq!(unframed(b"\0\0\0\0\x02\x08\x01"), Some(&b"\x08\x01"[..]));
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x03\x08\x01",
            b"\x01\0\0\0\x02\x08\x01",
        ] {
            assert_eq!(unframed(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            unframed(&bytes).and_then(read_status);
            read_status(&bytes);
        }
    }
}
