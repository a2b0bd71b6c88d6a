//! Decodes field blocks (RFC 7541 sections 3 and 6).

use super::dynamic_table::{DynamicTable, MOST_BYTES};
use super::section::{BoundedSection, Limits, Whole};
use super::{DecodeError, Entry, HUFFMAN, huffman, integer, kind, static_table};
use crate::http::field_section::FieldSection;

/// How often a block may change the table's size: down to the least that was allowed since the last
/// block, and up to what is allowed now (RFC 7541 section 4.2).
const MOST_TABLE_SIZES: usize = 2;

/// Decodes the blocks of one connection, one after another. Its table has at most 4096 bytes, which
/// peers take for granted without a setting.
pub struct Decoder {
    table: DynamicTable,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder for the first block of a connection.
    pub fn new() -> Self {
        Self {
            table: DynamicTable::new(),
        }
    }

    /// Decodes a whole block and appends its fields to `into`, in order, pseudo-fields too, with
    /// names as they came: nothing is known of the bytes of names and values.
    ///
    /// A block that exceeds the limits is decoded to its end all the same, since the next may refer
    /// to what it puts into the table.
    ///
    /// # Errors
    /// The block breaks a rule. No other of the connection can be decoded then.
    pub fn decode(
        &mut self,
        block: &[u8],
        into: &mut FieldSection,
        limits: Limits,
    ) -> Result<Whole, DecodeError> {
        let mut rest = block;
        self.change_sizes(&mut rest)?;
        let mut section = BoundedSection::new(into, limits);
        while let Some(&first) = rest.first() {
            if first >= kind::INDEXED {
                let index = integer::read(&mut rest, 7)?;
                section.append_entry(self.entry(index)?);
            } else if first >= kind::INDEXING {
                section.append(|text| self.indexing(&mut rest, text))?;
            } else if first >= kind::TABLE_SIZE {
                return Err(DecodeError::TableSizeMisplaced);
            } else {
                section.append(|text| self.literal(&mut rest, 4, text))?;
                if first >= kind::NEVER_INDEXED {
                    section.never_index_last();
                }
            }
        }
        Ok(section.whole())
    }

    /// Takes changes of the table's size off a block's beginning (RFC 7541 section 6.3).
    fn change_sizes(&mut self, rest: &mut &[u8]) -> Result<(), DecodeError> {
        for _ in 0..MOST_TABLE_SIZES {
            match rest.first() {
                Some(first) if first & 0xe0 == kind::TABLE_SIZE => {}
                _ => break,
            }
            let limit = integer::read(rest, 5)?;
            if limit > MOST_BYTES {
                return Err(DecodeError::TableTooLarge);
            }
            self.table.set_limit(limit);
        }
        Ok(())
    }

    /// What an index refers to (RFC 7541 section 2.3.3).
    #[inline]
    fn entry(&self, index: usize) -> Result<Entry<'_>, DecodeError> {
        let number = index.checked_sub(1).ok_or(DecodeError::NoSuchEntry)?;
        if let Some(entry) = static_table::ENTRIES.get(number) {
            return Ok(*entry);
        }
        let number = number - static_table::ENTRIES.len();
        self.table.get(number).ok_or(DecodeError::NoSuchEntry)
    }

    /// Appends a literal that enters the table.
    fn indexing(&mut self, rest: &mut &[u8], text: &mut Vec<u8>) -> Result<usize, DecodeError> {
        let start = text.len();
        let name = self.literal(rest, 6, text)?;
        self.table.insert(&text[start..], name);
        Ok(name)
    }

    /// Appends a literal, whose name's index is in `prefix` bits; how long its name is.
    fn literal(
        &self,
        rest: &mut &[u8],
        prefix: u32,
        text: &mut Vec<u8>,
    ) -> Result<usize, DecodeError> {
        let start = text.len();
        match integer::read(rest, prefix)? {
            0 => string(rest, text)?,
            index => text.extend_from_slice(self.entry(index)?.name()),
        }
        let name = text.len() - start;
        string(rest, text)?;
        Ok(name)
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> &DynamicTable {
        &self.table
    }
}

