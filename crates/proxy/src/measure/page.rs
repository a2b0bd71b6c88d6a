//! A page of measurements as it is written, in the form that its reader wants.

use super::binary::BinaryPage;
use super::histogram::Histogram;
use super::sample::{Kind, Labels, Number};
use super::text::TextPage;

/// The forms that a page can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The text format of Prometheus.
    Text,
    /// That in Protocol Buffers, which has native histograms.
    Binary,
}

/// What is written so far.
#[derive(Debug)]
pub(super) enum Page {
    Text(TextPage),
    Binary(BinaryPage),
}

impl Page {
    pub(super) fn new(form: Form) -> Self {
        match form {
            Form::Text => Self::Text(TextPage::new()),
            Form::Binary => Self::Binary(BinaryPage::new()),
        }
    }

    /// Begins a family of samples.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        match self {
            Self::Text(page) => page.family(name, kind, help),
            Self::Binary(page) => page.family(name, kind, help),
        }
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: impl Into<Number>) {
        let value = value.into();
        match self {
            Self::Text(page) => page.sample(labels, value),
            Self::Binary(page) => page.sample(labels, value),
        }
    }

    /// A histogram of the family; nothing where no time was counted.
    pub(super) fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        match self {
            _ if histogram.count() == 0 => {}
            Self::Text(page) => page.histogram(labels, histogram),
            Self::Binary(page) => page.histogram(labels, histogram),
        }
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Into<Number>) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// All of it.
    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Text(page) => page.finish(),
            Self::Binary(page) => page.finish(),
        }
    }
}
