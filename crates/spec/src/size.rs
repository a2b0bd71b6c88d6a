//! Numbers of bytes as people write them: `512B`, `64KiB`, `10MiB`.

/// The units with their sizes in bytes.
const UNITS: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

/// Why a text is not a size; reads as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSize {
    #[error("the unit is missing")]
    NoUnit,
    #[error("a size is a whole number with the unit B, KiB, MiB or GiB")]
    Shape,
    #[error("the size is too large to be counted")]
    Overflow,
}

/// Writes a size that is a whole number of KiB, MiB or GiB.
pub(crate) fn text(size: u64) -> String {
    match size {
        size if size % (1 << 30) == 0 => format!("{}GiB", size >> 30),
        size if size % (1 << 20) == 0 => format!("{}MiB", size >> 20),
        size => format!("{}KiB", size >> 10),
    }
}

/// Reads a size.
pub(crate) fn parse(text: &str) -> Result<u64, BadSize> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_number(text) {
        return Err(BadSize::NoUnit);
    }
    let split = |(unit, size): &(&str, u64)| Some((text.strip_suffix(unit)?, *size));
    let (number, size) = UNITS.iter().find_map(split).ok_or(BadSize::Shape)?;
    if !is_number(number) {
        return Err(BadSize::Shape);
    }
    let number: u64 = number.parse().map_err(|_| BadSize::Overflow)?;
    number.checked_mul(size).ok_or(BadSize::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_unit() {
        for (text, size) in [
            ("0B", 0),
            ("12B", 12),
            ("64KiB", 65_536),
            ("10MiB", 10 << 20),
        ] {
            assert_eq!(parse(text), Ok(size));
        }
        for (text, error) in [
            ("", BadSize::Shape),
            ("12", BadSize::NoUnit),
            ("12kB", BadSize::Shape),
            ("12 B", BadSize::Shape),
            ("-1B", BadSize::Shape),
            ("1.5MiB", BadSize::Shape),
            ("MiB", BadSize::Shape),
            ("99999999999999999999B", BadSize::Overflow),
            ("99999999999999999GiB", BadSize::Overflow),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
