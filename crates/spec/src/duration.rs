//! Spans of time as people write them: `250ms`, `2s`, `1m30s`.

use std::time::Duration;

/// The units with their lengths in milliseconds, longest first: the order in which they stand.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration; reads as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDuration {
    #[error("the unit is missing")]
    NoUnit,
    #[error(
        "a duration is whole numbers with the units h, m, s and ms, each once and in this order"
    )]
    Shape,
    #[error("the duration is too long to be counted in milliseconds")]
    Overflow,
}

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, BadDuration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = split(rest, |b| b.is_ascii_digit());
        let (unit, after) = split(after, |b| b.is_ascii_alphabetic());
        if number.is_empty() {
            return Err(BadDuration::Shape);
        }
        if unit.is_empty() && after.is_empty() {
            return Err(BadDuration::NoUnit);
        }
        // The iterator is never rewound, so a unit cannot come twice or after a shorter one.
        let (_, length) = units
            .find(|(name, _)| *name == unit)
            .ok_or(BadDuration::Shape)?;
        let number: u64 = number.parse().map_err(|_| BadDuration::Overflow)?;
        total = number
            .checked_mul(*length)
            .and_then(|part| total.checked_add(part))
            .ok_or(BadDuration::Overflow)?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration of whole milliseconds the way [`parse`] reads it.
pub(crate) fn text(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        let count = millis / u128::from(length);
        millis %= u128::from(length);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// Cuts `text` after its leading ASCII bytes of one kind.
fn split(text: &str, kind: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().take_while(|&b| kind(b)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_units_in_order() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("1m30s", 90_000),
            ("5m", 300_000),
            ("1h2m3s4ms", 3_723_004),
            ("0s", 0),
            ("90m", 5_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for text in [
            "", "s", "-1s", "1.5s", "1s1m", "1s1s", "1 s", "1d", "1S", "1é", "1s ", "1é2s",
        ] {
            assert_eq!(parse(text), Err(BadDuration::Shape), "{text:?}");
        }
        assert_eq!(parse("30"), Err(BadDuration::NoUnit));
        assert_eq!(parse("1m30"), Err(BadDuration::NoUnit));
        assert_eq!(parse("99999999999999999999s"), Err(BadDuration::Overflow));
        assert_eq!(parse("9999999999999999h"), Err(BadDuration::Overflow));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0..10_000_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&text(duration)), Ok(duration));
        }
    }
}
