//! Where decoded fields go: into a section, up to limits.

use std::convert::Infallible;

use super::{DecodeError, Entry, FIELD_OVERHEAD};
use crate::http::field_section::FieldSection;

/// How much of a block is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of names and values, and 32 for each field: SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113
    /// section 6.5.2).
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

/// Whether a section has all fields of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// It has.
    Fits,
    /// They exceed a limit: it has those before the first that did.
    TooLarge,
}

/// A section that fields are appended to until a limit is reached, and what is left of the limits.
pub(super) struct BoundedSection<'a> {
    into: &'a mut FieldSection,
    left: Limits,
    whole: Whole,
    /// Where fields are written to that are not kept.
    dropped: Vec<u8>,
}

/// Why a field is not in the section.
enum Stop {
    TooLarge,
    Failed(DecodeError),
}

impl<'a> BoundedSection<'a> {
    pub(super) fn new(into: &'a mut FieldSection, limits: Limits) -> Self {
        Self {
            into,
            left: limits,
            whole: Whole::Fits,
            dropped: Vec::new(),
        }
    }

    /// Appends a field of a table. One that is dropped costs nothing: a byte can refer to thousands.
    #[inline]
    pub(super) fn append_entry(&mut self, entry: Entry<'_>) {
        if self.whole == Whole::TooLarge || self.left.take(entry.text.len()).is_err() {
            self.whole = Whole::TooLarge;
            return;
        }
        let Ok(()) = self.into.push_with(|text| {
            text.extend_from_slice(entry.text);
            Ok::<_, Infallible>(entry.name)
        });
    }

    /// Appends a field as [`FieldSection::push_with`] does. `write` is called in any case, for what
    /// it does beside that, and what it wrote is dropped if it exceeds a limit.
    #[inline]
    pub(super) fn append(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<usize, DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.whole == Whole::TooLarge {
            self.dropped.clear();
            return write(&mut self.dropped).map(|_| ());
        }
        let left = &mut self.left;
        let appended = self.into.push_with(|text| {
            let start = text.len();
            let name = write(text).map_err(Stop::Failed)?;
            left.take(text.len() - start)?;
            Ok(name)
        });
        match appended {
            Ok(()) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::TooLarge) => {
                self.whole = Whole::TooLarge;
                Ok(())
            }
        }
    }

    /// Notes that the field that was appended last is to enter no table on its way.
    pub(super) fn never_index_last(&mut self) {
        if self.whole == Whole::Fits {
            self.into.never_index_last();
        }
    }

    pub(super) fn whole(&self) -> Whole {
        self.whole
    }
}

impl Limits {
    /// Takes away a field of so many bytes.
    fn take(&mut self, bytes: usize) -> Result<(), Stop> {
        let bytes = self.bytes.checked_sub(bytes + FIELD_OVERHEAD);
        let (Some(bytes), Some(fields)) = (bytes, self.fields.checked_sub(1)) else {
            return Err(Stop::TooLarge);
        };
        *self = Self { bytes, fields };
        Ok(())
    }
}
