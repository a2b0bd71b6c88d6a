//! Integers that begin within a byte (RFC 7541 section 5.1).

use super::DecodeError;

/// How many bytes may follow the first: what 28 bits cannot say exceeds every limit.
const MOST_MORE_BYTES: u32 = 4;

/// Takes an integer off `rest` that begins with the lowest `prefix` bits of its first byte.
pub(super) fn read(rest: &mut &[u8], prefix: u32) -> Result<usize, DecodeError> {
    let (&first, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
    let most = (1 << prefix) - 1;
    let value = usize::from(first) & most;
    *rest = after;
    if value < most {
        return Ok(value);
    }
    read_more(rest, value)
}

fn read_more(rest: &mut &[u8], mut value: usize) -> Result<usize, DecodeError> {
    for number in 0..MOST_MORE_BYTES {
        let (&byte, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
        *rest = after;
        value += usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DecodeError::IntegerTooLong)
}

/// Appends an integer in the lowest `prefix` bits of a byte, whose other bits are those of `kind`,
/// and in further bytes if it takes more.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, kind: u8, prefix: u32, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        return out.push(kind | value as u8);
    }
    out.push(kind | most as u8);
    let mut value = value - most;
    while value > 0x7f {
        out.push(0x80 | value as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        // Appendices C.1.1 to C.1.3.
        for (value, prefix, bytes) in [
            (10, 5, &[0b01010][..]),
            (1337, 5, &[0b11111, 0b1001_1010, 0b1010]),
            (42, 8, &[0b10_1010]),
        ] {
            let mut out = Vec::new();
            write(&mut out, 0, prefix, value);
            assert_eq!(out, bytes);
            assert_eq!(read(&mut &out[..], prefix), Ok(value));
        }
    }

    #[test]
    fn the_border_of_each_length_is_read_as_it_is_written() {
        for prefix in 4..=7 {
            let most = (1 << prefix) - 1;
            for (value, length) in [
                (0, 1),
                (most - 1, 1),
                (most, 2),
                (most + 127, 2),
                (most + 128, 3),
                (most + (1 << 28) - 1, 5),
            ] {
                let mut out = Vec::new();
                write(&mut out, 0, prefix, value);
                assert_eq!(out.len(), length, "{value} in {prefix} bits");
                out.push(7);
                let mut rest = &out[..];
                assert_eq!((read(&mut rest, prefix), rest), (Ok(value), &[7][..]));
            }
        }
    }

    #[test]
    fn an_integer_that_ends_early_or_never_is_refused() {
        let whole = [0xff, 0x80, 0x80, 0x80, 0x01];
        for length in 0..5 {
            let result = read(&mut &whole[..length], 7);
            assert_eq!(result, Err(DecodeError::Truncated));
        }
        assert_eq!(read(&mut &whole[..], 7), Ok(127 + (1 << 21)));
        for last in [0, 1, 0x80, 0xff] {
            let long = [0xff, 0x80, 0x80, 0x80, 0x80, last, 0];
            assert_eq!(read(&mut &long[..], 7), Err(DecodeError::IntegerTooLong));
        }
    }
}
