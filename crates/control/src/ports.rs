//! Loopback ports for listeners and instances.
//!
//! Both ranges lie below the system's range for outgoing connections (32768 and up on Linux), so
//! that a connection's own port never takes one of ours.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Where services find what they use.
pub const LISTENERS: Range<u16> = 10_000..20_000;
/// Where instances listen.
pub const INSTANCES: Range<u16> = 20_000..32_000;

/// Every port of a range is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no free port from {} to {} on 127.0.0.1", .0.start, .0.end - 1)]
pub(crate) struct NoFreePort(Range<u16>);

/// A port of `range` that is not in `taken` and that nobody listens on now. The search begins at
/// random, so that two servers on one machine seldom reach for the same port.
pub(crate) fn free_port(range: Range<u16>, taken: &BTreeSet<u16>) -> Result<u16, NoFreePort> {
    let count = u64::from(range.end - range.start);
    let start = RandomState::new().hash_one(()) % count;
    (0..count)
        .map(|n| range.start + u16::try_from((start + n) % count).expect("below the range's size"))
        .find(|port| !taken.contains(port) && is_free(*port))
        .ok_or(NoFreePort(range))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_or_listened_on_is_not_given() {
        let first = free_port(LISTENERS, &BTreeSet::new()).unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_eq!(
            free_port(first..first + 1, &BTreeSet::new()),
            Err(NoFreePort(first..first + 1))
        );
        drop(held);
        let taken = BTreeSet::from([first]);
        assert!(free_port(first..first + 1, &taken).is_err());
    }
}
