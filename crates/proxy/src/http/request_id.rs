//! The name of one request, by which its traces in the logs of all who had to do with it are
//! found: `X-Request-Id`.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The field that has it.
pub(crate) const REQUEST_ID: &[u8] = b"x-request-id";

/// The longest that is kept of those that others have given.
const LONGEST: usize = 64;
/// How many characters one of ours has.
const OURS: usize = 32;

/// The name of a request: 1 to 64 letters, digits and `-._~+/=:`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId {
    text: [u8; LONGEST],
    length: u8,
}

impl RequestId {
    /// The name that `text` is, if it can be one. What has other characters could mean something
    /// in a log or a terminal.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=:".contains(b);
        if !(1..=LONGEST).contains(&text.len()) || !text.iter().all(is_plain) {
            return None;
        }
        let mut id = Self {
            text: [0; LONGEST],
            length: text.len() as u8,
        };
        id.text[..text.len()].copy_from_slice(text);
        Some(id)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Gives names: 128 bits, of which half is a worker's own and drawn at its start, and half differs
/// each time. Nobody else is asked, so that a name costs a few instructions. They are unique, not
/// secret: who has seen some can tell what the next ones are.
#[derive(Debug)]
pub(crate) struct RequestIds {
    worker: [u8; OURS / 2],
    count: Cell<u64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self {
            worker: hexadecimal(random()),
            count: Cell::new(random()),
        }
    }
}

impl RequestIds {
    /// A name that no other request has.
    pub(crate) fn next(&self) -> RequestId {
        let count = self.count.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.count.set(count);
        // One-to-one, so that what differs before differs after it (SplitMix64,
        // <https://doi.org/10.1145/2660193.2660195>).
        let mixed = (count ^ (count >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mut id = RequestId {
            text: [0; LONGEST],
            length: OURS as u8,
        };
        id.text[..OURS / 2].copy_from_slice(&self.worker);
        id.text[OURS / 2..OURS].copy_from_slice(&hexadecimal(mixed ^ (mixed >> 31)));
        id
    }
}

fn hexadecimal(number: u64) -> [u8; OURS / 2] {
    let digit = |place: usize| b"0123456789abcdef"[(number >> (60 - 4 * place) & 0xf) as usize];
    std::array::from_fn(digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_requests_have_the_same_name_and_each_is_well_formed() {
        let workers = [RequestIds::default(), RequestIds::default()];
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            for worker in &workers {
                let id = worker.next();
                assert_eq!(RequestId::read(id.as_bytes()), Some(id));
                assert!(seen.insert(id.as_bytes().to_vec()));
            }
        }
        assert_eq!(hexadecimal(0x0123_4567_89ab_cdef), *b"0123456789abcdef");
    }

    #[test]
    fn a_name_of_others_is_kept_if_it_is_short_and_plain() {
        for good in [
            "a",
            "7b0e1c9a-2f3d-4e5f-8a9b-0c1d2e3f4a5b",
            "Root=1-67891233:+/",
        ] {
            assert_eq!(
                RequestId::read(good.as_bytes()).unwrap().as_bytes(),
                good.as_bytes()
            );
        }
        for bad in ["", "a b", "a,b", "a\"", "a\u{1b}[31m", "é", &"a".repeat(65)] {
            assert_eq!(RequestId::read(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
