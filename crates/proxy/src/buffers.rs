//! Buffers that a worker's connections share: taken when bytes arrive, returned when they are
//! gone, so that an idle connection holds none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::limits::{BUFFER_BYTES, HEAD_BUFFER_BYTES, LARGE_BUFFER_BYTES, SPARE_BUFFERS};

/// Bytes that have been read and not yet used, within storage of a fixed size.
#[derive(Debug)]
pub(crate) struct Buffer {
    storage: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            storage: vec![0; size].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// What has been read and not yet used.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start == self.storage.len()
    }

    /// Marks the first `count` bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Drops everything in it.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// All free room; what is in the buffer is moved to its beginning when its end is reached.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        if self.end == self.storage.len() && self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.storage[self.end..]
    }

    /// How much could be appended.
    pub(crate) fn room(&self) -> usize {
        self.storage.len() - (self.end - self.start)
    }

    /// Marks `count` bytes of the free room as read.
    pub(crate) fn filled(&mut self, count: usize) {
        debug_assert!(count <= self.storage.len() - self.end);
        self.end += count;
    }

    /// Appends `bytes`, growing where they do not fit. Who appends knows a bound.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.append_parts([bytes]);
    }

    /// Appends parts one after another, as [`Buffer::append`] does.
    #[inline]
    pub(crate) fn append_parts<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let length = parts.iter().map(|part| part.len()).sum();
        if length > self.storage.len() - self.end {
            self.make_room(length);
        }
        let mut free = &mut self.storage[self.end..self.end + length];
        for part in parts {
            let (place, rest) = free.split_at_mut(part.len());
            place.copy_from_slice(part);
            free = rest;
        }
        self.end += length;
    }

    /// Makes room for `length` bytes behind what is there.
    fn make_room(&mut self, length: usize) {
        if length > self.room() {
            self.grow(self.bytes().len() + length);
        }
        if length > self.storage.len() - self.end {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Makes the whole storage at least `size` bytes.
    pub(crate) fn grow(&mut self, size: usize) {
        if size <= self.storage.len() {
            return;
        }
        let mut storage = vec![0; size.next_multiple_of(BUFFER_BYTES)].into_boxed_slice();
        let length = self.end - self.start;
        storage[..length].copy_from_slice(self.bytes());
        (self.storage, self.start, self.end) = (storage, 0, length);
    }
}

/// A worker's free buffers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// By size, as [`Buffers::SIZES`].
    spare: [RefCell<Vec<Buffer>>; 3],
}

impl Buffers {
    const SIZES: [usize; 3] = [HEAD_BUFFER_BYTES, BUFFER_BYTES, LARGE_BUFFER_BYTES];

    /// An empty buffer of [`HEAD_BUFFER_BYTES`].
    pub(crate) fn take_small(self: &Rc<Self>) -> Pooled {
        self.take_size(0)
    }

    /// An empty buffer of [`BUFFER_BYTES`].
    pub(crate) fn take(self: &Rc<Self>) -> Pooled {
        self.take_size(1)
    }

    /// An empty buffer of [`LARGE_BUFFER_BYTES`].
    pub(crate) fn take_large(self: &Rc<Self>) -> Pooled {
        self.take_size(2)
    }

    fn take_size(self: &Rc<Self>, size: usize) -> Pooled {
        let spare = self.spare[size].borrow_mut().pop();
        let buffer = spare.unwrap_or_else(|| Buffer::new(Self::SIZES[size]));
        Pooled {
            buffer: Some(buffer),
            pool: self.clone(),
        }
    }

    /// Keeps a buffer for its next use; one that has grown beyond the sizes kept is freed.
    fn give_back(&self, mut buffer: Buffer) {
        let length = buffer.storage.len();
        let Some(size) = Self::SIZES.iter().position(|&size| size == length) else {
            return;
        };
        let mut spare = self.spare[size].borrow_mut();
        if spare.len() < SPARE_BUFFERS {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// A buffer that returns to its worker when dropped.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// Present until dropped.
    buffer: Option<Buffer>,
    pool: Rc<Buffers>,
}

impl Pooled {
    /// Continues in a large buffer, with what is in this one.
    pub(crate) fn enlarge(&mut self) {
        if self.storage.len() < LARGE_BUFFER_BYTES {
            let mut large = self.pool.take_large();
            large.append(self.bytes());
            *self = large;
        }
    }
}

impl Deref for Pooled {
    type Target = Buffer;
    fn deref(&self) -> &Buffer {
        self.buffer.as_ref().expect("present until dropped")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Buffer {
        self.buffer.as_mut().expect("present until dropped")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.give_back(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_whatever_the_position() {
        let mut buffer = Buffer::new(8);
        buffer.append(b"abcdefgh");
        assert!(buffer.is_full());
        buffer.consume(5);
        buffer.append(b"12345");
        assert_eq!(buffer.bytes(), b"fgh12345");
        buffer.append(b"more");
        assert_eq!(buffer.bytes(), b"fgh12345more");
    }

    #[test]
    fn a_grown_buffer_is_not_kept() {
        let pool = Rc::new(Buffers::default());
        let mut grown = pool.take();
        grown.grow(BUFFER_BYTES + 1);
        drop((grown, pool.take()));
        assert_eq!(pool.spare[1].borrow().len(), 1);
    }

    #[test]
    fn enlarging_keeps_the_bytes() {
        let pool = Rc::new(Buffers::default());
        let mut buffer = pool.take();
        buffer.append(b"kept");
        buffer.enlarge();
        assert_eq!(
            (buffer.bytes(), buffer.room()),
            (&b"kept"[..], LARGE_BUFFER_BYTES - 4)
        );
    }
}
