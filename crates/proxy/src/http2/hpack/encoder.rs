//! Encodes field blocks (RFC 7541 section 6).

use super::static_table::{Found, find};
use super::{integer, kind};
use crate::http::field_section::FieldLine;

/// Encodes the blocks of one connection.
///
/// It puts nothing into the dynamic table and uses no Huffman code: for both a proxy would pay more
/// in time than it saves in bytes, most of which pass through a machine or a datacenter only.
pub struct Encoder {
    says_table_size: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder for the first block of a connection.
    pub fn new() -> Self {
        Self {
            says_table_size: true,
        }
    }

    /// Begins a block. The first of a connection says that the table has no room, so that the peer
    /// keeps none for it (RFC 7541 section 4.2).
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if self.says_table_size {
            self.says_table_size = false;
            integer::write(out, kind::TABLE_SIZE, 5, 0);
        }
    }

    /// The peer has announced another size for the table, and that was acknowledged: the next block
    /// has to say how large it is, though that stays as it was (RFC 9113 section 4.3.1).
    pub fn table_size_announced(&mut self) {
        self.says_table_size = true;
    }

    /// Appends a field to a block.
    pub fn field(&self, out: &mut Vec<u8>, field: FieldLine<'_>) {
        let FieldLine { name, value, .. } = field;
        // At most five bytes for each integer, of which there are three.
        out.reserve(name.len() + value.len() + 15);
        match find(name, value) {
            Found::Name(index) | Found::Field(index) if field.never_indexed || is_secret(index) => {
                integer::write(out, kind::NEVER_INDEXED, 4, index.into());
            }
            Found::Nothing if field.never_indexed => {
                integer::write(out, kind::NEVER_INDEXED, 4, 0);
                string(out, name);
            }
            Found::Field(index) => {
                return integer::write(out, kind::INDEXED, 7, index.into());
            }
            Found::Name(index) => integer::write(out, kind::LITERAL, 4, index.into()),
            Found::Nothing => {
                integer::write(out, kind::LITERAL, 4, 0);
                string(out, name);
            }
        }
        string(out, value);
    }
}

/// Appends a string as it is (RFC 7541 section 5.2).
fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer::write(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Whether values of this name of the static table are to enter no table, where others who write to
/// it could guess them (RFC 7541 section 7.1.3): authorization, cookie, proxy-authorization and
/// set-cookie.
fn is_secret(index: u8) -> bool {
    matches!(index, 23 | 32 | 49 | 55)
}

#[cfg(test)]
mod tests {
    use super::super::static_table::ENTRIES;
    use super::*;

    fn encoded(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new().field(&mut out, (name, value).into());
        out
    }

    #[test]
    fn a_field_is_as_short_as_the_static_table_makes_it() {
        assert_eq!(encoded(b":method", b"GET"), [0x82]);
        assert_eq!(encoded(b":status", b"500"), [0x80 | 14]);
        assert_eq!(encoded(b":status", b"418"), b"\x08\x03418");
        assert_eq!(encoded(b"accept-encoding", b"gzip, deflate"), [0x90]);
        assert_eq!(encoded(b"accept-encoding", b"gzip"), b"\x0f\x01\x04gzip");
        assert_eq!(encoded(b"accept", b""), [0x80 | 19]);
        assert_eq!(encoded(b"x-y", b"z"), b"\x00\x03x-y\x01z");
        assert_eq!(encoded(b"", b""), [0, 0, 0]);
        let long = encoded(b"x", &[b'y'; 127]);
        assert_eq!(long[..5], [0, 1, b'x', 127, 0]);
        assert_eq!(long.len(), 5 + 127);
    }

    #[test]
    fn every_field_and_name_of_the_static_table_is_found() {
        for (number, entry) in ENTRIES.iter().enumerate() {
            let index = number as u8 + 1;
            assert_eq!(find(entry.name(), entry.value()), Found::Field(index));
            let first = ENTRIES.iter().position(|e| e.name() == entry.name());
            let first = first.unwrap() as u8 + 1;
            assert_eq!(find(entry.name(), b"other"), Found::Name(first));
            let mut longer = entry.name().to_vec();
            longer.insert(1, b'x');
            assert_eq!(find(&longer, entry.value()), Found::Nothing);
            // Of the same length, and where it matters of the same hash.
            let mut other = entry.name().to_vec();
            other[1] ^= 1;
            let known = ENTRIES.iter().any(|e| e.name() == other);
            assert!(known || find(&other, entry.value()) == Found::Nothing);
        }
        assert_eq!(find(b"", b""), Found::Nothing);
    }

    #[test]
    fn secrets_are_never_indexed() {
        let secrets: Vec<_> = (1..=61).filter(|&index| is_secret(index)).collect();
        let name = |index: u8| ENTRIES[usize::from(index) - 1].name();
        let names: Vec<_> = secrets.into_iter().map(name).collect();
        let expected = [
            "authorization",
            "cookie",
            "proxy-authorization",
            "set-cookie",
        ];
        assert_eq!(names, expected.map(str::as_bytes));
        for (name, index) in names.into_iter().zip([23, 32, 49, 55]) {
            for value in [&b""[..], b"a=b", &[b'x'; 300]] {
                let out = encoded(name, value);
                assert_eq!(out[..2], [0x1f, index - 15]);
                assert!(out.ends_with(value));
            }
        }
    }

    #[test]
    fn the_first_block_says_that_there_is_no_table() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.begin(&mut out);
        encoder.begin(&mut out);
        assert_eq!(out, [0x20]);
        encoder.table_size_announced();
        encoder.begin(&mut out);
        encoder.begin(&mut out);
        assert_eq!(out, [0x20, 0x20]);
    }
}
