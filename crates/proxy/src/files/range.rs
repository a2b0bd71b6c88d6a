//! Which part of a file is asked for (RFC 9110 section 14).
//!
//! One range is answered. Several are not: the whole file is sent instead, as section 14.2 allows.
//! Hardly a client asks for several, and whoever does can have the same bytes again and again.

use std::ops::Range;

/// What of a file is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// These bytes, at least one.
    Bytes(Range<u64>),
    /// Nothing: it has none of the bytes that are asked for.
    Nothing,
}

/// What `Range` asks for of a file of `length` bytes. What is not understood is passed over.
pub fn part(range: &[u8], length: u64) -> Part {
    read(range, length).unwrap_or(Part::Whole)
}

fn read(range: &[u8], length: u64) -> Option<Part> {
    let equals = memchr::memchr(b'=', range)?;
    let (unit, spec) = (&range[..equals], range[equals + 1..].trim_ascii());
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let dash = memchr::memchr(b'-', spec)?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        // So many bytes at the end.
        let count = number(last)?.min(length);
        return Some(match (count, length) {
            (_, 0) => Part::Whole,
            (0, _) => Part::Nothing,
            _ => Part::Bytes(length - count..length),
        });
    }
    let first = number(first)?;
    let end = match last {
        [] => length,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(length)
        }
    };
    Some(match first < length {
        true => Part::Bytes(first..end),
        false => Part::Nothing,
    })
}

/// A number of digits only; one that is larger than any file counts as just that.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: u64, digit: &u8| {
        let tens = number.saturating_mul(10);
        tens.saturating_add(u64::from(digit - b'0'))
    };
    Some(text.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_range_is_what_it_says_and_all_else_is_the_whole() {
        for (range, expected) in [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=2-5", Part::Bytes(2..6)),
            ("BYTES= 2-5 ", Part::Bytes(2..6)),
            ("bytes=2-", Part::Bytes(2..10)),
            ("bytes=9-99999999999999999999", Part::Bytes(9..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-30", Part::Bytes(0..10)),
            ("bytes=-0", Part::Nothing),
            ("bytes=10-", Part::Nothing),
            ("bytes=99999999999999999999-", Part::Nothing),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=1--2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes 1-2", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(range.as_bytes(), 10), expected, "{range}");
        }
        assert_eq!(part(b"bytes=-5", 0), Part::Whole);
        assert_eq!(part(b"bytes=0-", 0), Part::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "bytes=[0-9]{0,21}-[0-9]{0,21}", length: u64) {
            if let Part::Bytes(bytes) = part(range.as_bytes(), length) {
                prop_assert!(bytes.start < bytes.end && bytes.end <= length);
            }
        }

        #[test]
        fn a_part_is_what_a_slice_would_be(first in 0..20_usize, last in 0..20_usize, length in 1..20_usize) {
            let all: Vec<usize> = (0..length).collect();
            let expected = match () {
                () if last < first => Part::Whole,
                () if first >= length => Part::Nothing,
                () => {
                    let some = &all[first..all.len().min(last + 1)];
                    Part::Bytes(some[0] as u64..some[some.len() - 1] as u64 + 1)
                }
            };
            prop_assert_eq!(part(format!("bytes={first}-{last}").as_bytes(), length as u64), expected);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..40), length: u64) {
            let _ = part(&bytes, length);
        }
    }
}
