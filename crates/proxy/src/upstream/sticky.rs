//! The number that requests have in common which go to the same endpoint.

use std::net::IpAddr;

use model::HashKey;

use crate::balance::digest;
use crate::routing::{Asked, cookie};

/// The number of a request that comes from `peer`; none where it has nothing that would tell.
pub(crate) fn number(key: &HashKey, asked: &dyn Asked, peer: Option<IpAddr>) -> Option<u64> {
    let mut number = None;
    match key {
        HashKey::Header(name) => {
            asked.any_field(name.as_str(), &mut |value| {
                number = Some(digest(value));
                true
            });
        }
        HashKey::Cookie(name) => {
            asked.any_field("cookie", &mut |value| {
                number = cookie(value, name).map(digest);
                number.is_some()
            });
        }
        HashKey::ClientAddress => number = peer.map(of_address),
        HashKey::Path => {
            let path = asked.path_and_query();
            let end = memchr::memchr(b'?', path).unwrap_or(path.len());
            number = Some(digest(&path[..end]));
        }
    }
    number
}

fn of_address(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(address) => digest(&address.octets()),
        // A client has all addresses of its network, and changes them.
        IpAddr::V6(address) => digest(&address.octets()[..8]),
    }
}
