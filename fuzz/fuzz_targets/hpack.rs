//! Whatever blocks a peer sends are decoded within their limits or refused, alike whether all of
//! it is kept or not, and what is decoded survives being encoded anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http::field_section::FieldSection;
use proxy::http2::hpack::{Decoder, Encoder, Limits, Whole};

/// More than fits in an input: an index is one byte and refers to at most 4 KiB.
const LARGE: Limits = Limits {
    bytes: usize::MAX,
    fields: usize::MAX,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((&[limit, fields], mut rest)) = bytes.split_first_chunk() else {
        return;
    };
    let small = Limits {
        bytes: usize::from(limit) * 16,
        fields: fields.into(),
    };
    let (mut decoder, mut limited) = (Decoder::new(), Decoder::new());
    let (mut encoder, mut again) = (Encoder::new(), Decoder::new());
    // Each block begins with its length.
    while let Some((&length, after)) = rest.split_first() {
        let (block, after) = after.split_at(after.len().min(length.into()));
        rest = after;
        let mut all = FieldSection::default();
        let whole = decoder.decode(block, &mut all, LARGE);
        let mut kept = FieldSection::default();
        let kept_whole = limited.decode(block, &mut kept, small);
        assert_eq!(whole.err(), kept_whole.err());
        let Ok(kept_whole) = kept_whole else { return };
        let fitting = fitting(&all, small);
        assert!(all.iter().take(fitting).eq(kept.iter()));
        assert_eq!(kept_whole == Whole::Fits, fitting == all.len());

        let mut encoded = Vec::new();
        encoder.begin(&mut encoded);
        for field in all.lines() {
            encoder.field(&mut encoded, field);
        }
        let mut decoded = FieldSection::default();
        let whole = again.decode(&encoded, &mut decoded, LARGE);
        assert_eq!(whole, Ok(Whole::Fits));
        assert!(decoded == all);
    }
});

/// How many of the first fields are within limits.
fn fitting(section: &FieldSection, limits: Limits) -> usize {
    let mut bytes = 0;
    let within = section
        .iter()
        .take(limits.fields)
        .take_while(|(name, value)| {
            bytes += name.len() + value.len() + 32;
            bytes <= limits.bytes
        });
    within.count()
}
