//! HPACK, the compression of fields in HTTP/2 (RFC 7541).
//!
//! A [`Decoder`] and an [`Encoder`] belong to one connection each. Blocks have to be decoded whole,
//! in the order in which they came, since each may change the table that the next refers to.

mod decoder;
mod dynamic_table;
mod encoder;
mod error;
mod huffman;
mod integer;
mod section;
mod static_table;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::DecodeError;
pub use section::{Limits, Whole};

/// What a field counts beyond its name and its value, in tables (RFC 7541 section 4.1) and in
/// lists (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// A field of one of the two tables: its name, and its value behind that.
#[derive(Clone, Copy)]
struct Entry<'a> {
    text: &'a [u8],
    name: usize,
}

impl<'a> Entry<'a> {
    const fn name(&self) -> &'a [u8] {
        self.text.split_at(self.name).0
    }

    const fn value(&self) -> &'a [u8] {
        self.text.split_at(self.name).1
    }
}

/// The first bits of a representation tell its kind (RFC 7541 section 6).
mod kind {
    /// An index into the tables, in 7 bits (section 6.1).
    pub(super) const INDEXED: u8 = 0x80;
    /// A literal that enters the table, its name's index in 6 bits (section 6.2.1).
    pub(super) const INDEXING: u8 = 0x40;
    /// Another size for the table, in 5 bits (section 6.3).
    pub(super) const TABLE_SIZE: u8 = 0x20;
    /// A literal that enters no table on its way, its name's index in 4 bits (section 6.2.3).
    pub(super) const NEVER_INDEXED: u8 = 0x10;
    /// A literal, its name's index in 4 bits (section 6.2.2).
    pub(super) const LITERAL: u8 = 0;
}

/// Set in the first byte of a string that is in Huffman code (RFC 7541 section 5.2).
const HUFFMAN: u8 = 0x80;
