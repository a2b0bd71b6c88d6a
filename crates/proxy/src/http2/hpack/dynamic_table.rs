//! The fields that a peer has put where later blocks refer to them (RFC 7541 sections 2.3.2 and 4).

use std::collections::VecDeque;

use super::{Entry, FIELD_OVERHEAD};

/// How large a table may be: SETTINGS_HEADER_TABLE_SIZE as it is where nothing is said of it (RFC
/// 9113 section 6.5.2).
pub(super) const MOST_BYTES: usize = 4096;

/// How many bytes of text are kept, of which the table's entries are at most half: so what moves
/// when there is no more room is never more than what was added since it last did.
const ROOM: usize = 2 * MOST_BYTES;

/// A table. It takes no memory until something is put into it.
pub(super) struct DynamicTable {
    /// The entries' names and values, oldest first, behind those of entries that are gone.
    text: Vec<u8>,
    /// Newest first, as they are numbered.
    spans: VecDeque<Span>,
    size: usize,
    limit: usize,
}

/// Where an entry's text is. Nothing in [`ROOM`] needs more than 16 bits.
#[derive(Clone, Copy)]
struct Span {
    start: u16,
    length: u16,
    name: u16,
}

impl DynamicTable {
    pub(super) fn new() -> Self {
        Self {
            text: Vec::new(),
            spans: VecDeque::new(),
            size: 0,
            limit: MOST_BYTES,
        }
    }

    /// The entry of this number, where the newest has 0.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<Entry<'_>> {
        let span = self.spans.get(number)?;
        let start = usize::from(span.start);
        Some(Entry {
            text: self.text.get(start..start + usize::from(span.length))?,
            name: span.name.into(),
        })
    }

    /// Puts in a field, whose name is the first `name` bytes of `text`, and removes those for which
    /// there is no more room. One larger than the table empties it and is no error (RFC 7541
    /// section 4.4).
    pub(super) fn insert(&mut self, text: &[u8], name: usize) {
        let added = text.len() + FIELD_OVERHEAD;
        self.evict(self.limit.saturating_sub(added));
        if added > self.limit {
            return;
        }
        if self.text.len() + text.len() > ROOM {
            self.move_to_front();
        }
        self.spans.push_front(Span {
            start: self.text.len() as u16,
            length: text.len() as u16,
            name: name as u16,
        });
        self.text.extend_from_slice(text);
        self.size += added;
        debug_assert!(self.size <= self.limit && self.text.len() <= ROOM);
    }

    /// Makes `limit`, at most [`MOST_BYTES`], the size that the table may have (RFC 7541 section
    /// 4.3).
    pub(super) fn set_limit(&mut self, limit: usize) {
        debug_assert!(limit <= MOST_BYTES);
        self.limit = limit;
        self.evict(limit);
    }

    /// Removes the oldest entries until the size is at most this.
    fn evict(&mut self, size: usize) {
        while self.size > size
            && let Some(span) = self.spans.pop_back()
        {
            self.size -= usize::from(span.length) + FIELD_OVERHEAD;
        }
        if self.spans.is_empty() {
            self.text.clear();
        }
    }

    /// Drops the text of entries that are gone.
    fn move_to_front(&mut self) {
        let gone = self.spans.back().map_or(0, |oldest| oldest.start);
        self.text.drain(..usize::from(gone));
        for span in &mut self.spans {
            span.start -= gone;
        }
    }

    /// The size as the standard counts it.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// All entries, the newest first.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<(&[u8], &[u8])> {
        (0..self.spans.len())
            .filter_map(|number| self.get(number))
            .map(|entry| (entry.name(), entry.value()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let mut table = DynamicTable::new();
        table.set_limit(3 * 34);
        for text in [b"a1", b"b2", b"c3", b"d4"] {
            table.insert(text, 1);
        }
        let three: [(&[u8], &[u8]); 3] = [(b"d", b"4"), (b"c", b"3"), (b"b", b"2")];
        assert_eq!((table.entries(), table.size()), (three.to_vec(), 3 * 34));
        // One byte more than is left by one takes the place of two.
        table.insert(b"e55", 1);
        assert_eq!((table.entries().len(), table.size()), (2, 34 + 35));
        assert!(table.get(2).is_none());
    }

    #[test]
    fn one_that_is_too_large_empties_the_table() {
        let mut table = DynamicTable::new();
        table.insert(b"a1", 1);
        table.insert(&[b'x'; MOST_BYTES - FIELD_OVERHEAD], 1);
        assert_eq!((table.entries().len(), table.size()), (1, MOST_BYTES));
        table.insert(b"a1", 1);
        assert_eq!((table.entries().len(), table.size()), (1, 34));
        table.insert(&[b'x'; MOST_BYTES - FIELD_OVERHEAD + 1], 1);
        assert_eq!((table.entries().len(), table.size()), (0, 0));
    }

    #[test]
    fn a_lower_limit_evicts_and_a_limit_of_nothing_keeps_nothing() {
        let mut table = DynamicTable::new();
        for text in [b"a1", b"b2"] {
            table.insert(text, 1);
        }
        table.set_limit(67);
        assert_eq!(table.entries(), [(&b"b"[..], &b"2"[..])]);
        table.set_limit(0);
        table.insert(b"", 0);
        assert!(table.entries().is_empty());
        table.set_limit(32);
        table.insert(b"", 0);
        assert_eq!((table.entries().len(), table.size()), (1, 32));
    }

    /// What the table is in plain words: a list that is cut while it is too large.
    fn model(texts: &[Vec<u8>], limit: usize) -> Vec<&[u8]> {
        let mut size = 0;
        let newest_first = texts.iter().rev().map(|text| &text[..]);
        newest_first
            .take_while(|text| {
                size += text.len() + FIELD_OVERHEAD;
                size <= limit
            })
            .collect()
    }

    proptest! {
        #[test]
        fn entries_are_those_of_a_plain_list(
            lengths in prop::collection::vec(0_usize..1500, 0..200),
            limit in 0..=MOST_BYTES,
        ) {
            let (mut table, mut texts) = (DynamicTable::new(), Vec::new());
            table.set_limit(limit);
            for (number, length) in lengths.into_iter().enumerate() {
                let text = vec![number as u8; length];
                table.insert(&text, length / 2);
                texts.push(text);
                let expected = model(&texts, limit);
                let entries = table.entries();
                prop_assert_eq!(entries.len(), expected.len());
                for ((name, value), text) in entries.into_iter().zip(expected) {
                    prop_assert_eq!([name, value].concat(), text);
                    prop_assert_eq!(name.len(), text.len() / 2);
                }
                prop_assert!(table.size() <= limit && table.text.capacity() <= 2 * ROOM);
            }
        }
    }
}
