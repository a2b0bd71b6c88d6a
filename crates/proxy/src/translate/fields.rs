//! Fields between the two codecs: lines on one side, pairs on the other.

use std::convert::Infallible;

use memchr::memchr;

use crate::buffers::Buffer;
use crate::http::field_section::FieldSection;
use crate::http::fields::is_forbidden_trailer;

/// How many fields are added to a head on its way, at most.
const ADDED_FIELDS: usize = 6;
/// How many bytes they have as a rule.
const ADDED_BYTES: usize = 288;

/// The fields of `runs`, which are whole lines of a head of `bytes` and `fields`, parsed before.
/// What HTTP/1.1 allows in them, HTTP/2 does too.
pub(crate) fn parse<'a>(
    runs: impl Iterator<Item = &'a [u8]>,
    bytes: usize,
    fields: usize,
) -> FieldSection {
    let mut section = FieldSection::with_capacity(bytes + ADDED_BYTES, fields + ADDED_FIELDS);
    for mut lines in runs {
        while let Some(colon) = memchr(b':', lines) {
            let (name, rest) = lines.split_at(colon);
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let (value, rest) = rest.split_at(end);
            push_lowered(&mut section, name, value[1..].trim_ascii());
            lines = rest.get(1..).unwrap_or_default();
        }
    }
    section
}

/// Appends a field whose name may have letters of either case.
fn push_lowered(section: &mut FieldSection, name: &[u8], value: &[u8]) {
    let Ok(()) = section.push_with(|text| {
        let start = text.len();
        text.extend_from_slice(name);
        text[start..].make_ascii_lowercase();
        text.extend_from_slice(value);
        Ok::<_, Infallible>(name.len())
    });
}

/// Writes one field's line.
pub(crate) fn append(out: &mut Buffer, name: &[u8], value: &[u8]) {
    out.append_parts([name, b": ", value, b"\r\n"]);
}

/// The trailers whose lines are `lines`, whole ones, checked before.
pub(crate) fn parse_trailers(lines: &[u8]) -> FieldSection {
    match lines {
        [] => FieldSection::default(),
        _ => parse(std::iter::once(lines), lines.len(), 4),
    }
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
        let trailers = parse_trailers(b"A: 1\r\nb:2 \r\nA:\r\nX-Time: \t1:2:3\r\n");
        let lines = trailer_lines(&trailers).unwrap();
        assert_eq!(lines.bytes(), b"a: 1\r\nb: 2\r\na: \r\nx-time: 1:2:3\r\n");
        let misleading = parse_trailers(b"Content-Length: 1\r\n");
        assert!(trailer_lines(&misleading).is_none());
        assert!(parse_trailers(b"").is_empty());
    }
}
