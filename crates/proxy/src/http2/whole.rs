//! The server's side over a byte string instead of a socket: what a fuzz target drives. It is the
//! same code that serves connections, without the backends.

use super::connection::{Arrived, Connection, Role};
use super::frame::PREFACE;
use super::request;
use crate::buffers::Buffer;
use crate::http::Refusal;

/// What a connection made of its bytes.
#[derive(Debug)]
pub struct Seen {
    /// For each request, in order: the head that a backend of HTTP/1.1 is sent, or why it is
    /// refused.
    pub requests: Vec<Result<Vec<u8>, Refusal>>,
    /// The frame accounts found the peer to be too much.
    pub is_excessive: bool,
    /// The connection was ended for what came.
    pub is_over: bool,
    /// How many bytes it was answered.
    pub answered: usize,
}

/// When requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// As they arrive.
    AtOnce,
    /// When everything has arrived, so that nothing depends on when that was.
    AtTheEnd,
}

/// Serves a connection whose client sends the preface, then `bytes`, then nothing. They arrive in
/// pieces of at most `piece` bytes.
pub fn serve(bytes: &[u8], piece: usize, answers: Answers) -> Seen {
    let mut connection = Connection::new(Role::Server);
    let (mut requests, mut waiting, mut answered) = (Vec::new(), Vec::new(), 0);
    let bytes = [&PREFACE[..], bytes].concat();
    let mut kept = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        kept.extend_from_slice(piece);
        let used = connection.receive(&kept);
        kept.drain(..used);
        while let Some(arrived) = connection.take_arrived() {
            waiting.push(arrived.stream);
            requests.push(forwarded(arrived));
        }
        if answers == Answers::AtOnce {
            waiting.drain(..).for_each(|id| answer(&mut connection, id));
        }
        answered += connection.output().len();
        connection.sent(connection.output().len());
    }
    waiting
        .into_iter()
        .for_each(|id| answer(&mut connection, id));
    answered += connection.output().len();
    Seen {
        requests,
        is_excessive: connection.excess().is_some(),
        is_over: connection.is_over(),
        answered,
    }
}

fn answer(connection: &mut Connection, id: u32) {
    let head = [(&b":status"[..], &b"200"[..])];
    // The stream may be over.
    if connection.send_fields(id, head.into_iter(), false).is_ok() {
        let context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = connection.poll_send(&context, id, b"answer", true);
    }
    connection.passed_on(id, usize::MAX);
    connection.release(id);
}

fn forwarded(arrived: Arrived) -> Result<Vec<u8>, Refusal> {
    let head = arrived.head.ok_or(Refusal::HeadTooLong)?;
    let request = request::validate(head, arrived.ends)?;
    let mut out = Buffer::new(256);
    let key = request.facts.upgrade.then_some("key");
    request.write_http1(&mut out, "service", key);
    Ok(out.bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HEADERS with END_HEADERS and END_STREAM of stream 1: GET http a.test /x by literal fields.
    fn get() -> Vec<u8> {
        let block = b"\x82\x86\x41\x06a.test\x44\x02/x";
        let mut frame = vec![0, 0, block.len() as u8, 1, 0x5, 0, 0, 0, 1];
        frame.extend_from_slice(block);
        frame
    }

    #[test]
    fn a_request_is_seen_however_it_arrives() {
        // Settings first.
        let bytes = [&[0, 0, 0, 4, 0, 0, 0, 0, 0][..], &get()].concat();
        for piece in [1, 7, 1000] {
            let seen = serve(&bytes, piece, Answers::AtOnce);
            assert!(!seen.is_excessive && !seen.is_over && seen.answered > 0);
            let [Ok(head)] = &seen.requests[..] else {
                panic!("{:?}", seen.requests);
            };
            assert_eq!(head, b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
        }
    }
}
