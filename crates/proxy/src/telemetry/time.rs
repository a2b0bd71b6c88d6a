//! A moment as text (RFC 3339), in UTC and microseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, since the Unix epoch.
pub(super) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The moment so long after the Unix epoch.
pub(super) fn rfc3339(since: Duration) -> String {
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (second, microsecond) = (second % 60, since.subsec_micros());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}Z")
}

/// The date so many days after the first of 1970. Years are counted from March, so that the day
/// that some of them have more is their last.
fn date(days: u64) -> (u64, u64, u64) {
    const YEARS_400: u64 = 146_097;
    // The first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / YEARS_400, days % YEARS_400);
    let year = (day - day / 1_460 + day / 36_524 - day / (YEARS_400 - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = match month {
        0..10 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_what_the_calendar_says() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_399, "2000-02-28T23:59:59.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (951_868_800, "2000-03-01T00:00:00.000007Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000007Z"),
        ] {
            let moment = Duration::new(seconds, 7_999);
            assert_eq!(rfc3339(moment), expected);
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = date(0);
        for day in 1..200_000 {
            let next = date(day);
            let follows = match next {
                (year, month, 1) => {
                    (year, month - 1) == (last.0, last.1) || (month == 1 && year == last.0 + 1)
                }
                (year, month, day) => (year, month, day - 1) == last,
            };
            assert!(follows, "{last:?} {next:?}");
            last = next;
        }
    }
}
