//! W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context/>): which trace a request is
//! part of, and who has sent it.

/// The field that says it.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The field that says what else vendors of tracing want to be known.
pub(crate) const TRACESTATE: &str = "tracestate";

/// The length of `traceparent` in version 00.
const LENGTH: usize = 55;

/// The value of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; not all zeros.
    pub trace: [u8; 16],
    /// The span of whoever sends the request; not all zeros.
    pub span: [u8; 8],
    /// Spans of this trace may be recorded.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads a value; none where it breaks a rule. Of a later version that is read which it has in
    /// common with version 00 (section 4.3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let [version, trace, span, flags] = parts(known)?;
        match hex::<1>(version)? {
            [0xff] => return None,
            [0] if !rest.is_empty() => return None,
            // What else a later version says begins with another dash.
            _ if !matches!(rest.first(), None | Some(b'-')) => return None,
            _ => {}
        }
        let (trace, span, [flags]) = (hex(trace)?, hex(span)?, hex::<1>(flags)?);
        (trace != [0; 16] && span != [0; 8]).then_some(Self {
            trace,
            span,
            is_sampled: flags & 1 == 1,
        })
    }

    /// The value in version 00.
    pub fn text(&self) -> TraceParentText {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], &self.trace);
        write_hex(&mut text[36..52], &self.span);
        text[54] = b'0' + u8::from(self.is_sampled);
        text
    }
}

/// A value of `traceparent` in version 00.
pub type TraceParentText = [u8; LENGTH];

/// The four parts of version 00, which have dashes between them.
fn parts(value: &[u8]) -> Option<[&[u8]; 4]> {
    let has_dashes = [2, 35, 52].iter().all(|&at| value[at] == b'-');
    has_dashes.then(|| [&value[..2], &value[3..35], &value[36..52], &value[53..]])
}

/// Bytes from digits, of which those above 9 must be small letters.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

/// Writes two digits for each of `bytes`.
pub(crate) fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of section 3.2.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_recommendation_is_read() {
        let read = TraceParent::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((read.trace[0], read.trace[15]), (0x0a, 0x9c));
        assert_eq!((read.span[0], read.span[7]), (0xb7, 0x31));
        assert!(read.is_sampled);
        assert_eq!(read.text(), EXAMPLE.as_bytes());
    }

    #[test]
    fn what_breaks_a_rule_is_none() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let no_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        let cases = [
            "".to_owned(),
            EXAMPLE[..54].to_owned(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replace('-', "_"),
            format!("{EXAMPLE}-"),
            format!("{EXAMPLE}0"),
            format!(" {EXAMPLE}"),
            EXAMPLE.replacen("00", "ff", 1),
            EXAMPLE.replacen("00", "0x", 1),
            EXAMPLE.replacen("00", "01", 1) + "0",
            EXAMPLE.replace("-01", "-0g"),
            zeros.to_owned(),
            no_span.to_owned(),
        ];
        for text in cases {
            assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn of_a_later_version_the_known_part_is_read() {
        let known = TraceParent::parse(EXAMPLE.as_bytes());
        for end in ["", "-", "-what-the-future-will-be-like"] {
            let later = EXAMPLE.replacen("00", "cc", 1) + end;
            assert_eq!(TraceParent::parse(later.as_bytes()), known, "{later}");
        }
        let flags = EXAMPLE.replace("-01", "-fe");
        assert!(!TraceParent::parse(flags.as_bytes()).unwrap().is_sampled);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            trace in any::<[u8; 16]>(),
            span in any::<[u8; 8]>(),
            is_sampled in any::<bool>(),
        ) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let parent = TraceParent { trace, span, is_sampled };
            prop_assert_eq!(TraceParent::parse(&parent.text()), Some(parent));
        }

        #[test]
        fn a_value_with_one_byte_changed_is_read_as_it_is_or_not_at_all(
            at in 0..LENGTH,
            byte in any::<u8>(),
        ) {
            let mut value = EXAMPLE.as_bytes().to_vec();
            value[at] = byte;
            let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let is_dash = [2, 35, 52].contains(&at);
            let fits = if is_dash { byte == b'-' } else { is_digit };
            let read = TraceParent::parse(&value);
            prop_assert_eq!(read.is_some(), fits, "{}", String::from_utf8_lossy(&value));
            if let Some(read) = read.filter(|_| (3..52).contains(&at)) {
                prop_assert_eq!(&read.text()[..], &value[..]);
            }
        }

        #[test]
        fn any_bytes_are_a_context_or_none(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parent) = TraceParent::parse(&value) {
                prop_assert_eq!(TraceParent::parse(&parent.text()), Some(parent));
            }
        }
    }
}
