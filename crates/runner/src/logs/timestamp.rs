//! Points in time as logs carry them: RFC 3339, UTC, nine digits after the second.
//!
//! Written here, since the shim that stamps every line links nothing for it, and since a text of
//! one fixed length is all that is needed.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// Nanoseconds since the Unix epoch. Displayed as `2026-11-24T04:40:15.123456789Z`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How many bytes the text of every timestamp has.
    pub const TEXT_BYTES: usize = 30;

    /// What the system's clock says; the epoch if that is set before it.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Reads exactly what `Display` writes; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::TEXT_BYTES] = text.try_into().ok()?;
        let marks = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'.'),
        ];
        if marks.iter().any(|&(place, mark)| text[place] != mark) || text[29] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| {
            text[from..to].iter().try_fold(0u64, |value, byte| {
                byte.is_ascii_digit()
                    .then(|| value * 10 + u64::from(byte - b'0'))
            })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let in_range = year >= 1970
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !in_range {
            return None;
        }
        let months: u64 = (1..month).map(|month| days_in_month(year, month)).sum();
        let days = days_before_year(year) + months + day - 1;
        let seconds = days * DAY + hour * 3600 + minute * 60 + second;
        seconds
            .checked_mul(NANOS)?
            .checked_add(number(20, 29)?)
            .map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / NANOS, self.0 % NANOS);
        let (days, second) = (seconds / DAY, seconds % DAY);
        // Every year has at most 366 days: the guess is never late, and early by one at most
        // in the five centuries that fit.
        let mut year = 1970 + days / 366;
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        let mut day = days - days_before_year(year);
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        write!(
            f,
            "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{nanos:09}Z",
            day + 1,
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// Days from the epoch to the first of January of `year`, which is 1970 or later.
fn days_before_year(year: u64) -> u64 {
    let leap_years_to = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_years_to(year - 1) - leap_years_to(1969)
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(Timestamp(seconds * NANOS).to_string(), text);
        }
    }

    #[test]
    fn only_one_spelling_is_read() {
        for bad in [
            "",
            "2026-11-24T04:40:15Z",
            "2026-11-24T04:40:15.123456789+",
            "2026-11-24 04:40:15.123456789Z",
            "2026-13-24T04:40:15.123456789Z",
            "2025-02-29T04:40:15.123456789Z",
            "1969-12-31T23:59:59.999999999Z",
            "2026-11-24T24:00:00.000000000Z",
            "2026-11-24T04:40:15.12345678 Z",
            "9999-11-24T04:40:15.123456789Z",
        ] {
            assert_eq!(Timestamp::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_reads_back_and_sorts_as_its_time(a: u64, b: u64) {
            let (first, second) = (Timestamp(a).to_string(), Timestamp(b).to_string());
            prop_assert_eq!(first.len(), Timestamp::TEXT_BYTES);
            prop_assert_eq!(Timestamp::parse(first.as_bytes()), Some(Timestamp(a)));
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
        }
    }
}
