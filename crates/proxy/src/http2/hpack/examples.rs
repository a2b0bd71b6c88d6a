//! The examples of RFC 7541 appendix C: blocks, what they say, and what is in the table then.

use super::golden::bytes;
use super::{Decoder, Limits, Whole};
use crate::http::field_section::FieldSection;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A block in hexadecimal, its fields, the table behind it from the newest entry on, and its size.
type Example<'a> = (&'a str, Fields<'a>, Fields<'a>, usize);

fn check(decoder: &mut Decoder, (block, fields, table, size): Example<'_>) {
    let limits = Limits {
        bytes: 4096,
        fields: 100,
    };
    let mut section = FieldSection::default();
    let whole = decoder.decode(&bytes(block), &mut section, limits);
    assert_eq!(whole, Ok(Whole::Fits));
    let in_bytes = |fields: Fields<'_>| -> FieldSection {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect()
    };
    assert!(section == in_bytes(fields), "{block}");
    let entries: FieldSection = decoder.table().entries().into_iter().collect();
    assert!(entries == in_bytes(table), "{block}");
    assert_eq!(decoder.table().size(), size, "{block}");
}

#[test]
fn each_representation() {
    let custom: Fields<'_> = &[("custom-key", "custom-header")];
    for example in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            custom,
            custom,
            55,
        ),
        (
            "040c 2f73 616d 706c 652f 7061 7468",
            &[(":path", "/sample/path")],
            &[],
            0,
        ),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            &[("password", "secret")],
            &[],
            0,
        ),
        ("82", &[(":method", "GET")], &[], 0),
    ] {
        check(&mut Decoder::new(), example);
    }
}

const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

#[test]
fn requests() {
    let http = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let https = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
    ];
    let first = [&http[..], &[AUTHORITY]].concat();
    let second = [&http[..], &[AUTHORITY, NO_CACHE]].concat();
    let third = [&https[..], &[AUTHORITY, CUSTOM]].concat();
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new();
        check(&mut decoder, (blocks[0], &first, &[AUTHORITY], 57));
        let table = [NO_CACHE, AUTHORITY];
        check(&mut decoder, (blocks[1], &second, &table, 110));
        let table = [CUSTOM, NO_CACHE, AUTHORITY];
        check(&mut decoder, (blocks[2], &third, &table, 164));
    }
}

const PRIVATE: (&str, &str) = ("cache-control", "private");
const DATE: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const NEXT_DATE: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
const LOCATION: (&str, &str) = ("location", "https://www.example.com");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const COOKIE: (&str, &str) = (
    "set-cookie",
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
);

/// The table has 256 bytes here, so that entries are evicted.
#[test]
fn responses() {
    let first = [(":status", "302"), PRIVATE, DATE, LOCATION];
    let second = [(":status", "307"), PRIVATE, DATE, LOCATION];
    let third = [
        (":status", "200"),
        PRIVATE,
        NEXT_DATE,
        LOCATION,
        GZIP,
        COOKIE,
    ];
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 \
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 \
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d \
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 \
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e \
         3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 \
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab \
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f \
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::new();
        check(&mut decoder, ("3fe1 01", &[], &[], 0));
        let table = [LOCATION, DATE, PRIVATE, (":status", "302")];
        check(&mut decoder, (blocks[0], &first, &table, 222));
        let table = [(":status", "307"), LOCATION, DATE, PRIVATE];
        check(&mut decoder, (blocks[1], &second, &table, 222));
        let table = [COOKIE, GZIP, NEXT_DATE];
        check(&mut decoder, (blocks[2], &third, &table, 215));
    }
}
