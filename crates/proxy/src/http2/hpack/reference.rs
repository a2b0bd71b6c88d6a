//! For tests: an encoder that does all that [`super::Encoder`] does not, as plainly as can be.

use super::huffman::LENGTHS;
use super::{FIELD_OVERHEAD, HUFFMAN, integer, kind, static_table};

/// A string in Huffman code.
pub(super) fn huffman(text: &[u8]) -> Vec<u8> {
    let codes = codes();
    let mut bits = String::new();
    for &byte in text {
        bits += &codes[usize::from(byte)];
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    let byte = |digits: &[u8]| digits.iter().fold(0, |byte, d| byte << 1 | (d - b'0'));
    bits.as_bytes().chunks(8).map(byte).collect()
}

/// Each symbol's code in digits, counted up from the shortest as RFC 1951 section 3.2.2 does.
fn codes() -> Vec<String> {
    let mut codes = vec![String::new(); LENGTHS.len()];
    let mut code: u64 = 0;
    for length in 1..=30 {
        code <<= 1;
        for symbol in 0..LENGTHS.len() {
            if usize::from(LENGTHS[symbol]) == length {
                codes[symbol] = format!("{code:0length$b}");
                code += 1;
            }
        }
    }
    assert_eq!(code, 1 << 30, "the code is complete");
    codes
}

/// How a field is represented.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    /// By index, if there is one.
    pub(super) indexed: bool,
    /// Its name by index, if there is one.
    pub(super) name_indexed: bool,
    /// Enters the table.
    pub(super) indexing: bool,
    pub(super) never: bool,
    pub(super) huffman: bool,
}

/// Fields of the dynamic table, the newest first.
pub(super) struct Encoder {
    pub(super) table: Vec<(Vec<u8>, Vec<u8>)>,
    limit: usize,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self {
            table: Vec::new(),
            limit: 4096,
        }
    }

    pub(super) fn set_limit(&mut self, out: &mut Vec<u8>, limit: usize) {
        integer::write(out, kind::TABLE_SIZE, 5, limit);
        self.limit = limit;
        self.evict();
    }

    pub(super) fn field(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], how: Choice) {
        let field = self.position(|n, v| (n, v) == (name, value));
        if let Some(index) = field.filter(|_| how.indexed) {
            return integer::write(out, kind::INDEXED, 7, index);
        }
        let known = self.position(|n, _| n == name);
        let known = known.filter(|_| how.name_indexed).unwrap_or(0);
        match how {
            Choice { indexing: true, .. } => integer::write(out, kind::INDEXING, 6, known),
            Choice { never: true, .. } => integer::write(out, kind::NEVER_INDEXED, 4, known),
            _ => integer::write(out, kind::LITERAL, 4, known),
        }
        if known == 0 {
            string(out, name, how.huffman);
        }
        string(out, value, how.huffman);
        if how.indexing {
            self.table.insert(0, (name.to_vec(), value.to_vec()));
            self.evict();
        }
    }

    pub(super) fn size(&self) -> usize {
        let size = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + FIELD_OVERHEAD;
        self.table.iter().map(size).sum()
    }

    fn position(&self, is: impl Fn(&[u8], &[u8]) -> bool) -> Option<usize> {
        let known = static_table::ENTRIES.iter();
        let known = known.map(|entry| (entry.name(), entry.value()));
        let dynamic = self
            .table
            .iter()
            .map(|(name, value)| (&name[..], &value[..]));
        // The last, so that entries of the dynamic table come first.
        let all: Vec<_> = known.chain(dynamic).collect();
        let position = all.iter().rposition(|(name, value)| is(name, value))?;
        Some(position + 1)
    }

    fn evict(&mut self) {
        while self.size() > self.limit {
            self.table.pop();
        }
    }
}

fn string(out: &mut Vec<u8>, text: &[u8], is_huffman: bool) {
    let (kind, text) = match is_huffman {
        true => (HUFFMAN, huffman(text)),
        false => (0, text.to_vec()),
    };
    integer::write(out, kind, 7, text.len());
    out.extend_from_slice(&text);
}
