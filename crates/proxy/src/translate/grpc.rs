//! What gRPC adds to HTTP/2: deadlines, and a status of its own in the trailers
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::time::Duration;

use crate::http::field_section::FieldSection;
use crate::http::gateway_error::{GatewayError, NO_RETRY, REASON, RETRY};
use crate::http::grpc_status;

pub(crate) const TIMEOUT: &[u8] = b"grpc-timeout";
const STATUS: &[u8] = b"grpc-status";
const MESSAGE: &[u8] = b"grpc-message";
/// A negative number forbids to try a call again
/// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md>).
const PUSHBACK: &[u8] = b"grpc-retry-pushback-ms";

/// Whether a message is one of gRPC.
pub(crate) fn is_grpc(fields: &FieldSection) -> bool {
    let Some(kind) = fields.get(b"content-type") else {
        return false;
    };
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';' | b' ', ..]))
}

/// How long the caller waits; none where it does not say, or not in a way that can be read.
pub(crate) fn timeout(fields: &FieldSection) -> Option<Duration> {
    let (unit, digits) = fields.get(TIMEOUT)?.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// How long a caller still waits, as its field says it.
#[derive(Debug, Clone)]
pub(crate) struct TimeoutText {
    text: [u8; 9],
    start: usize,
}

impl TimeoutText {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// Says that the caller still waits so long.
pub(crate) fn timeout_text(left: Duration) -> TimeoutText {
    // The finest unit in which it fits eight digits, rounded down.
    const MOST: u128 = 99_999_999;
    let (mut count, unit) = match () {
        () if left.as_nanos() <= MOST => (left.as_nanos(), b'n'),
        () if left.as_micros() <= MOST => (left.as_micros(), b'u'),
        () if left.as_millis() <= MOST => (left.as_millis(), b'm'),
        () if u128::from(left.as_secs()) <= MOST => (left.as_secs().into(), b'S'),
        () => (u128::from(left.as_secs() / 60).min(MOST), b'M'),
    };
    let mut text = [unit; 9];
    let mut start = 8;
    loop {
        start -= 1;
        text[start] = b'0' + (count % 10) as u8;
        count /= 10;
        if count == 0 {
            return TimeoutText { text, start };
        }
    }
}

/// The status that trailers, or the head of an answer without content, tell; none where they tell
/// none.
pub(crate) fn status(fields: &FieldSection) -> Option<u8> {
    let status = str::from_utf8(fields.get(STATUS)?).ok()?;
    status.parse().ok()
}

/// The status that a caller is told of a failure of ours.
pub(crate) fn status_of(error: GatewayError) -> u8 {
    match error {
        GatewayError::Timeout
        | GatewayError::Deadline
        | GatewayError::IdleTimeout
        | GatewayError::SlowRequest => grpc_status::DEADLINE_EXCEEDED,
        GatewayError::BodyTooLarge | GatewayError::RateLimited(_) => {
            grpc_status::RESOURCE_EXHAUSTED
        }
        error if error.forbids_retry() => grpc_status::RESOURCE_EXHAUSTED,
        GatewayError::NoRoute => grpc_status::UNIMPLEMENTED,
        GatewayError::BadRequest(_) | GatewayError::BadResponse(_) => grpc_status::INTERNAL,
        _ => grpc_status::UNAVAILABLE,
    }
}

/// The fields that tell of a failure of ours.
pub(crate) fn failure(error: GatewayError) -> FieldSection {
    // With room for what an answer without trailers says besides.
    let mut fields = FieldSection::with_capacity(256, 4);
    fields.push(STATUS, status_of(error).to_string().as_bytes());
    // Its sentences have no byte that would have to be escaped; "%" is the one that could.
    let message = format!("{}: {error}", error.reason()).replace('%', "%25");
    fields.push(MESSAGE, message.as_bytes());
    if error.forbids_retry() {
        fields.push(PUSHBACK, b"-1");
        fields.push(RETRY.as_bytes(), NO_RETRY);
    }
    fields
}

/// The same as the head of an answer that is head and trailers in one.
pub(crate) fn refusal(error: GatewayError) -> FieldSection {
    let mut fields = failure(error);
    fields.push(b"content-type", b"application/grpc");
    fields.push(REASON, error.reason().as_bytes());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        timeout(&[(TIMEOUT, text.as_bytes())].into_iter().collect())
    }

    #[test]
    fn deadlines_are_read_and_written() {
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "1s", "123456789S", "-1S", "1 S"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        for (left, written) in [
            (Duration::from_nanos(5), "5n"),
            (Duration::from_millis(1500), "1500000u"),
            (Duration::from_secs(1000), "1000000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_secs(600_000_000), "10000000M"),
            (Duration::from_secs(60 * 99_999_999), "99999999M"),
        ] {
            assert_eq!(timeout_text(left).as_bytes(), written.as_bytes());
            assert_eq!(read(written), Some(left));
        }
        let ages = timeout_text(Duration::MAX);
        assert_eq!(ages.as_bytes(), b"99999999M");
    }

    #[test]
    fn messages_of_grpc_are_known_by_their_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=1", true),
            ("application/grpc-web", false),
            ("text/plain", false),
        ] {
            let fields = [(&b"content-type"[..], kind.as_bytes())];
            let fields = fields.into_iter().collect();
            assert_eq!(is_grpc(&fields), expected, "{kind}");
        }
    }

    #[test]
    fn a_failure_of_ours_has_a_status_and_a_sentence() {
        let fields = failure(GatewayError::NoHealthyEndpoint);
        assert_eq!(status(&fields), Some(grpc_status::UNAVAILABLE));
        let message = fields.get(MESSAGE).unwrap();
        assert!(message.starts_with(b"no-healthy-endpoint: "));
    }
}
