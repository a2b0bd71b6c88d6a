//! The Huffman code that strings may be in (RFC 7541 section 5.2 and appendix B).
//!
//! It is canonical: the codes of each length are consecutive numbers in the order of their symbols,
//! and follow those of the length below. So the lengths tell all of it, and the compiler computes
//! the rest from them.

use super::DecodeError;

/// How many bits each byte's code has, and that of the string's end behind them.
#[rustfmt::skip]
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbol behind all bytes: the string's end, which no string may contain.
const END: u16 = 256;

const SHORTEST: usize = 5;
const LONGEST: u32 = 30;

/// Codes of up to so many bits are found by one look into a table. They are those of letters,
/// digits and most signs; a larger table was no faster and would leave less of the cache to others.
const SHORT: u32 = 9;

/// The codes of one length: the first, the one behind the last, and where their symbols begin.
#[derive(Clone, Copy)]
struct Codes {
    first: u32,
    end: u32,
    symbols: u16,
}

/// The codes of each length.
static CODES: [Codes; LONGEST as usize + 1] = codes();

/// All symbols in the order of their codes.
static SYMBOLS: [u16; 257] = symbols();

/// The symbol of the code that each number of [`SHORT`] bits begins with, and the code's length: 0
/// if it is longer.
static SHORT_CODES: [(u8, u8); 1 << SHORT] = short_codes();

const fn codes() -> [Codes; LONGEST as usize + 1] {
    let mut codes = [Codes {
        first: 0,
        end: 0,
        symbols: 0,
    }; LONGEST as usize + 1];
    let mut length = 1;
    while length < codes.len() {
        let shorter = codes[length - 1];
        let count = count(length);
        codes[length].first = shorter.end << 1;
        codes[length].end = (shorter.end << 1) + count as u32;
        codes[length].symbols = shorter.symbols + self::count(length - 1);
        length += 1;
    }
    codes
}

/// How many codes have this length.
const fn count(length: usize) -> u16 {
    let (mut symbol, mut count) = (0, 0);
    while symbol < LENGTHS.len() {
        count += (LENGTHS[symbol] as usize == length) as u16;
        symbol += 1;
    }
    count
}

