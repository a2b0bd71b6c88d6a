//! The fields that everybody knows (RFC 7541 appendix A).

use super::Entry;

macro_rules! entries {
    ($($name:literal $value:literal,)*) => {
        [$(Entry {
            text: concat!($name, $value).as_bytes(),
            name: $name.len(),
        }),*]
    };
}

const FIELDS: [Entry<'static>; 61] = entries![
    ":authority" "",
    ":method" "GET",
    ":method" "POST",
    ":path" "/",
    ":path" "/index.html",
    ":scheme" "http",
    ":scheme" "https",
    ":status" "200",
    ":status" "204",
    ":status" "206",
    ":status" "304",
    ":status" "400",
    ":status" "404",
    ":status" "500",
    "accept-charset" "",
    "accept-encoding" "gzip, deflate",
    "accept-language" "",
    "accept-ranges" "",
    "accept" "",
    "access-control-allow-origin" "",
    "age" "",
    "allow" "",
    "authorization" "",
    "cache-control" "",
    "content-disposition" "",
    "content-encoding" "",
    "content-language" "",
    "content-length" "",
    "content-location" "",
    "content-range" "",
    "content-type" "",
    "cookie" "",
    "date" "",
    "etag" "",
    "expect" "",
    "expires" "",
    "from" "",
    "host" "",
    "if-match" "",
    "if-modified-since" "",
    "if-none-match" "",
    "if-range" "",
    "if-unmodified-since" "",
    "last-modified" "",
    "link" "",
    "location" "",
    "max-forwards" "",
    "proxy-authenticate" "",
    "proxy-authorization" "",
    "range" "",
    "referer" "",
    "refresh" "",
    "retry-after" "",
    "server" "",
    "set-cookie" "",
    "strict-transport-security" "",
    "transfer-encoding" "",
    "user-agent" "",
    "vary" "",
    "via" "",
    "www-authenticate" "",
];

/// All fields; the first has the index 1.
pub(super) static ENTRIES: [Entry<'static>; 61] = FIELDS;

/// What the table has of a field, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The field.
    Field(u8),
    /// Its name.
    Name(u8),
    /// Nothing.
    Nothing,
}

/// Finds a field.
#[inline]
pub(super) fn find(name: &[u8], value: &[u8]) -> Found {
    if name.is_empty() {
        return Found::Nothing;
    }
    // Names of one hash are compared, and a name's fields follow one another.
    let first = usize::from(FIRST[hash(name, MULTIPLIER)]);
    let Some((entry, others)) = ENTRIES.get(first..).and_then(<[_]>::split_first) else {
        return Found::Nothing;
    };
    if entry.name() != name {
        return Found::Nothing;
    }
    if entry.value() == value {
        return Found::Field(first as u8 + 1);
    }
    let mut others = others.iter().take_while(|entry| entry.name() == name);
    match others.position(|entry| entry.value() == value) {
        Some(number) => Found::Field((first + number) as u8 + 2),
        None => Found::Name(first as u8 + 1),
    }
}

const HASHES: usize = 256;

/// Where [`ENTRIES`] has the first field whose name has a hash; [`NONE`] if there is none.
static FIRST: [u8; HASHES] = first_by_hash(MULTIPLIER);

const NONE: u8 = u8::MAX;

/// A number that differs for all names of the table if `multiplier` is the right one.
const fn hash(name: &[u8], multiplier: u32) -> usize {
    (key(name).wrapping_mul(multiplier) >> 24) as usize
}

/// A name's length and three of its bytes, which are others for each name of the table.
const fn key(name: &[u8]) -> u32 {
    let length = name.len();
    let bytes = [length as u8, name[0], name[length / 2], name[length - 1]];
    u32::from_be_bytes(bytes)
}

/// What makes the hashes of all names of the table differ; found by trying.
const MULTIPLIER: u32 = multiplier();

const fn multiplier() -> u32 {
    let mut multiplier: u32 = 0x9e37_79b1;
    while !is_perfect(multiplier) {
        multiplier = multiplier.wrapping_mul(0x0100_0193);
    }
    multiplier
}

const fn is_perfect(multiplier: u32) -> bool {
    let (mut number, mut seen) = (0, [0_u64; HASHES / 64]);
    while number < FIELDS.len() {
        if is_first(number) {
            let hash = hash(FIELDS[number].name(), multiplier);
            if seen[hash / 64] >> (hash % 64) & 1 == 1 {
                return false;
            }
            seen[hash / 64] |= 1 << (hash % 64);
        }
        number += 1;
    }
    true
}

const fn first_by_hash(multiplier: u32) -> [u8; HASHES] {
    let (mut number, mut first) = (0, [NONE; HASHES]);
    while number < FIELDS.len() {
        if is_first(number) {
            first[hash(FIELDS[number].name(), multiplier)] = number as u8;
        }
        number += 1;
    }
    first
}

/// Whether the field before has another name.
const fn is_first(number: usize) -> bool {
    number == 0 || key(FIELDS[number].name()) != key(FIELDS[number - 1].name())
}