/// Appends a string (RFC 7541 section 5.2).
fn string(rest: &mut &[u8], text: &mut Vec<u8>) -> Result<(), DecodeError> {
    let is_huffman = rest.first().is_some_and(|first| first & HUFFMAN != 0);
    let length = integer::read(rest, 7)?;
    let (bytes, after) = rest
        .split_at_checked(length)
        .ok_or(DecodeError::Truncated)?;
    *rest = after;
    if is_huffman {
        return huffman::decode(bytes, text);
    }
    text.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Encoder;
    use super::*;

    const LARGE: Limits = Limits {
        bytes: usize::MAX,
        fields: usize::MAX,
    };

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<FieldSection, DecodeError> {
        let mut section = FieldSection::default();
        let whole = decoder.decode(block, &mut section, LARGE)?;
        assert_eq!(whole, Whole::Fits);
        Ok(section)
    }

    fn error(block: &[u8]) -> DecodeError {
        decode(&mut Decoder::new(), block).unwrap_err()
    }

    #[test]
    fn what_is_never_to_be_indexed_is_passed_on_as_such() {
        let block = b"\x10\x01a\x01b\x00\x01a\x01b\x1f\x03\x01c\x0f\x03\x01c";
        let mut section = FieldSection::default();
        let whole = Decoder::new().decode(block, &mut section, LARGE);
        assert_eq!(whole, Ok(Whole::Fits));
        let (encoder, mut again) = (Encoder::new(), Vec::new());
        section
            .lines()
            .for_each(|field| encoder.field(&mut again, field));
        assert_eq!(again, block);
    }

    #[test]
    fn an_index_has_to_be_that_of_an_entry() {
        for block in [
            &[0x80][..],
            &[0x80 | 62],
            &[0xff, 0x80, 0x80, 0x7f],
            // Those of names.
            &[0x40 | 62, 0],
            &[0x0f, 62 - 15, 0],
            &[0x1f, 62 - 15, 0],
            // Behind the only entry.
            &[0x40, 1, b'a', 0, 0x80 | 63],
        ] {
            assert_eq!(error(block), DecodeError::NoSuchEntry, "{block:x?}");
        }
        let mut decoder = Decoder::new();
        let block = [0x40, 1, b'a', 1, b'b', 0x80 | 62, 0x80 | 61];
        let section = decode(&mut decoder, &block).unwrap();
        let fields: Vec<_> = section.iter().collect();
        let a: (&[u8], &[u8]) = (b"a", b"b");
        assert_eq!(fields, [a, a, (b"www-authenticate", b"")]);
    }

    #[test]
    fn a_block_that_ends_within_a_field_is_refused() {
        let whole = b"\x82\x40\x01a\x81\x1f\x10\x01b\x02cd\x0f\x0b\x021.";
        for length in 0..whole.len() {
            let result = decode(&mut Decoder::new(), &whole[..length]);
            match [0, 1, 6, 12].contains(&length) {
                true => assert!(result.is_ok(), "{length}"),
                false => assert_eq!(result, Err(DecodeError::Truncated), "{length}"),
            }
        }
        let section = decode(&mut Decoder::new(), whole).unwrap();
        let expected: [(&[u8], &[u8]); 4] = [
            (b":method", b"GET"),
            (b"a", b"a"),
            (b"b", b"cd"),
            (b"content-encoding", b"1."),
        ];
        assert_eq!(section.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn integers_and_strings_are_held_to_their_rules() {
        let long = b"\xff\x80\x80\x80\x80\x80\x00";
        assert_eq!(error(long), DecodeError::IntegerTooLong);
        let long = b"\x00\x01a\x7f\x80\x80\x80\x80\x80\x00";
        assert_eq!(error(long), DecodeError::IntegerTooLong);
        assert_eq!(error(b"\x00\x81\x00\x00"), DecodeError::Padding);
        let end = b"\x00\x01a\x84\xff\xff\xff\xff";
        assert_eq!(error(end), DecodeError::EndInString);
    }

    #[test]
    fn the_tables_size_changes_at_a_blocks_beginning_up_to_twice() {
        // 0, and 4096.
        let (none, most) = (&[0x20][..], &[0x3f, 0xe1, 0x1f][..]);
        let mut decoder = Decoder::new();
        decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
        assert_eq!(decoder.table().size(), 34);
        decode(&mut decoder, &[none, most, b"\x82"].concat()).unwrap();
        assert_eq!(decoder.table().size(), 0);
        decode(&mut decoder, none).unwrap();
        decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
        assert_eq!(decoder.table().size(), 0);
        decode(&mut decoder, most).unwrap();
        decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
        assert_eq!(decoder.table().size(), 34);
        for misplaced in [
            &[most, most, none].concat()[..],
            b"\x82\x20",
            b"\x20\x82\x20",
        ] {
            assert_eq!(error(misplaced), DecodeError::TableSizeMisplaced);
        }
        assert_eq!(error(&[0x3f, 0xe2, 0x1f]), DecodeError::TableTooLarge);
        assert_eq!(error(&[0x3f, 0xe2]), DecodeError::Truncated);
    }

    #[test]
    fn a_name_is_read_before_its_entry_makes_room() {
        let mut decoder = Decoder::new();
        decode(&mut decoder, b"\x3f\x06\x40\x01a\x04long").unwrap();
        assert_eq!(decoder.table().size(), 37);
        // Both do not fit; the second has the name of the first.
        let section = decode(&mut decoder, b"\x7e\x03new\xbe").unwrap();
        let a: (&[u8], &[u8]) = (b"a", b"new");
        assert_eq!(section.iter().collect::<Vec<_>>(), [a, a]);
        assert_eq!(decoder.table().entries(), [a]);
        // One that is too large for the table is a field like any other.
        let section = decode(&mut decoder, b"\x7e\x05never").unwrap();
        assert_eq!(section.get(b"a"), Some(&b"never"[..]));
        assert!(decoder.table().entries().is_empty());
    }

    #[test]
    fn what_is_too_large_keeps_the_table_in_step() {
        // :method GET, then a: b and c: d into the table, then e: f.
        let block = b"\x82\x40\x01a\x01b\x40\x01c\x01d\x00\x01e\x01f";
        let sizes = [42, 34, 34, 34];
        for kept in 0..=sizes.len() {
            let bytes: usize = sizes[..kept].iter().sum();
            for (bytes, fields) in [(bytes, 9), (bytes + 33, 9), (999, kept)] {
                let (mut decoder, mut section) = (Decoder::new(), FieldSection::default());
                section.push(b"before", b"");
                let limits = Limits { bytes, fields };
                let whole = decoder.decode(block, &mut section, limits).unwrap();
                assert_eq!(section.len(), 1 + kept);
                assert_eq!(whole == Whole::Fits, kept == sizes.len());
                let table: [(&[u8], &[u8]); 2] = [(b"c", b"d"), (b"a", b"b")];
                assert_eq!(decoder.table().entries(), table);
                let error = decoder.decode(b"\x00\x01", &mut section, limits);
                assert_eq!(error, Err(DecodeError::Truncated));
            }
        }
    }
}
