//! A backend in HTTP/2 that is told frame by frame what to send, for what the library does not do.

use std::io::Write;
use std::net::TcpStream;

use super::backend::Connection;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const GOAWAY: u8 = 7;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// The setting of at most one concurrent stream.
pub(crate) const ONE_STREAM_AT_A_TIME: &[u8] = &[0, 3, 0, 0, 0, 1];

/// Agrees with a client on HTTP/2.
pub(crate) fn greet(connection: &mut Connection) {
    greet_with(connection, &[]);
}

/// The same with settings.
pub(crate) fn greet_with(connection: &mut Connection, settings: &[u8]) {
    connection.until(b"SM\r\n\r\n").unwrap();
    write(&mut connection.stream, SETTINGS, 0, 0, settings);
}

/// The next frame that is about a request; none at the connection's end.
pub(crate) fn read(connection: &mut Connection) -> Option<Frame> {
    loop {
        let header = connection.exactly(9)?;
        let length = usize::from(header[1]) << 8 | usize::from(header[2]);
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        let (kind, flags) = (header[3], header[4]);
        let payload = connection.exactly(length)?;
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload: &[u8] = if kind == PING { &payload } else { &[] };
                write(&mut connection.stream, kind, ACK, 0, payload);
            }
            DATA | HEADERS => {
                return Some(Frame {
                    kind,
                    flags,
                    stream,
                    payload,
                });
            }
            _ => {}
        }
    }
}

/// Sends an answer of status 200 and `body`.
pub(crate) fn answer(connection: &mut Connection, stream: u32, body: &str) {
    // In the static table of HPACK, 8 is `:status: 200`.
    write(
        &mut connection.stream,
        HEADERS,
        END_HEADERS,
        stream,
        &[0x88],
    );
    write(
        &mut connection.stream,
        DATA,
        END_STREAM,
        stream,
        body.as_bytes(),
    );
}

/// Sends the head of an answer and some of its body.
pub(crate) fn begin_answer(connection: &mut Connection, stream: u32, body: &str) {
    write(
        &mut connection.stream,
        HEADERS,
        END_HEADERS,
        stream,
        &[0x88],
    );
    write(&mut connection.stream, DATA, 0, stream, body.as_bytes());
}

/// Sends an answer whose head is `block`.
pub(crate) fn answer_block(connection: &mut Connection, stream: u32, block: &[u8]) {
    let flags = END_HEADERS | END_STREAM;
    write(&mut connection.stream, HEADERS, flags, stream, block);
}

/// Says that no stream above `last` is looked at.
pub(crate) fn go_away(connection: &mut Connection, last: u32) {
    let payload = [last.to_be_bytes(), [0; 4]].concat();
    write(&mut connection.stream, GOAWAY, 0, 0, &payload);
}

fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(payload);
    // The other side may be gone.
    let _ = stream.write_all(&frame);
}