const fn symbols() -> [u16; 257] {
    let (mut symbols, mut at) = ([0; 257], 0);
    let mut length = 1;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as u32 == length {
                symbols[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

/// Each code fills as many places as there are numbers that begin with it; in the codes' order they
/// leave no gap.
const fn short_codes() -> [(u8, u8); 1 << SHORT] {
    let (mut table, mut at) = ([(0, 0); 1 << SHORT], 0);
    let (symbols, mut number) = (symbols(), 0);
    while number < symbols.len() {
        let length = LENGTHS[symbols[number] as usize];
        if length as u32 > SHORT {
            break;
        }
        let end = at + (1 << (SHORT - length as u32));
        while at < end {
            table[at] = (symbols[number] as u8, length);
            at += 1;
        }
        number += 1;
    }
    table
}

/// Appends to `text` what `bytes` say.
///
/// # Errors
/// They have the string's end in them, or wrong padding behind them. Part of the string may have
/// been appended then.
pub(super) fn decode(bytes: &[u8], text: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut at = text.len();
    // Room for as many as there can be, which is cut to what there is: that costs less than to ask
    // for each byte whether it has room.
    text.resize(at + bytes.len() * 8 / SHORTEST, 0);
    let mut bits = Bits::of(bytes);
    while bits.fill() {
        while bits.count >= LONGEST {
            let (symbol, length) = first_code(bits.window);
            if symbol == END {
                return Err(DecodeError::EndInString);
            }
            text[at] = symbol as u8;
            at += 1;
            bits.skip(length);
        }
    }
    // The string's end is no code that has room here.
    loop {
        let (symbol, length) = first_code(bits.padded());
        if length > bits.count {
            break;
        }
        text[at] = symbol as u8;
        at += 1;
        bits.skip(length);
    }
    text.truncate(at);
    match bits.is_padding() {
        true => Ok(()),
        false => Err(DecodeError::Padding),
    }
}

/// The symbol of the code that `window` begins with, and the code's length.
#[inline]
fn first_code(window: u64) -> (u16, u32) {
    let (symbol, length) = SHORT_CODES[(window >> (u64::BITS - SHORT)) as usize];
    match length {
        0 => long_code(window),
        length => (symbol.into(), length.into()),
    }
}

#[cold]
fn long_code(window: u64) -> (u16, u32) {
    for length in SHORT + 1..LONGEST {
        let codes = &CODES[length as usize];
        let code = (window >> (u64::BITS - length)) as u32;
        if code < codes.end {
            let number = u32::from(codes.symbols) + code - codes.first;
            return (SYMBOLS[number as usize], length);
        }
    }
    // Every number begins with a code; the longest are left.
    let codes = &CODES[LONGEST as usize];
    let code = (window >> (u64::BITS - LONGEST)) as u32;
    let number = u32::from(codes.symbols) + code - codes.first;
    (SYMBOLS[number as usize], LONGEST)
}

/// Bits that are yet to be decoded: the `count` highest of `window`, then all of `rest`.
///
/// Lower bits of the window may be there already, and are those that `rest` begins with: to add
/// them once more changes nothing.
struct Bits<'a> {
    window: u64,
    count: u32,
    rest: &'a [u8],
}

impl<'a> Bits<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self {
            window: 0,
            count: 0,
            rest: bytes,
        }
    }

    /// Fills the window, whose bits are fewer than [`LONGEST`]; whether it has as many then.
    #[inline]
    fn fill(&mut self) -> bool {
        if let Some(&chunk) = self.rest.first_chunk::<8>() {
            self.window |= u64::from_be_bytes(chunk) >> self.count;
            let bytes = (u64::BITS - 1 - self.count) / 8;
            self.rest = &self.rest[bytes as usize..];
            self.count += bytes * 8;
            return true;
        }
        while self.count <= u64::BITS - 8
            && let Some((&byte, rest)) = self.rest.split_first()
        {
            self.window |= u64::from(byte) << (u64::BITS - 8 - self.count);
            self.count += 8;
            self.rest = rest;
        }
        self.count >= LONGEST
    }

    #[inline]
    fn skip(&mut self, count: u32) {
        self.window <<= count;
        self.count -= count;
    }

    /// The window with ones behind the last bits.
    fn padded(&self) -> u64 {
        self.window | u64::MAX >> self.count
    }

    /// Whether the last bits are those that fill a string's last byte.
    fn is_padding(&self) -> bool {
        self.count < 8 && self.padded() == u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::huffman as encode;
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut text = b"before".to_vec();
        decode(bytes, &mut text)?;
        assert_eq!(text[..6], *b"before");
        Ok(text.split_off(6))
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // Some of each kind, from appendix B.
        for (symbol, bits, length) in [
            (b'0', 0x0, 5),
            (b'%', 0x15, 6),
            (b'z', 0x7b, 7),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (b'\\', 0x7fff0, 19),
            (0x80, 0xfffe6, 20),
            (1, 0x7fffd8, 23),
            (0x7f, 0xffffffc, 28),
            (0xff, 0x3ffffee, 26),
            (b'\n', 0x3ffffffc, 30),
        ] {
            assert_eq!(first_code(bits << (64 - length)), (symbol.into(), length));
        }
        assert_eq!(first_code(u64::MAX), (END, 30));
    }

    #[test]
    fn every_byte_is_decoded_wherever_it_begins() {
        for byte in 0..=255 {
            for before in 0..16 {
                let text = [&b"0%zZ0%zZ0%zZ0%zZ"[..before], &[byte, b'a', byte]].concat();
                assert_eq!(decoded(&encode(&text)), Ok(text));
            }
        }
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    #[test]
    fn padding_is_short_and_of_ones() {
        // 'a' is 00011, '&' is 11111000.
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        assert_eq!(decoded(&[0b1111_1000]), Ok(b"&".to_vec()));
        for bad in [
            &[0b0001_1110][..],
            &[0b0001_1011],
            &[0b0001_1111, 0xff],
            &[0xff],
            &[0b1111_1000, 0xff],
            &[0xff, 0xff, 0xff],
            // A code that does not end.
            &[0xff, 0xff, 0xfe],
        ] {
            assert_eq!(decoded(bad), Err(DecodeError::Padding), "{bad:x?}");
        }
    }

    #[test]
    fn the_strings_end_is_in_no_string() {
        for before in 0..12 {
            let mut bytes = encode(&b"Z".repeat(before));
            bytes.extend_from_slice(&[0xff; 4]);
            assert_eq!(decoded(&bytes), Err(DecodeError::EndInString));
            bytes.extend_from_slice(&[0; 9]);
            assert_eq!(decoded(&bytes), Err(DecodeError::EndInString));
        }
    }
}
