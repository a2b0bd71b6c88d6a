//! The chunked coding (RFC 9112 section 7.1): read strictly, written plainly.
//!
//! Lines and trailers are read only once they are whole in the buffer, so the state between two
//! reads is a single number, and the same bytes mean the same however they were split.

use std::io::Write;
use std::ops::Range;

use super::fields::malformed;
use crate::buffers::Buffer;
use crate::http::Refusal;
use crate::http::fields::is_forbidden_trailer;
use crate::limits::{CHUNK_LINE_BYTES, HEAD_FIELDS, TRAILER_BYTES};

/// Where in a chunked body the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a line that announces a chunk.
    Size,
    /// Within a chunk that has this many bytes left.
    Data(u64),
    /// At the CRLF after a chunk.
    DataEnd,
    /// At the beginning of the trailer section.
    Trailer,
}

/// Reads a chunked body.
#[derive(Debug, Clone)]
pub(crate) struct Decoder(State);

/// What a decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing can be said before more bytes arrive.
    Incomplete,
    /// The first so many bytes only frame and are used up.
    Framing(usize),
    /// The first so many bytes are content.
    Data(usize),
    /// The body ends. Of the bytes in front of the end, the range is its trailers' lines.
    End(usize, Range<usize>),
}

impl Decoder {
    /// A decoder at the beginning of a body.
    pub(crate) fn new() -> Self {
        Self(State::Size)
    }

    /// What the bytes at the front are. The caller uses them up before it asks again.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        match self.0 {
            State::Size => self.size_line(bytes),
            State::Data(left) => {
                let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                if count == 0 {
                    return Ok(Step::Incomplete);
                }
                let left = left - count as u64;
                self.0 = if left == 0 {
                    State::DataEnd
                } else {
                    State::Data(left)
                };
                Ok(Step::Data(count))
            }
            State::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.0 = State::Size;
                    Ok(Step::Framing(2))
                }
                [] | [b'\r'] => Ok(Step::Incomplete),
                _ => Err(Refusal::Chunk("a chunk does not end where it said")),
            },
            State::Trailer => trailer_section(bytes),
        }
    }

    fn size_line(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        let window = &bytes[..bytes.len().min(CHUNK_LINE_BYTES)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            return match window.len() {
                CHUNK_LINE_BYTES => Err(Refusal::Chunk("a chunk's line is too long")),
                _ => Ok(Step::Incomplete),
            };
        };
        let Some(line) = window[..end].strip_suffix(b"\r") else {
            return Err(Refusal::BareLineFeed);
        };
        self.0 = match chunk_size(line)? {
            0 => State::Trailer,
            size => State::Data(size),
        };
        Ok(Step::Framing(end + 1))
    }
}

/// `1*HEXDIG [ ";" extensions ]`. Extensions are not understood and not passed on.
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    if size.is_empty() || size.len() > 15 {
        return Err(Refusal::Chunk(
            "a chunk's size is not a hexadecimal number of 1 to 15 digits",
        ));
    }
    let valid_extensions = match extensions {
        [] => true,
        [b';', rest @ ..] => rest
            .iter()
            .all(|&b| b == b'\t' || (0x20..0x7f).contains(&b)),
        _ => false,
    };
    if !valid_extensions {
        return Err(Refusal::Chunk(
            "a chunk's size is followed by something else than \";\"",
        ));
    }
    let value = |digit: u8| u64::from((digit as char).to_digit(16).unwrap_or(0));
    Ok(size
        .iter()
        .fold(0, |number, &digit| number << 4 | value(digit)))
}

fn trailer_section(bytes: &[u8]) -> Result<Step, Refusal> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Step::End(2, 0..0));
    }
    let window = &bytes[..bytes.len().min(TRAILER_BYTES)];
    for at in memchr::memchr_iter(b'\n', window) {
        if at == 0 || window[at - 1] != b'\r' {
            return Err(Refusal::BareLineFeed);
        }
        if at >= 3 && window[at - 2] == b'\n' {
            check_trailers(&window[..=at])?;
            return Ok(Step::End(at + 1, 0..at - 1));
        }
    }
    match window.len() {
        TRAILER_BYTES => Err(Refusal::Chunk("the trailers are too long")),
        _ => Ok(Step::Incomplete),
    }
}

