//! What holds for any blocks.

use proptest::prelude::*;

use super::reference::{self, Choice};
use super::{DecodeError, Decoder, Encoder, Limits, Whole};
use crate::http::field_section::FieldSection;

const LARGE: Limits = Limits {
    bytes: 1 << 20,
    fields: 1 << 10,
};

type Field = (Vec<u8>, Vec<u8>);

/// Fields of which some are of the static table, some come again, and some are anything.
fn field() -> impl Strategy<Value = Field> {
    let known = (
        prop::sample::select(&[":method", ":status", ":path", "cookie", "via", "x-a", "x-b"][..]),
        prop::sample::select(&["GET", "200", "/", "", "a=b; c=d", "1"][..]),
    );
    let known = known.prop_map(|(name, value)| (name.into(), value.into()));
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        4 => known,
        2 => ("[a-z-]{1,20}", "[ -~]{0,80}").prop_map(|(name, value)| (name.into(), value.into())),
        1 => (bytes(40), bytes(200)),
        1 => (bytes(300), bytes(5000)),
    ]
}

fn choice() -> impl Strategy<Value = Choice> {
    any::<[bool; 5]>().prop_map(|[indexed, name_indexed, indexing, never, huffman]| Choice {
        indexed,
        name_indexed,
        indexing,
        never,
        huffman,
    })
}

fn section(fields: &[Field]) -> FieldSection {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (&name[..], &value[..]))
        .collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<FieldSection, DecodeError> {
    let mut section = FieldSection::default();
    let whole = decoder.decode(block, &mut section, LARGE)?;
    assert_eq!(whole, Whole::Fits);
    Ok(section)
}

/// The tables of both sides are the same.
fn assert_in_step(decoder: &Decoder, reference: &reference::Encoder) {
    let expected: Vec<(&[u8], &[u8])> = reference
        .table
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    assert_eq!(decoder.table().entries(), expected);
    assert_eq!(decoder.table().size(), reference.size());
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        blocks in prop::collection::vec(prop::collection::vec(field(), 0..12), 1..4),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for fields in blocks {
            let mut block = Vec::new();
            encoder.begin(&mut block);
            for (name, value) in &fields {
                encoder.field(&mut block, (&name[..], &value[..]).into());
            }
            prop_assert_eq!(decode(&mut decoder, &block), Ok(section(&fields)));
            prop_assert_eq!(decoder.table().size(), 0);
        }
    }

    #[test]
    fn a_peer_may_encode_as_it_likes(
        blocks in prop::collection::vec(
            (
                prop::collection::vec(0_usize..=4096, 0..=2),
                prop::collection::vec((field(), choice()), 0..12),
            ),
            1..10,
        ),
        limits in (0_usize..3000, 0_usize..14),
    ) {
        let (mut encoder, mut decoder) = (reference::Encoder::new(), Decoder::new());
        let mut limited = Decoder::new();
        let limits = Limits { bytes: limits.0, fields: limits.1 };
        for (sizes, fields) in blocks {
            let mut block = Vec::new();
            for size in sizes {
                encoder.set_limit(&mut block, size);
            }
            for ((name, value), how) in &fields {
                encoder.field(&mut block, name, value, *how);
            }
            let fields: Vec<_> = fields.into_iter().map(|(field, _)| field).collect();
            prop_assert_eq!(decode(&mut decoder, &block), Ok(section(&fields)));
            assert_in_step(&decoder, &encoder);
            // The same with limits has as many of the first fields as they allow.
            let mut kept = FieldSection::default();
            let whole = limited.decode(&block, &mut kept, limits).unwrap();
            let allowed = allowed(&fields, limits);
            prop_assert_eq!(kept, section(&fields[..allowed]));
            prop_assert_eq!(whole == Whole::Fits, allowed == fields.len());
            assert_in_step(&limited, &encoder);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
        bytes in 0_usize..1000,
    ) {
        let mut decoder = Decoder::new();
        let limits = Limits { bytes, fields: 8 };
        for block in blocks {
            let mut section = FieldSection::default();
            let _ = decoder.decode(&block, &mut section, limits);
            let size: usize = section.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
            prop_assert!(size <= bytes && section.len() <= 8);
            prop_assert!(decoder.table().size() <= 4096);
        }
    }

    #[test]
    fn a_block_that_is_cut_or_changed_is_decoded_or_refused(
        fields in prop::collection::vec((field(), choice()), 1..12),
        place in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let (mut encoder, mut block) = (reference::Encoder::new(), Vec::new());
        for ((name, value), how) in &fields {
            encoder.field(&mut block, name, value, *how);
        }
        let place = place.index(block.len());
        let _ = decode(&mut Decoder::new(), &block[..place]);
        block[place] ^= change;
        let mut decoder = Decoder::new();
        let _ = decoder.decode(&block, &mut FieldSection::default(), LARGE);
        prop_assert!(decoder.table().size() <= 4096);
    }
}

/// How many of the first fields are within limits.
fn allowed(fields: &[Field], limits: Limits) -> usize {
    let mut bytes = 0;
    let within = fields
        .iter()
        .take(limits.fields)
        .take_while(|(name, value)| {
            bytes += name.len() + value.len() + 32;
            bytes <= limits.bytes
        });
    within.count()
}
