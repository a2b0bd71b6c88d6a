//! A chunked body decodes alike however it is split, as a naive reader would, and survives being
//! encoded anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::http1::whole::{Decoded, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes, &[]);
    let each: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(decode(bytes, &each), whole, "byte by byte");
    for seed in 0..4 {
        let cuts = cuts(bytes, seed);
        assert_eq!(decode(bytes, &cuts), whole, "split at {cuts:?}");
    }
    let Ok(Some(decoded)) = whole else { return };
    assert_eq!(naive(bytes), Some(decoded.clone()));
    let encoded = encode(&decoded.content, &decoded.trailers);
    let again = decode(&encoded, &[]).unwrap().unwrap();
    assert_eq!(again.used, encoded.len());
    assert_eq!(
        (again.content, again.trailers),
        (decoded.content, decoded.trailers)
    );
});

/// Places to split `bytes` at, which follow from them: an input that fails fails again.
fn cuts(bytes: &[u8], seed: u64) -> Vec<usize> {
    let mut state = bytes.iter().fold(seed + 1, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let (mut cuts, mut at) = (Vec::new(), 0);
    loop {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        at += 1 + (state % (8 << (2 * seed))) as usize;
        if at >= bytes.len() {
            return cuts;
        }
        cuts.push(at);
    }
}

/// Decodes a whole body by splitting it at line ends.
fn naive(bytes: &[u8]) -> Option<Decoded> {
    let mut decoded = Decoded::default();
    let line = |from: usize| {
        let end = from + bytes[from..].windows(2).position(|two| two == b"\r\n")?;
        Some((&bytes[from..end], end + 2))
    };
    loop {
        let (size, after) = line(decoded.used)?;
        let size = std::str::from_utf8(size).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        decoded.used = after;
        if size == 0 {
            break;
        }
        decoded
            .content
            .extend_from_slice(bytes.get(after..after + size)?);
        assert_eq!(bytes.get(after + size..after + size + 2)?, b"\r\n");
        decoded.used = after + size + 2;
    }
    loop {
        let (trailer, after) = line(decoded.used)?;
        decoded.used = after;
        if trailer.is_empty() {
            return Some(decoded);
        }
        assert!(trailer.contains(&b':') && !b" \t".contains(&trailer[0]));
        decoded.trailers.extend_from_slice(trailer);
        decoded.trailers.extend_from_slice(b"\r\n");
    }
}
