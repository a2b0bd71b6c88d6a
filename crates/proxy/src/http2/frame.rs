//! Frames as they lie on the wire (RFC 9113 sections 4 and 6).

use super::reason::Reason;

/// The client's side of a connection begins with this (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Size of a frame's header.
pub(super) const HEADER_BYTES: usize = 9;

/// The longest payload that we accept, and that we send: what everybody must accept.
pub(super) const PAYLOAD_BYTES: usize = 16 * 1024;

/// The largest window, and the largest stream number.
pub(super) const LARGEST: u32 = (1 << 31) - 1;

/// The window that streams and connections begin with.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;

/// What a frame is.
pub(super) mod kind {
    pub(in crate::http2) const DATA: u8 = 0;
    pub(in crate::http2) const HEADERS: u8 = 1;
    pub(in crate::http2) const PRIORITY: u8 = 2;
    pub(in crate::http2) const RST_STREAM: u8 = 3;
    pub(in crate::http2) const SETTINGS: u8 = 4;
    pub(in crate::http2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::http2) const PING: u8 = 6;
    pub(in crate::http2) const GOAWAY: u8 = 7;
    pub(in crate::http2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::http2) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(super) mod flag {
    pub(in crate::http2) const ACK: u8 = 0x1;
    pub(in crate::http2) const END_STREAM: u8 = 0x1;
    pub(in crate::http2) const END_HEADERS: u8 = 0x4;
    pub(in crate::http2) const PADDED: u8 = 0x8;
    pub(in crate::http2) const PRIORITY: u8 = 0x20;
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHeader {
    /// The header that `bytes` begin with; none when they are too few.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            // The highest bit has no meaning.
            stream: u32::from_be_bytes(stream) & LARGEST,
        })
    }

    /// Whether a flag is set.
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// As it lies on the wire.
    pub(super) fn bytes(&self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let header = FrameHeader {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&header.bytes());
    out.extend_from_slice(payload);
}

/// Appends the end of a stream before its time.
pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    write(out, kind::RST_STREAM, 0, stream, &reason.0.to_be_bytes());
}

/// Appends what opens a window; of the whole connection where `stream` is 0.
pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, by: u32) {
    write(out, kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
}

/// Appends a ping, or the answer to one.
pub(super) fn write_ping(out: &mut Vec<u8>, payload: [u8; 8], is_answer: bool) {
    let flags = if is_answer { flag::ACK } else { 0 };
    write(out, kind::PING, flags, 0, &payload);
}

/// Appends word that the connection ends, and up to which stream requests are served.
pub(super) fn write_goaway(out: &mut Vec<u8>, last: u32, reason: Reason) {
    let payload = (u64::from(last) << 32 | u64::from(reason.0)).to_be_bytes();
    write(out, kind::GOAWAY, 0, 0, &payload);
}

/// Appends settings.
pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let header = FrameHeader {
        length: settings.len() * 6,
        kind: kind::SETTINGS,
        flags: 0,
        stream: 0,
    };
    out.extend_from_slice(&header.bytes());
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends word that the other side's settings are followed.
pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write(out, kind::SETTINGS, flag::ACK, 0, &[]);
}

/// Appends content; what does not fit a frame is the caller's not to give.
pub(super) fn write_data(out: &mut Vec<u8>, stream: u32, content: &[u8], ends: bool) {
    let flags = if ends { flag::END_STREAM } else { 0 };
    write(out, kind::DATA, flags, stream, content);
}

/// Makes frames of a field block that was appended at `start`, behind room for one header: one of
/// HEADERS, and CONTINUATION for what does not fit it.
pub(super) fn finish_headers(out: &mut Vec<u8>, start: usize, stream: u32, ends: bool) {
    let length = out.len() - start - HEADER_BYTES;
    let end_stream = if ends { flag::END_STREAM } else { 0 };
    let mut header = FrameHeader {
        length,
        kind: kind::HEADERS,
        flags: end_stream | flag::END_HEADERS,
        stream,
    };
    if length <= PAYLOAD_BYTES {
        out[start..start + HEADER_BYTES].copy_from_slice(&header.bytes());
        return;
    }
    let rest = out.split_off(start + HEADER_BYTES + PAYLOAD_BYTES);
    (header.length, header.flags) = (PAYLOAD_BYTES, end_stream);
    out[start..start + HEADER_BYTES].copy_from_slice(&header.bytes());
    let mut pieces = rest.chunks(PAYLOAD_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        let flags = match pieces.peek() {
            Some(_) => 0,
            None => flag::END_HEADERS,
        };
        write(out, kind::CONTINUATION, flags, stream, piece);
    }
}

/// The payload of a frame without its padding; none where the padding is longer than the rest.
pub(super) fn without_padding<'a>(header: &FrameHeader, payload: &'a [u8]) -> Option<&'a [u8]> {
    if !header.has(flag::PADDED) {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.len()
        .checked_sub(usize::from(padding))
        .map(|length| &rest[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written() {
        let header = FrameHeader {
            length: 0x01_0203,
            kind: kind::PING,
            flags: flag::ACK,
            stream: 0x7fff_fffe,
        };
        let out = header.bytes();
        assert_eq!(FrameHeader::parse(&out), Some(header));
        assert_eq!(FrameHeader::parse(&out[..8]), None);
    }

    #[test]
    fn a_long_block_goes_on_in_frames_of_its_own() {
        for (length, expected) in [(0, 1), (PAYLOAD_BYTES, 1), (PAYLOAD_BYTES + 1, 2)] {
            let mut out = vec![7; 3 + HEADER_BYTES + length];
            finish_headers(&mut out, 3, 5, true);
            let (mut at, mut frames) = (3, Vec::new());
            while let Some(header) = FrameHeader::parse(&out[at..]) {
                at += HEADER_BYTES + header.length;
                frames.push(header);
            }
            assert_eq!((at, frames.len()), (out.len(), expected), "{length}");
            assert!(frames[0].has(flag::END_STREAM) && frames[0].kind == kind::HEADERS);
            let last = frames.iter().position(|frame| frame.has(flag::END_HEADERS));
            assert_eq!(last, Some(expected - 1));
        }
    }

    #[test]
    fn padding_is_cut_off_and_never_longer_than_the_rest() {
        let padded = FrameHeader {
            length: 0,
            kind: kind::DATA,
            flags: flag::PADDED,
            stream: 1,
        };
        assert_eq!(without_padding(&padded, b"\x02ab00"), Some(&b"ab"[..]));
        assert_eq!(without_padding(&padded, b"\x02ab"), Some(&b""[..]));
        assert_eq!(without_padding(&padded, b"\x03ab"), None);
        assert_eq!(without_padding(&padded, b""), None);
    }
}