fn check_trailers(section: &[u8]) -> Result<(), Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEAD_FIELDS];
    let parsed = httparse::parse_headers(section, &mut headers).map_err(malformed)?;
    let httparse::Status::Complete((_, headers)) = parsed else {
        return Err(Refusal::Chunk("the trailers are not fields"));
    };
    match headers
        .iter()
        .any(|h| is_forbidden_trailer(h.name.as_bytes()))
    {
        true => Err(Refusal::Chunk("a trailer may not carry this field")),
        false => Ok(()),
    }
}

/// What one chunk adds to its content at most: 16 digits and two line ends.
pub(crate) const CHUNK_OVERHEAD: usize = 20;

/// Writes `data`, which is not empty, as one chunk.
pub(crate) fn encode(out: &mut Buffer, data: &[u8]) {
    encode_size(out, data.len());
    out.append(data);
    out.append(LINE_END);
}

/// What ends a chunk.
pub(crate) const LINE_END: &[u8] = b"\r\n";

/// Writes the line that announces a chunk of so many bytes, at least one.
pub(crate) fn encode_size(out: &mut Buffer, size: usize) {
    let mut line = [0; 18];
    let mut rest = &mut line[..];
    let room = rest.len();
    // 16 digits and a line end always fit.
    let _ = write!(rest, "{size:x}\r\n");
    let length = room - rest.len();
    out.append(&line[..length]);
}

/// Writes the end of a body with `trailers`, whole lines or nothing.
pub(crate) fn encode_end(out: &mut Buffer, trailers: &[u8]) {
    out.append(b"0\r\n");
    out.append(trailers);
    out.append(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::whole::{Decoded, decode};
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Result<Option<Decoded>, Refusal> {
        decode(text.as_bytes(), &[])
    }

    #[test]
    fn content_and_trailers_come_out_and_extensions_do_not() {
        let text = "4;a=b\r\nWiki\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nnext";
        let decoded = whole(text).unwrap().unwrap();
        assert_eq!(decoded.content, b"Wiki0123456789");
        assert_eq!(decoded.trailers, b"X-Sum: 1\r\n");
        assert_eq!(&text[decoded.used..], "next");
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\na\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\rb",
            "1;\x01\r\n",
            "1;a\x7f\r\n",
            "1 ;a\r\n",
            "1111111111111111\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nContent-Length: 1\r\n\r\n",
            "0\r\nx-forwarded_proto: 1\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(whole(bad).is_err(), "{bad:?} gave {:?}", whole(bad));
        }
        assert!(whole(&format!("1;{}\r\n", "a".repeat(CHUNK_LINE_BYTES))).is_err());
        assert!(whole(&format!("0\r\nA: {}\r\n\r\n", "a".repeat(TRAILER_BYTES))).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_alike_however_it_is_split(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            mut cuts in prop::collection::vec(0..400usize, 0..12),
        ) {
            let mut out = Buffer::new(1024);
            for chunk in &chunks {
                encode(&mut out, chunk);
            }
            encode_end(&mut out, b"a: b\r\n");
            let bytes = out.bytes();
            cuts.retain(|&cut| cut < bytes.len());
            cuts.sort_unstable();
            let decoded = decode(bytes, &cuts).unwrap().unwrap();
            prop_assert_eq!(decoded.content, chunks.concat());
            prop_assert_eq!(decoded.trailers, b"a: b\r\n");
            prop_assert_eq!(decoded.used, bytes.len());
        }

        #[test]
        fn any_bytes_mean_the_same_however_they_are_split(
            bytes in prop::collection::vec(prop::sample::select(&b"01af;\r\nx: "[..]), 0..60),
            mut cuts in prop::collection::vec(0..60usize, 0..6),
        ) {
            cuts.retain(|&cut| cut < bytes.len());
            cuts.sort_unstable();
            prop_assert_eq!(decode(&bytes, &cuts), decode(&bytes, &[]));
        }
    }
}
