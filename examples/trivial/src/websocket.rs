//! A WebSocket (RFC 6455) that sends every frame back as it came, unmasked.

use std::io::{self, BufRead, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::answer;
use crate::head::{Head, invalid};

/// Joined to the client's key to prove that the server understood (RFC 6455, section 1.3).
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The largest frame that is taken, in bytes.
const LARGEST_FRAME: u64 = 1 << 20;

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Opens the WebSocket and serves it to its end.
pub(crate) fn serve(
    head: &Head,
    reader: &mut impl BufRead,
    writer: &mut impl Write,
) -> io::Result<()> {
    let Some(key) = head.header("sec-websocket-key") else {
        return answer::bad_request(writer, &invalid("Sec-WebSocket-Key is missing"));
    };
    write!(
        writer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    )?;
    loop {
        let (first, payload) = read_frame(reader)?;
        match first & 0xF {
            CLOSE => return write_frame(writer, first, &payload),
            PING => write_frame(writer, 0x80 | PONG, &payload)?,
            PONG => {}
            _ => write_frame(writer, first, &payload)?,
        }
    }
}

fn accept(key: &str) -> String {
    let digest = sha1_smol::Sha1::from(format!("{key}{PROOF}")).digest();
    STANDARD.encode(digest.bytes())
}

/// Reads a frame: its first byte (FIN and opcode) and its payload.
fn read_frame(reader: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut start = [0; 2];
    reader.read_exact(&mut start)?;
    if start[1] & 0x80 == 0 {
        return Err(invalid("a client's frame is not masked"));
    }
    let length = match start[1] & 0x7F {
        126 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            u16::from_be_bytes(length).into()
        }
        127 => {
            let mut length = [0; 8];
            reader.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        }
        short => short.into(),
    };
    if length > LARGEST_FRAME {
        return Err(invalid("a frame is too large"));
    }
    let mut mask = [0; 4];
    reader.read_exact(&mut mask)?;
    let mut payload = vec![0; length as usize];
    reader.read_exact(&mut payload)?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((start[0], payload))
}

fn write_frame(writer: &mut impl Write, first: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        middle @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    writer.write_all(&frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn a_frame_of_each_size_is_unmasked() {
        for size in [0usize, 5, 125, 126, 0xFFFF, 0x10000] {
            let mut frame = Vec::new();
            write_frame(&mut frame, 0x82, &vec![1 ^ 7; size]).unwrap();
            frame[1] |= 0x80;
            let head = frame.len() - size;
            frame.splice(head..head, [7; 4]);
            assert_eq!(
                read_frame(&mut frame.as_slice()).unwrap(),
                (0x82, vec![1; size])
            );
        }
    }
}
