//! Frames of HTTP/2 as bytes, so that what breaks a rule can be sent, and what comes back as far as
//! a test needs it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITY: u8 = 0x20;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block, every field as a literal that is not indexed (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(String, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // An integer with a prefix of 7 bits.
            match text.len() {
                length @ 0..127 => block.push(length as u8),
                length => {
                    block.push(127);
                    let mut rest = length - 127;
                    while rest >= 128 {
                        block.push(128 | (rest % 128) as u8);
                        rest /= 128;
                    }
                    block.push(rest as u8);
                }
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Status(u16),
    /// Its stream was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

/// A client's connection.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Opens one and sends `frames`.
    pub(crate) fn open(edge: SocketAddr, frames: &[u8]) -> Self {
        let stream = TcpStream::connect(edge).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        bytes.extend(frames);
        let mut connection = Self(stream);
        connection.send(&bytes);
        connection
    }

    /// Sends frames.
    pub(crate) fn send(&mut self, frames: &[u8]) {
        // The other side may be gone already, which the next read tells.
        let _ = self.0.write_all(frames);
    }

    /// What becomes of stream 1.
    pub(crate) fn outcome(&mut self) -> Outcome {
        while let Some((kind, flags, id, payload)) = next(&mut self.0) {
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match (kind, id) {
                (HEADERS, 1) => return Outcome::Status(status(&payload)),
                (RST_STREAM, 1) => return Outcome::Reset(code(0)),
                (GOAWAY, _) => return Outcome::GoAway(code(4)),
                (SETTINGS, _) if flags & ACK == 0 => self.send(&frame(SETTINGS, ACK, 0, &[])),
                (PING, _) if flags & ACK == 0 => self.send(&frame(PING, ACK, 0, &payload)),
                _ => {}
            }
        }
        Outcome::Closed
    }
}

fn next(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut header = [0; 9];
    stream.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).ok()?;
    let id = u32::from_be_bytes(header[5..].try_into().unwrap());
    Some((header[3], header[4], id, payload))
}

/// The status at the beginning of a header block: one of those in HPACK's static table, or a
/// literal of three digits in Huffman's code or plain.
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // The first block of a connection may say that its sender keeps no table.
    let block = block.strip_prefix(b"\x20").unwrap_or(block);
    match *block {
        [index @ 0x88..=0x8e, ..] => INDEXED[usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, length, ref rest @ ..] if length & 0x80 == 0 => {
            let digits = std::str::from_utf8(&rest[..usize::from(length)]).unwrap();
            digits.parse().unwrap()
        }
        [0x08 | 0x18 | 0x48, length, ref rest @ ..] => {
            let bytes = &rest[..usize::from(length & 0x7f)];
            let mut bits = bytes
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
            let mut take = |count: usize| {
                bits.by_ref()
                    .take(count)
                    .fold(0, |sum, bit| sum * 2 + u16::from(bit))
            };
            // 0 to 2 have five bits, 00000 to 00010; the others six, 011001 to 011111.
            (0..3).fold(0, |number, _| {
                let digit = match take(5) {
                    digit @ 0..3 => digit,
                    most => most * 2 + take(1) - 0b011001 + 3,
                };
                number * 10 + digit
            })
        }
        _ => panic!("no status begins {block:x?}"),
    }
}
