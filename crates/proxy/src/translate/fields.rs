//! Fields between the two codecs: lines on one side, pairs on the other.

use crate::http::field_section::FieldSection;
use crate::http::fields::is_forbidden_trailer;
use crate::worker::buffers::Buffer;

/// The fields of `runs`, which are whole lines within `head`, parsed before. What HTTP/1.1 allows
/// in them, HTTP/2 does too.
pub(crate) fn parse<'a>(runs: impl Iterator<Item = &'a [u8]>, head: &[u8]) -> FieldSection {
    let mut section = FieldSection::with_capacity(head.len(), 16);
    for line in runs.flat_map(|run| run.split_inclusive(|&byte| byte == b'\n')) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        section.push_lower(name, value);
    }
    section
}

/// Writes one field's line.
pub(crate) fn append(out: &mut Buffer, name: &[u8], value: &[u8]) {
    out.append(name);
    out.append(b": ");
    out.append(value);
    out.append(b"\r\n");
}

/// The trailers whose lines are `lines`, whole ones, checked before.
pub(crate) fn parse_trailers(lines: &[u8]) -> FieldSection {
    parse(std::iter::once(lines), lines)
}

/// Writes trailers as lines; none when one of them cannot be a trailer.
pub(crate) fn trailer_lines(trailers: &FieldSection) -> Option<Buffer> {
    let mut lines = Buffer::new(256);
    for (name, value) in trailers.iter() {
        if is_forbidden_trailer(name) {
            return None;
        }
        append(&mut lines, name, value);
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_cross_both_ways_and_those_that_mislead_do_not() {
        let trailers = parse_trailers(b"A: 1\r\nb:2 \r\nA:\r\n");
        let lines = trailer_lines(&trailers).unwrap();
        assert_eq!(lines.bytes(), b"a: 1\r\nb: 2\r\na: \r\n");
        let misleading = parse_trailers(b"Content-Length: 1\r\n");
        assert!(trailer_lines(&misleading).is_none());
    }
}
