//! What heads of requests and answers have in common: where they end, their fields, and which of
//! these are passed on.
//!
//! A parsed head holds positions, not copies: fields that are passed on unchanged are copied as
//! one run of bytes, from the head that arrived into the head that leaves.

use memchr::memchr_iter;
use model::FieldChanges;

use crate::http::Refusal;
use crate::http::fields::elements;
use crate::limits::{HEAD_BYTES, HEAD_FIELDS, TARGET_BYTES};

// Positions are stored as u16, and the fields to drop as bits of a u128.
const _: () = assert!(HEAD_BYTES < u16::MAX as usize && HEAD_FIELDS <= 128);

/// Finds where the head at the beginning of `bytes` ends; none while it is incomplete. The first
/// `scanned` bytes are known to hold no end, so that a head that arrives byte by byte is not
/// looked through again and again.
pub(crate) fn head_end(bytes: &[u8], scanned: usize) -> Result<Option<usize>, Refusal> {
    let window = &bytes[..bytes.len().min(HEAD_BYTES)];
    // A line end may have arrived in two halves, hence one byte back.
    let from = scanned.saturating_sub(1).min(window.len());
    for at in memchr_iter(b'\n', &window[from..]).map(|at| from + at) {
        if at == 0 || window[at - 1] != b'\r' {
            return Err(Refusal::BareLineFeed);
        }
        if at >= 3 && window[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    if bytes.len() <= HEAD_BYTES {
        return Ok(None);
    }
    match memchr::memchr(b'\n', &window[2..]) {
        Some(line) if line <= TARGET_BYTES => Err(Refusal::HeadTooLong),
        _ => Err(Refusal::TargetTooLong),
    }
}

/// The fields of a head: where each line begins, and which are not passed on.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    /// Where each field's line begins; the one after the last is where the empty line begins.
    starts: [u16; HEAD_FIELDS + 1],
    count: usize,
    dropped: u128,
    claims: u128,
}

impl Fields {
    /// The positions of `headers`, which were parsed from `bytes`, whose last two bytes are the
    /// empty line.
    pub(crate) fn locate(bytes: &[u8], headers: &[httparse::Header<'_>]) -> Self {
        let mut fields = Self {
            starts: [0; HEAD_FIELDS + 1],
            count: headers.len(),
            dropped: 0,
            claims: 0,
        };
        let base = bytes.as_ptr() as usize;
        for (start, header) in fields.starts.iter_mut().zip(headers) {
            *start = (header.name.as_ptr() as usize - base) as u16;
        }
        fields.starts[headers.len()] = (bytes.len() - 2) as u16;
        fields
    }

    /// How many fields there are, those that are not passed on included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Leaves the field at `index` out of what is passed on.
    pub(crate) fn drop(&mut self, index: usize) {
        self.dropped |= 1 << index;
    }

    /// Passes the field at `index` on after all.
    pub(crate) fn keep(&mut self, index: usize) {
        self.dropped &= !(1 << index);
    }

    /// Leaves out what `changes` drops.
    pub(crate) fn drop_changed(&mut self, bytes: &[u8], changes: &FieldChanges) {
        if changes.is_empty() {
            return;
        }
        for index in 0..self.count {
            if changes.drops(self.line(bytes, index).0) {
                self.drop(index);
            }
        }
    }

    /// Leaves out the fields whose names `is_dropped` says yes to.
    pub(crate) fn drop_all(&mut self, bytes: &[u8], is_dropped: impl Fn(&[u8]) -> bool) {
        for index in 0..self.count {
            if is_dropped(self.line(bytes, index).0) {
                self.drop(index);
            }
        }
    }

    /// Notes that the field at `index` is one that the edge writes itself.
    pub(crate) fn claim(&mut self, index: usize) {
        self.claims |= 1 << index;
    }

    /// Whether there are fields that the edge writes itself.
    pub(crate) fn has_claims(&self) -> bool {
        self.claims != 0
    }

    /// Leaves out what the edge writes itself.
    pub(crate) fn drop_claims(&mut self) {
        self.dropped |= self.claims;
    }

    /// The values of the fields of this name that are passed on.
    pub(crate) fn values<'a>(
        &'a self,
        bytes: &'a [u8],
        name: &'a str,
    ) -> impl Iterator<Item = &'a [u8]> {
        let kept = (0..self.count).filter(|index| self.dropped >> index & 1 == 0);
        kept.filter_map(move |index| {
            let (given, value) = self.line(bytes, index);
            given.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }

    /// Name and value of the field at `index`.
    fn line<'a>(&self, bytes: &'a [u8], index: usize) -> (&'a [u8], &'a [u8]) {
        let line = &bytes[usize::from(self.starts[index])..usize::from(self.starts[index + 1])];
        // The parser has seen a colon.
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        (&line[..colon], value.trim_ascii())
    }

    /// The lines that are passed on, as runs of neighbours, line ends included.
    pub(crate) fn kept<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut index = 0;
        std::iter::from_fn(move || {
            let kept = |index: usize| self.dropped >> index & 1 == 0;
            while index < self.count && !kept(index) {
                index += 1;
            }
            let first = index;
            while index < self.count && kept(index) {
                index += 1;
            }
            (first < index)
                .then(|| &bytes[usize::from(self.starts[first])..usize::from(self.starts[index])])
        })
    }
}

