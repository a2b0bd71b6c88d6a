//! The field `Date` (RFC 9110 section 6.6.1): a gateway adds it to an answer that has none.

use std::cell::Cell;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a date is, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) const LENGTH: usize = 29;

thread_local! {
    /// The second that was written last, and its text: most answers share it.
    static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [b' '; LENGTH])) };
}

/// The date now.
pub(crate) fn now() -> [u8; LENGTH] {
    let now = SystemTime::now();
    // A clock before 1970 says nothing of use, and is told as 1970.
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (last, mut text) = LAST.get();
    if second != last {
        let mut rest = &mut text[..];
        // Dates of the four-digit years that there are have exactly this length.
        let _ = write!(rest, "{}", httpdate::HttpDate::from(now.max(UNIX_EPOCH)));
        LAST.set((second, text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_now() {
        let before = SystemTime::now();
        let text = String::from_utf8(now().to_vec()).unwrap();
        let read = httpdate::parse_http_date(&text).unwrap();
        let apart = before.duration_since(read).unwrap_or_default();
        assert!(apart.as_secs() <= 2 && read <= SystemTime::now());
        assert_eq!(now(), now());
    }
}
