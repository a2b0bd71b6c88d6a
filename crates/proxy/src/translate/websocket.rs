//! WebSockets where one side speaks HTTP/1.1 (RFC 6455) and the other HTTP/2 (RFC 8441): what the
//! older handshake proves with a key, the newer does not prove at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// A key for a handshake of ours; none where the operating system has no random bytes.
pub(crate) fn key() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

/// What proves that a handshake with `key` was understood (RFC 6455 section 4.2.2).
pub(crate) fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_holds() {
        let accepted = accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accepted, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_of_16_bytes_and_not_repeated() {
        let (one, two) = (key().unwrap(), key().unwrap());
        assert_eq!(STANDARD.decode(&one).unwrap().len(), 16);
        assert_ne!(one, two);
    }
}