/// What `Connection` said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    /// `close` was named.
    pub(crate) close: bool,
    /// `keep-alive` was named.
    pub(crate) keep_alive: bool,
    /// `upgrade` was named.
    pub(crate) upgrade: bool,
    /// Other fields were named, which are for this connection only.
    pub(crate) names_fields: bool,
}

impl Connection {
    /// Adds one field's value.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in elements(value) {
            match () {
                () if option.eq_ignore_ascii_case(b"close") => self.close = true,
                () if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                () if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                () => self.names_fields = true,
            }
        }
    }
}

/// Leaves out the fields that a `Connection` field names. One that frames or addresses the
/// message cannot be for this connection only: removing it would change the message's meaning.
pub(crate) fn drop_named(
    fields: &mut Fields,
    headers: &[httparse::Header<'_>],
) -> Result<(), Refusal> {
    const ESSENTIAL: [&str; 3] = ["host", "content-length", "transfer-encoding"];
    for connection in headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case("connection"))
    {
        for option in elements(connection.value) {
            if ESSENTIAL
                .iter()
                .any(|name| name.as_bytes().eq_ignore_ascii_case(option))
            {
                return Err(Refusal::Connection);
            }
            for (index, header) in headers.iter().enumerate() {
                // Upgrade is kept or dropped by the rules of upgrades.
                let named = header.name.as_bytes().eq_ignore_ascii_case(option);
                if named && !header.name.eq_ignore_ascii_case("upgrade") {
                    fields.drop(index);
                }
            }
        }
    }
    Ok(())
}

/// What is wrong, in words, where the parser says that something is.
pub(crate) fn malformed(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::HeaderName => Refusal::Malformed(
            "a field's name has a byte that names cannot have, or space before its colon",
        ),
        httparse::Error::HeaderValue => {
            Refusal::Malformed("a field's value has a control character or is folded")
        }
        httparse::Error::NewLine => Refusal::Malformed("a CR is not followed by LF"),
        httparse::Error::Status => Refusal::Malformed("the status is not three digits"),
        httparse::Error::Token => Refusal::Malformed("the first line has a byte out of place"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_bytes_were_split() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let end = head.len() - 4;
        for first in 0..=head.len() {
            match head_end(&head[..first], 0).unwrap() {
                Some(at) => assert!(first >= end && at == end),
                None => assert_eq!(
                    head_end(head, first).unwrap(),
                    Some(end),
                    "split at {first}"
                ),
            }
        }
    }

    #[test]
    fn a_bare_line_feed_is_refused_at_once() {
        for bytes in [
            &b"\n"[..],
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nA: b\n\r\n",
        ] {
            assert_eq!(head_end(bytes, 0), Err(Refusal::BareLineFeed), "{bytes:?}");
        }
    }

    #[test]
    fn too_long_a_head_or_target_is_refused_when_its_end_is_out_of_reach() {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        head.resize(HEAD_BYTES, b'a');
        assert_eq!(head_end(&head, 0), Ok(None));
        head.push(b'a');
        assert_eq!(head_end(&head, 0), Err(Refusal::HeadTooLong));
        let target = vec![b'a'; HEAD_BYTES + 1];
        assert_eq!(head_end(&target, 0), Err(Refusal::TargetTooLong));
    }
}
