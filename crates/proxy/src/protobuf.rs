//! Writing messages of Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>): the
//! few kinds of fields that OTLP and Prometheus need. Fields with their type's default are left out,
//! as proto3 wants it.

/// Writes a message behind its length, as where several follow each other.
pub(crate) fn delimited(out: &mut Vec<u8>, message: &[u8]) {
    Message(out).varint(message.len() as u64);
    out.extend_from_slice(message);
}

/// A message that is being written at the end of some bytes.
pub(crate) struct Message<'a>(&'a mut Vec<u8>);

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

impl<'a> Message<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    /// A number.
    pub(crate) fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.tag(field, VARINT);
            self.varint(number);
        }
    }

    /// A number that is one of several things that may be there, so that zero is written too.
    pub(crate) fn some_number(&mut self, field: u32, number: u64) {
        self.tag(field, VARINT);
        self.varint(number);
    }

    /// A number that may be negative, `sint32` or `sint64`; zero is written too.
    pub(crate) fn signed(&mut self, field: u32, number: i64) {
        self.some_number(field, ((number << 1) ^ (number >> 63)) as u64);
    }

    /// A `double`; zero is written too.
    pub(crate) fn double(&mut self, field: u32, number: f64) {
        self.fixed_64(field, number.to_bits());
    }

    /// A number of eight bytes.
    pub(crate) fn fixed_64(&mut self, field: u32, number: u64) {
        self.tag(field, FIXED_64);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// A number of four bytes.
    pub(crate) fn fixed_32(&mut self, field: u32, number: u32) {
        self.tag(field, FIXED_32);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// Bytes, or text in UTF-8.
    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Fields that were written before.
    pub(crate) fn fields(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message<'_>)) {
        self.tag(field, DELIMITED);
        let start = self.0.len();
        write(&mut Message(self.0));
        // Its length goes in front of it, and is known only now.
        let length = self.0.len() - start;
        self.varint(length as u64);
        self.0[start..].rotate_left(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_documentation_has_them() {
        let mut out = Vec::new();
        let mut message = Message::new(&mut out);
        message.number(1, 150);
        message.number(1, 0);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.number(1, 150));
        message.fixed_32(4, 1);
        message.fixed_64(5, 2);
        message.some_number(6, 0);
        for number in [0, -1, 1, -2, i64::MIN] {
            message.signed(7, number);
        }
        message.double(8, 1.0);
        let expected = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x07],
            b"testing",
            &[0x1a, 0x03, 0x08, 0x96, 0x01],
            &[0x25, 1, 0, 0, 0],
            &[0x29, 2, 0, 0, 0, 0, 0, 0, 0],
            &[0x30, 0],
            &[0x38, 0, 0x38, 1, 0x38, 2, 0x38, 3],
            &[0x38, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x41, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn the_length_of_a_long_message_has_several_bytes() {
        let mut out = Vec::new();
        Message::new(&mut out).message(1, |inner| inner.bytes(1, &[7; 300]));
        assert_eq!(out[..6], [0x0a, 0xaf, 0x02, 0x0a, 0xac, 0x02]);
        assert_eq!((out.len(), out.last()), (306, Some(&7)));
    }
}
