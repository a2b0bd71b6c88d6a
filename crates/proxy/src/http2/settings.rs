//! What each side says of itself (RFC 9113 section 6.5).

use super::frame::{DEFAULT_WINDOW, LARGEST};
use super::reason::Reason;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// What the other side has said, as far as it matters to us. How large its frames may be does not:
/// ours are as small as everybody must accept. Nor does how large its table for compression may be,
/// in which we keep nothing; only that it said so has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerSettings {
    /// How many streams we may have open.
    pub(super) streams: u32,
    /// What we may send on a new stream.
    pub(super) window: u32,
    /// It has said how large its table for compression is, which the next block answers.
    pub(super) has_announced_table: bool,
    /// It opens WebSockets (RFC 8441).
    pub(super) opens_websockets: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            streams: u32::MAX,
            window: DEFAULT_WINDOW,
            has_announced_table: false,
            opens_websockets: false,
        }
    }
}

impl PeerSettings {
    /// Follows the payload of a frame; `from_server` is who sent it.
    ///
    /// # Errors
    /// A value that is not allowed, with what the connection ends for.
    pub(super) fn follow(&mut self, payload: &[u8], from_server: bool) -> Result<(), Reason> {
        for setting in payload.chunks(6) {
            let &[a, b, c, d, e, f] = setting else {
                return Err(Reason::FRAME_SIZE_ERROR);
            };
            let value = u32::from_be_bytes([c, d, e, f]);
            match u16::from_be_bytes([a, b]) {
                HEADER_TABLE_SIZE => self.has_announced_table = true,
                ENABLE_PUSH if value > 1 || (from_server && value == 1) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                MAX_CONCURRENT_STREAMS => self.streams = value,
                INITIAL_WINDOW_SIZE if value > LARGEST => return Err(Reason::FLOW_CONTROL_ERROR),
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                // What was once allowed cannot be taken back (RFC 8441 section 3).
                ENABLE_CONNECT_PROTOCOL if value > 1 || (value == 0 && self.opens_websockets) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                ENABLE_CONNECT_PROTOCOL => self.opens_websockets = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(settings: &[(u16, u32)], from_server: bool) -> Result<PeerSettings, Reason> {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let mut settings = PeerSettings::default();
        settings.follow(&payload, from_server).map(|()| settings)
    }

    #[test]
    fn what_is_said_is_followed_and_what_is_not_known_is_not() {
        let said = [(3, 7), (4, 9), (8, 1), (0xabcd, 5), (1, 0), (5, 1 << 14)];
        let settings = follow(&said, false).unwrap();
        assert_eq!((settings.streams, settings.window), (7, 9));
        assert!(settings.opens_websockets);
    }

    #[test]
    fn values_that_are_not_allowed_end_the_connection() {
        for (settings, from_server, reason) in [
            (&[(2, 2)][..], false, Reason::PROTOCOL_ERROR),
            (&[(2, 1)], true, Reason::PROTOCOL_ERROR),
            (&[(4, 1 << 31)], false, Reason::FLOW_CONTROL_ERROR),
            (&[(5, (1 << 14) - 1)], false, Reason::PROTOCOL_ERROR),
            (&[(5, 1 << 24)], false, Reason::PROTOCOL_ERROR),
            (&[(8, 2)], false, Reason::PROTOCOL_ERROR),
            (&[(8, 1), (8, 0)], false, Reason::PROTOCOL_ERROR),
        ] {
            assert_eq!(follow(settings, from_server), Err(reason), "{settings:?}");
        }
        let mut settings = PeerSettings::default();
        assert_eq!(
            settings.follow(&[0; 5], false),
            Err(Reason::FRAME_SIZE_ERROR)
        );
    }
}
