//! Which codings of content a client takes (RFC 9110 section 12.5.3).

use super::accept::thousandths;
use super::fields::elements;

/// A coding that content can be stored or sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

impl Coding {
    /// All, those that make content smallest first.
    const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What is at the end of the name of a file that has it.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_called(self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name().as_bytes())
            || self == Self::Gzip && name.eq_ignore_ascii_case(b"x-gzip")
    }
}

/// The codings that a client takes, what it likes best first, and of what it likes alike what makes
/// content smallest. `values` are those of `Accept-Encoding`: without any, none is taken, since who
/// says nothing is mostly too simple for them.
pub(crate) fn accepted<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Coding> {
    let (mut named, mut others, mut as_it_is) = ([None; 3], 0, None);
    for element in values.flat_map(elements) {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")))
            .map_or(1000, thousandths);
        if name == b"*" {
            others = weight;
        } else if name.eq_ignore_ascii_case(b"identity") {
            as_it_is = Some(weight);
        }
        for (coding, place) in Coding::ALL.iter().zip(&mut named) {
            if coding.is_called(name) {
                place.get_or_insert(weight);
            }
        }
    }
    let weights = named.map(|weight| weight.unwrap_or(others));
    let mut taken: Vec<_> = weights
        .into_iter()
        .zip(Coding::ALL)
        // Who would rather have it as it is gets it so.
        .filter(|(weight, _)| *weight > 0 && as_it_is.is_none_or(|least| *weight >= least))
        .collect();
    taken.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    taken.into_iter().map(|(_, coding)| coding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};
    use proptest::prelude::*;

    fn read(value: &str) -> Vec<Coding> {
        accepted(std::iter::once(value.as_bytes()))
    }

    #[test]
    fn codings_are_taken_by_weight_and_then_by_size() {
        for (value, expected) in [
            ("", &[][..]),
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli]),
            ("br;q=0, *", &[Zstd, Gzip]),
            ("*", &[Brotli, Zstd, Gzip]),
            ("*;q=0", &[]),
            ("X-GZIP ; Q=0.1", &[Gzip]),
            ("identity", &[]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip", &[Gzip]),
            ("identity;q=0, gzip;q=0.001", &[Gzip]),
            ("gzip;q=x", &[]),
            ("gzip;q=0, gzip", &[]),
        ] {
            assert_eq!(read(value), expected, "{value:?}");
        }
        let lines = [&b"gzip"[..], b"br"];
        assert_eq!(accepted(lines.into_iter()), [Brotli, Gzip]);
        assert_eq!(accepted(std::iter::empty()), []);
    }

    proptest! {
        #[test]
        fn what_is_refused_is_not_taken(weights in prop::array::uniform3(0..=1000_u32), star in 0..=1000_u32) {
            let text = |weight: u32| format!("{}.{:03}", weight / 1000, weight % 1000);
            let named = Coding::ALL.iter().zip(weights);
            let mut parts: Vec<_> = named
                .map(|(coding, weight)| format!("{};q={}", coding.name(), text(weight)))
                .collect();
            parts.push(format!("*;q={}", text(star)));
            let taken = read(&parts.join(","));
            let weight = |coding: &Coding| weights[Coding::ALL.iter().position(|c| c == coding).unwrap()];
            prop_assert!(taken.iter().all(|coding| weight(coding) > 0));
            prop_assert_eq!(taken.len(), weights.iter().filter(|weight| **weight > 0).count());
            prop_assert!(taken.is_sorted_by(|one, other| weight(one) >= weight(other)));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = accepted(std::iter::once(&bytes[..]));
        }
    }
}
