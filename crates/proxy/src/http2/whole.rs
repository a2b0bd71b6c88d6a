//! The server's side over a byte string instead of a socket: what a fuzz target drives. It is the
//! same code that serves connections, without the backends.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::{Guard, PREFACE};
use super::guarded::Guarded;
use super::{request, server};
use crate::http::Refusal;
use crate::translate::library;
use crate::worker::buffers::Buffer;

/// What a connection made of its bytes.
#[derive(Debug)]
pub struct Seen {
    /// For each request, in order: the head that a backend of HTTP/1.1 is sent, or why it is
    /// refused.
    pub requests: Vec<Result<Vec<u8>, Refusal>>,
    /// The frame accounts found the peer to be too much.
    pub is_excessive: bool,
}

/// Serves a connection whose client sends the preface, then `bytes`, then nothing. It is read in
/// pieces of at most `piece` bytes; every request is answered at once.
pub fn serve(bytes: &[u8], piece: usize) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        panic!("the operating system gives no runtime");
    };
    runtime.block_on(async {
        let guard = Rc::new(Guard::new());
        let leaves = Rc::new(Cell::new(false));
        let client = Client {
            bytes: [&PREFACE[..], bytes].concat(),
            at: 0,
            piece: piece.max(1),
            leaves: leaves.clone(),
        };
        let io = Guarded::new(client, guard.clone());
        let mut requests = Vec::new();
        if let Ok(mut connection) = server::settings().handshake::<_, Bytes>(io).await {
            // A client that sends nothing more leaves nothing to wait for.
            let mut accepted = |cx: &mut Context<'_>| match connection.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(accepted),
                Poll::Pending => Poll::Ready(None),
            };
            while let Some(Ok((asked, mut respond))) = poll_fn(&mut accepted).await {
                let (parts, body) = asked.into_parts();
                requests.push(forwarded(parts, body.is_end_stream()));
                // The stream may be over.
                if let Ok(mut stream) = respond.send_response(http::Response::new(()), false) {
                    let _ = stream.send_data(Bytes::from_static(b"answer"), true);
                }
            }
            // The library wants to see a connection's end before it is given up.
            leaves.set(true);
            while let Some(Ok(_)) = connection.accept().await {}
        }
        Seen {
            requests,
            is_excessive: guard.excess().is_some(),
        }
    })
}

fn forwarded(parts: http::request::Parts, ended: bool) -> Result<Vec<u8>, Refusal> {
    let request = request::validate(library::request_head(parts)?, ended)?;
    let mut out = Buffer::new(256);
    let key = request.facts.upgrade.then_some("key");
    request.write_http1(&mut out, "service", key);
    Ok(out.bytes().to_vec())
}

/// A client that does not mind what it is answered.
struct Client {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
    /// It ends the connection once it has sent everything.
    leaves: Rc<Cell<bool>>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.bytes.len() - self.at;
        if left == 0 && !self.leaves.get() {
            return Poll::Pending;
        }
        let count = left.min(self.piece).min(into.remaining());
        into.put_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
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
            let seen = serve(&bytes, piece);
            assert!(!seen.is_excessive);
            let [Ok(head)] = &seen.requests[..] else {
                panic!("{:?}", seen.requests);
            };
            assert_eq!(head, b"GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n");
        }
    }
}
