//! How often a request may be passed on (RFC 9110 section 7.6.2). It counts for TRACE and OPTIONS,
//! with which somebody looks at what stands in between; for other methods it may be ignored, and is.

/// The field, in lower case.
pub(crate) const MAX_FORWARDS: &[u8] = b"max-forwards";

/// What all fields of that name say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    number: Option<u32>,
    /// There is none that can be read, or more than one.
    is_unclear: bool,
}

impl Said {
    /// Notes one of them.
    pub(crate) fn note(&mut self, value: &[u8]) {
        let number = read(value);
        self.is_unclear |= number.is_none() || self.number.is_some();
        self.number = number;
    }

    /// How often a request with this method may be passed on, us included; none where that does not
    /// count or is not said.
    pub(crate) fn counts_for(self, method: &str) -> Option<u32> {
        let counts = !self.is_unclear && matches!(method, "TRACE" | "OPTIONS");
        self.number.filter(|_| counts)
    }
}

/// A number of any length: more than can be counted is as many as can be.
fn read(value: &[u8]) -> Option<u32> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(value).ok().filter(|_| is_number)?;
    Some(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_counts_and_only_for_two_methods() {
        let said = |values: &[&str], method| {
            let mut said = Said::default();
            values.iter().for_each(|value| said.note(value.as_bytes()));
            said.counts_for(method)
        };
        for (values, expected) in [
            (&["5"][..], Some(5)),
            (&["0"], Some(0)),
            (&["007"], Some(7)),
            (&["99999999999999999999"], Some(u32::MAX)),
            (&["+5"], None),
            (&["-1"], None),
            (&["5, 5"], None),
            (&["5", "5"], None),
            (&["", "5"], None),
            (&[], None),
        ] {
            for (method, expected) in [("TRACE", expected), ("OPTIONS", expected), ("GET", None)] {
                assert_eq!(said(values, method), expected, "{values:?} {method}");
            }
        }
    }
}
