//! What gRPC adds to HTTP/2: deadlines, and a status of its own in the trailers
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::time::Duration;

use crate::http::field_section::FieldSection;
use crate::http::gateway_error::GatewayError;

/// The field with the time that a caller waits.
pub(crate) const TIMEOUT: &[u8] = b"grpc-timeout";
const STATUS: &[u8] = b"grpc-status";
const MESSAGE: &[u8] = b"grpc-message";

/// Status codes of gRPC.
pub(crate) mod status {
    pub(crate) const DEADLINE_EXCEEDED: u8 = 4;
    pub(crate) const UNIMPLEMENTED: u8 = 12;
    pub(crate) const INTERNAL: u8 = 13;
    pub(crate) const UNAVAILABLE: u8 = 14;
}

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

/// How long the caller still waits, as [`TIMEOUT`] says it.
pub(crate) fn write_timeout(left: Duration) -> String {
    // The finest unit in which it fits eight digits, rounded down.
    const MOST: u128 = 99_999_999;
    match () {
        () if left.as_nanos() <= MOST => format!("{}n", left.as_nanos()),
        () if left.as_micros() <= MOST => format!("{}u", left.as_micros()),
        () if left.as_millis() <= MOST => format!("{}m", left.as_millis()),
        () if u128::from(left.as_secs()) <= MOST => format!("{}S", left.as_secs()),
        () => format!("{}M", left.as_secs() / 60),
    }
}

/// The status that trailers, or the head of an answer without content, tell; none where they tell
/// none.
pub(crate) fn status(fields: &FieldSection) -> Option<u8> {
    str::from_utf8(fields.get(STATUS)?).ok()?.parse().ok()
}

/// The status that a caller is told of a failure of ours.
pub(crate) fn status_of(error: GatewayError) -> u8 {
    match error {
        GatewayError::Timeout | GatewayError::SlowRequest => status::DEADLINE_EXCEEDED,
        GatewayError::NoRoute => status::UNIMPLEMENTED,
        GatewayError::BadRequest(_) | GatewayError::BadResponse(_) => status::INTERNAL,
        _ => status::UNAVAILABLE,
    }
}

/// The fields that tell of a failure of ours.
pub(crate) fn failure(error: GatewayError) -> FieldSection {
    let mut fields = FieldSection::default();
    fields.push(STATUS, status_of(error).to_string().as_bytes());
    // Its sentences have no byte that would have to be escaped; "%" is the one that could.
    let message = format!("{}: {error}", error.reason()).replace('%', "%25");
    fields.push(MESSAGE, message.as_bytes());
    fields
}

/// The same as the head of an answer that is head and trailers in one.
pub(crate) fn refusal(error: GatewayError) -> FieldSection {
    let mut fields = failure(error);
    fields.push(b"content-type", b"application/grpc");
    fields.push(b"roadbed-reason", error.reason().as_bytes());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let fields = [(TIMEOUT, text.as_bytes())];
        timeout(&fields.into_iter().collect())
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
        ] {
            assert_eq!(write_timeout(left), written);
            assert_eq!(read(written), Some(left));
        }
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
            assert_eq!(is_grpc(&fields.into_iter().collect()), expected, "{kind}");
        }
    }

    #[test]
    fn a_failure_of_ours_has_a_status_and_a_sentence() {
        let fields = failure(GatewayError::NoHealthyEndpoint);
        assert_eq!(status(&fields), Some(status::UNAVAILABLE));
        let message = fields.get(MESSAGE).unwrap();
        assert!(message.starts_with(b"no-healthy-endpoint: "));
    }
}
