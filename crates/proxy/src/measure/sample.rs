//! What a page for Prometheus is made of, whichever form it has.

/// What kind of numbers a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// They only grow.
    Counter,
    /// They come and go.
    Gauge,
    /// Times, with the buckets that any reader knows and, where the form has them, native ones.
    Histogram,
    /// Times, with native buckets alone: in text there are but their sum and how many there are.
    NativeHistogram,
}

/// Names and values that tell samples of a family apart.
pub(super) type Labels<'a> = [(&'a str, &'a str)];

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl Number {
    /// Itself, or what is nearest to it.
    pub(super) fn as_real(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

/// Where the buckets end that any reader knows, in seconds: each bound with how often half a
/// millisecond is doubled for it. The last is 65.536 s.
pub(super) fn bounds() -> impl Iterator<Item = (f64, u32)> {
    // Half a millisecond is the 2,000th part of a second.
    (0..=17).map(|doublings| ((1_u64 << doublings) as f64 / 2000.0, doublings))
}
