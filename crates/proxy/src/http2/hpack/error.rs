//! Why a block cannot be decoded.

use thiserror::Error;

/// What is wrong with a block. The two sides' tables may differ from here on, so that the
/// connection has to end with COMPRESSION_ERROR (RFC 9113 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// It ends within a field.
    #[error("a field block ends within a field")]
    Truncated,
    /// A number takes more bytes than any that makes sense (RFC 7541 section 5.1).
    #[error("a field block has an integer that is too long")]
    IntegerTooLong,
    /// An index is 0, or beyond both tables (RFC 7541 section 2.3.3).
    #[error("a field block refers to an entry that no table has")]
    NoSuchEntry,
    /// The table is to be larger than we allow (RFC 7541 section 6.3).
    #[error("a field block makes the dynamic table larger than allowed")]
    TableTooLarge,
    /// The table's size changes behind a field, or more often than it may (RFC 7541 section 4.2).
    #[error("a field block changes the dynamic table's size where it must not")]
    TableSizeMisplaced,
    /// The code for the end of a string is in one (RFC 7541 section 5.2).
    #[error("a field block has a string with the code for a string's end")]
    EndInString,
    /// What fills a string's last byte is longer than 7 bits, or not all ones (RFC 7541 section
    /// 5.2).
    #[error("a field block has a string with wrong padding")]
    Padding,
}
