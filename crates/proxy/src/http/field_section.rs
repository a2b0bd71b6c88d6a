//! A list of fields between two codecs: a head's or a trailer section's, in order.
//!
//! Names and values lie one after another in one piece of memory, so that a head takes two
//! allocations however many fields it has. Heads are short: to look a name up by comparing all of
//! them costs less than to hash them would.

use std::fmt;

use model::FieldChanges;

use super::request_id::{REQUEST_ID, RequestId};
use super::security;

/// Fields in the order in which they came. Names are in lower case.
#[derive(Clone, Default)]
pub struct FieldSection {
    text: Vec<u8>,
    fields: Vec<Field>,
}

/// Where a field is: its name begins at `start`, its value behind that.
#[derive(Debug, Clone, Copy)]
struct Field {
    start: u32,
    name: u32,
    value: u32,
    never_indexed: bool,
}

/// A field as a codec of HTTP/2 passes it on.
#[derive(Debug, Clone, Copy)]
pub struct FieldLine<'a> {
    /// In lower case.
    pub name: &'a [u8],
    /// What it says.
    pub value: &'a [u8],
    /// Whoever sent it asks that nobody puts it into a table (RFC 7541 section 6.2.3).
    pub never_indexed: bool,
}

impl<'a> From<(&'a [u8], &'a [u8])> for FieldLine<'a> {
    fn from((name, value): (&'a [u8], &'a [u8])) -> Self {
        Self {
            name,
            value,
            never_indexed: false,
        }
    }
}

impl FieldSection {
    /// An empty section with room for `bytes` of names and values and for `fields`.
    pub fn with_capacity(bytes: usize, fields: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
            fields: Vec::with_capacity(fields),
        }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Appends a field, whose name is in lower case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let appended = self.push_with(|text| {
            text.extend_from_slice(name);
            text.extend_from_slice(value);
            Ok::<_, std::convert::Infallible>(name.len())
        });
        match appended {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Appends a field, whose name is put into lower case.
    pub fn push_lower(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.push(name, value);
        self.text[start..start + name.len()].make_ascii_lowercase();
    }

    /// Appends a field that `write` puts at the end of the text it is given, name first, whose
    /// length it returns.
    ///
    /// # Errors
    /// Those of `write`; the section is as it was then.
    pub fn push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let start = self.text.len();
        match write(&mut self.text) {
            Ok(name) => {
                let value = self.text.len() - start - name;
                // Heads are bounded far below what fits.
                self.fields.push(Field {
                    start: start as u32,
                    name: name as u32,
                    value: value as u32,
                    never_indexed: false,
                });
                Ok(())
            }
            Err(error) => {
                self.text.truncate(start);
                Err(error)
            }
        }
    }

    /// Notes that the last field is to enter no table on its way.
    pub fn never_index_last(&mut self) {
        if let Some(last) = self.fields.last_mut() {
            last.never_indexed = true;
        }
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let mut fields = self.iter();
        fields
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// The values of all fields of this name, in order.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(other, _)| *other == name)
            .map(|(_, value)| value)
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// All fields in order, by name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| self.read(field))
    }

    /// The same for a codec of HTTP/2.
    pub fn lines(&self) -> impl Iterator<Item = FieldLine<'_>> {
        self.fields.iter().map(|field| FieldLine {
            never_indexed: field.never_indexed,
            ..self.read(field).into()
        })
    }

    /// Removes all fields of this name; whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.len();
        self.retain(|other, _| other != name);
        self.len() < before
    }

    /// Keeps the fields of which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let text = &self.text;
        self.fields.retain(|field| {
            let (name, value) = field.read(text);
            keep(name, value)
        });
    }

    /// Removes the first `count` fields.
    pub fn skip(&mut self, count: usize) {
        self.fields.drain(..count.min(self.fields.len()));
    }

    /// Has one field of this name, of this value, in place of all that there are.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.push(name, value);
    }

    /// Says what the request is called, where it is called something.
    pub(crate) fn set_id(&mut self, id: Option<&RequestId>) {
        if let Some(id) = id {
            self.set(REQUEST_ID, id.as_bytes());
        }
    }

    /// Adds what makes browsers careful, beside what a route changes.
    pub(crate) fn secure(&mut self, changes: &FieldChanges, is_secure: bool) {
        let missing = {
            let has = |name: &str| self.contains(name.as_bytes());
            security::missing(changes, is_secure, has).collect::<Vec<_>>()
        };
        for (name, value) in missing {
            self.push(name.as_bytes(), value.as_bytes());
        }
    }

    /// Makes the changes of a route.
    pub(crate) fn change(&mut self, changes: &FieldChanges) {
        if changes.is_empty() {
            return;
        }
        self.retain(|name, _| !changes.drops(name));
        for (name, value) in changes.added() {
            self.push(name.as_bytes(), value.as_bytes());
        }
    }

    fn read(&self, field: &Field) -> (&[u8], &[u8]) {
        field.read(&self.text)
    }
}

impl Field {
    fn read<'a>(&self, text: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let value = (self.start + self.name) as usize;
        (
            &text[self.start as usize..value],
            &text[value..value + self.value as usize],
        )
    }
}

/// Two sections are equal if they have the same fields in the same order.
impl PartialEq for FieldSection {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FieldSection {}

/// Names only: values may be secret.
impl fmt::Debug for FieldSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(name, _)| String::from_utf8_lossy(name));
        f.debug_list().entries(names).finish()
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for FieldSection {
    fn from_iter<T: IntoIterator<Item = (&'a [u8], &'a [u8])>>(fields: T) -> Self {
        let mut section = Self::default();
        for (name, value) in fields {
            section.push(name, value);
        }
        section
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> FieldSection {
        let fields: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b""), (b"a", b"2")];
        fields.into_iter().collect()
    }

    #[test]
    fn fields_are_found_by_name_and_keep_their_order() {
        let mut section = section();
        assert_eq!(section.get(b"a"), Some(&b"1"[..]));
        assert_eq!(section.all(b"a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(
            (section.get(b"b"), section.get(b"c")),
            (Some(&b""[..]), None)
        );
        section.set(b"a", b"3");
        let all: Vec<_> = section.iter().collect();
        assert_eq!(all, [(&b"b"[..], &b""[..]), (b"a", b"3")]);
        assert!(section.remove(b"b") && !section.remove(b"b"));
        assert_eq!(section.len(), 1);
    }

    #[test]
    fn a_field_that_cannot_be_written_leaves_nothing() {
        let mut section = section();
        let failed = section.push_with(|text| {
            text.extend_from_slice(b"half");
            Err::<usize, _>("no")
        });
        assert_eq!(failed, Err("no"));
        section.push(b"c", b"3");
        assert_eq!(section.len(), 4);
        assert_eq!(section.get(b"c"), Some(&b"3"[..]));
    }

    #[test]
    fn what_is_printed_has_no_values() {
        assert_eq!(format!("{:?}", section()), r#"["a", "b", "a"]"#);
    }
}
