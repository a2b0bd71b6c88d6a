//! Sending spans to a collector by OTLP over HTTP in Protocol Buffers
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), from a thread that may wait as long as
//! it takes: what workers have to say meanwhile is dropped when the queue is full.
//!
//! HTTP and not gRPC: every collector takes both, and a POST every now and then needs no connection
//! of HTTP/2 that is kept.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use model::telemetry::Collector;

use super::queue::Batch;
use super::span::text_attribute;
use crate::limits::{COLLECTOR_ANSWER_BYTES, COLLECTOR_TIME};
use crate::protobuf::Message;

/// Where spans are sent at present.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target(Arc<Mutex<Option<Collector>>>);

impl Target {
    /// Has them sent from now on where a snapshot wants them.
    pub(crate) fn follow(&self, wanted: &model::Telemetry) {
        let tracing = wanted.tracing.as_ref();
        let collector = tracing.map(|tracing| tracing.collector.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = collector;
    }

    fn get(&self) -> Option<Collector> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What sends batches of spans, and says once that it cannot, until it can.
#[derive(Debug)]
pub(crate) struct Exporter {
    target: Target,
    is_failing: bool,
}

impl Exporter {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            is_failing: false,
        }
    }

    /// Sends spans; whether the collector has taken them.
    pub(crate) fn send(&mut self, batch: &Batch) -> bool {
        let Some(collector) = self.target.get() else {
            return false;
        };
        let sent = post(&collector, &request(&batch.bytes));
        match &sent {
            Err(error) if !self.is_failing => {
                tracing::warn!(%collector, %error, "spans cannot be sent and are lost; trying on");
            }
            Ok(()) if self.is_failing => tracing::info!(%collector, "spans are sent again"),
            _ => {}
        }
        self.is_failing = sent.is_err();
        sent.is_ok()
    }
}

/// The body of a request: `ExportTraceServiceRequest` with the fields of one `ScopeSpans`.
fn request(spans: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(spans.len() + 256);
    Message::new(&mut out).message(1, |resource_spans| {
        resource_spans.message(1, |resource| {
            for (key, value) in [
                ("service.name", "roadbed-proxy"),
                ("service.version", env!("CARGO_PKG_VERSION")),
            ] {
                resource.message(1, |attribute| text_attribute(attribute, key, value));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| scope.bytes(1, b"roadbed"));
            scope_spans.fields(spans);
        });
    });
    out
}

fn post(collector: &Collector, body: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&collector.address, COLLECTOR_TIME)?;
    stream.set_read_timeout(Some(COLLECTOR_TIME))?;
    stream.set_write_timeout(Some(COLLECTOR_TIME))?;
    let (path, address, length) = (collector.path(), collector.address, body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {length}\r\nuser-agent: roadbed/{}\r\nconnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let answer = read_answer(stream)?;
    match status(&answer) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(io::Error::other(format!("it answered {status}"))),
        None => Err(io::Error::other("its answer is not HTTP/1.1")),
    }
}

/// Reads an answer as far as it says how long it is, and else to the connection's end, so that the
/// collector can send all of it. Its status is all that matters.
fn read_answer(stream: TcpStream) -> io::Result<Vec<u8>> {
    let (mut answer, mut rest) = (Vec::new(), stream.take(COLLECTOR_ANSWER_BYTES));
    let mut bytes = [0; 4096];
    while !is_whole(&answer) {
        match rest.read(&mut bytes)? {
            0 => break,
            count => answer.extend_from_slice(&bytes[..count]),
        }
    }
    Ok(answer)
}

/// Whether all of an answer is there that says how long it is.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    length.is_some_and(|length| (answer.len() - end - 4) >= length)
}

fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5).filter(|_| rest[1] == b' ')?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503 X\r\n"), Some(503));
        for bad in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 2",
            b"HTTP/2 200",
            b"HTTP/1.1 abc",
        ] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_answer_is_whole_when_it_has_as_much_as_it_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for length in 0..answer.len() {
            assert!(!is_whole(&answer[..length]), "{length}");
        }
        assert!(is_whole(answer));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\n\r\nabc"));
    }

    #[test]
    fn without_a_collector_spans_are_lost() {
        let mut exporter = Exporter::new(Target::default());
        assert!(!exporter.send(&Batch::default()));
    }
}
