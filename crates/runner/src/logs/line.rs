//! One record as one line: `TIME STREAM TAG TEXT`, the format of Kubernetes' container logs, so
//! that `cat` and the log shippers in use read it.

use std::io::Write;

use super::{Stream, Timestamp};

/// The most bytes of text in one record; longer lines are split.
pub(super) const LONGEST_TEXT: usize = 16 * 1024;

/// Bytes before the text: the time, the stream (both names have six letters), the tag, and a
/// space after each.
pub(super) const HEAD_BYTES: usize = Timestamp::TEXT_BYTES + 1 + 6 + 1 + 1 + 1;

/// The most bytes of a whole line, its newline included.
pub(super) const LONGEST_LINE: usize = HEAD_BYTES + LONGEST_TEXT + 1;

/// A line taken apart.
pub(super) struct Parsed<'a> {
    pub(super) at: Timestamp,
    pub(super) stream: Stream,
    pub(super) partial: bool,
    pub(super) text: &'a [u8],
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Appends the record of `text`, which is given in two parts and has no newline, to `lines`.
pub(super) fn encode(
    lines: &mut Vec<u8>,
    at: Timestamp,
    stream: Stream,
    text: (&[u8], &[u8]),
    partial: bool,
) {
    let tag = if partial { 'P' } else { 'F' };
    write!(lines, "{at} {} {tag} ", stream.name()).expect("a Vec takes every write");
    lines.extend_from_slice(text.0);
    lines.extend_from_slice(text.1);
    lines.push(b'\n');
}

/// Takes `line`, without its newline, apart; `None` when it was torn before its text began or
/// was damaged.
pub(super) fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let (head, text) = line.split_at_checked(HEAD_BYTES)?;
    let (time, rest) = head.split_at(Timestamp::TEXT_BYTES);
    let (stream, partial) = match rest {
        b" stdout F " => (Stream::Stdout, false),
        b" stdout P " => (Stream::Stdout, true),
        b" stderr F " => (Stream::Stderr, false),
        b" stderr P " => (Stream::Stderr, true),
        _ => return None,
    };
    Some(Parsed {
        at: Timestamp::parse(time)?,
        stream,
        partial,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_the_format_of_kubernetes() {
        let mut lines = Vec::new();
        encode(
            &mut lines,
            Timestamp(1),
            Stream::Stdout,
            (b"a ", b"b\0\xff"),
            false,
        );
        encode(&mut lines, Timestamp(2), Stream::Stderr, (b"", b""), true);
        assert_eq!(
            lines,
            b"1970-01-01T00:00:00.000000001Z stdout F a b\0\xff\n\
              1970-01-01T00:00:00.000000002Z stderr P \n"
        );
        let first = lines.split(|&byte| byte == b'\n').next().unwrap();
        let parsed = parse(first).unwrap();
        assert_eq!((parsed.at, parsed.stream), (Timestamp(1), Stream::Stdout));
        assert_eq!((parsed.partial, parsed.text), (false, &b"a b\0\xff"[..]));
    }

    #[test]
    fn a_torn_or_foreign_line_is_not_a_record() {
        for bad in [
            "",
            "hello",
            "1970-01-01T00:00:00.000000001Z stdout F",
            "1970-01-01T00:00:00.000000001Z stdlog F x",
            "1970-01-01T00:00:00.000000001Z stdout X x",
            "1970-01-01T00:00:0x.000000001Z stdout F x",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
