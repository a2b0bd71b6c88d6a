//! How an answer of the proxy itself is given, beside what it says.

use model::{ErrorPages, FieldChanges, PageText};

use super::field_section::FieldSection;
use super::request_id::RequestId;
use super::security;

/// What such an answer has from the request and its route.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner<'a> {
    /// What the request is called, at the edge.
    pub(crate) id: Option<&'a RequestId>,
    /// The answer has fields that make browsers careful, but for what the route changes of them.
    pub(crate) careful: Option<&'a FieldChanges>,
    /// What is shown in place of errors.
    pub(crate) pages: Option<&'a ErrorPages<PageText>>,
    /// Whether the client speaks TLS, to us or to a trusted hop.
    pub(crate) is_secure: bool,
}

impl Manner<'_> {
    /// The same without pages, for who cannot read them.
    pub(crate) fn without_pages(self) -> Self {
        Self {
            pages: None,
            ..self
        }
    }

    /// Adds the fields that follow from it.
    pub(crate) fn add_to(&self, fields: &mut FieldSection) {
        fields.set_id(self.id);
        if let Some(changes) = self.careful {
            for (name, value) in security::own(changes, self.is_secure) {
                fields.push(name.as_bytes(), value.as_bytes());
            }
        }
    }
}
