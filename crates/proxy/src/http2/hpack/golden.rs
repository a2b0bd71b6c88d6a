//! Blocks of one connection that another implementation encoded, with its Huffman code, its use of
//! the dynamic table and changes of the table's size.

use super::{Decoder, Limits, Whole};
use crate::http::field_section::FieldSection;

/// For each block a line of its bytes in hexadecimal, lines of a name and a value with a tab
/// between, and an empty line.
const BLOCKS: &str = include_str!("golden.txt");

const LIMITS: Limits = Limits {
    bytes: 64 * 1024,
    fields: 100,
};

#[test]
fn blocks_of_another_implementation_are_decoded() {
    let mut decoder = Decoder::new();
    let mut count = 0;
    for text in BLOCKS.split_terminator("\n\n") {
        let (block, fields) = text.split_once('\n').unwrap_or((text, ""));
        let mut section = FieldSection::default();
        let whole = decoder.decode(&bytes(block), &mut section, LIMITS);
        assert_eq!(whole, Ok(Whole::Fits), "block {count}");
        let expected = fields.lines().map(|line| line.split_once('\t').unwrap());
        let expected = expected.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let fields: Vec<_> = section.iter().collect();
        assert_eq!(fields, expected.collect::<Vec<_>>(), "block {count}");
        count += 1;
    }
    assert_eq!(count, 40);
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
