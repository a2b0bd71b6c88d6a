//! What a server is sent of a release is read alike however it is split, and a list of its files is
//! within its folder or refused.
#![no_main]

use artifacts::transfer::{Piece, Receiver, TransferError};
use artifacts::{Manifest, Packed};
use libfuzzer_sys::fuzz_target;
use model::Digest;

fuzz_target!(|bytes: &[u8]| {
    let whole = received(bytes, bytes.len().max(1));
    for step in [1, 2, 7, 64] {
        assert_eq!(received(bytes, step), whole, "{step} bytes at a time");
    }
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else {
        return;
    };
    for path in manifest.entries().keys() {
        let path = path.as_str();
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for above in above {
            let above = manifest.entries().get(above);
            assert!(matches!(above, None | Some(Packed::Folder)), "{path}");
        }
    }
    let again: Manifest = serde_json::from_slice(&manifest.encode()).unwrap();
    assert_eq!(again.digest(), manifest.digest());
});

/// Each content that is whole, or why there are none.
fn received(bytes: &[u8], step: usize) -> Result<Vec<(Digest, Vec<u8>)>, TransferError> {
    let mut receiver = Receiver::default();
    let mut all: Vec<(Digest, Vec<u8>)> = Vec::new();
    for piece in bytes.chunks(step) {
        receiver.take(piece, |piece| {
            match piece {
                Piece::Begin(digest) => all.push((digest, Vec::new())),
                Piece::Content(content) => all.last_mut().unwrap().1.extend(content),
                Piece::End => {}
            }
            Ok::<(), TransferError>(())
        })?;
    }
    receiver.end()?;
    Ok(all)
}
