//! Computing digests. SHA-256, since it is what container images are told by and what `sha256sum`
//! prints, and since it is in the program already: with it a processor of today reads a gigabyte a
//! second, and what has not changed is not read at all.

use std::io::{self, Read};

use model::Digest;
use ring::digest::{Context, SHA256, digest};

/// How much is read at a time.
const BUFFER: usize = 128 * 1024;

/// The digest of `content`.
pub fn digest_of(content: &[u8]) -> Digest {
    finished(digest(&SHA256, content))
}

/// Computes a digest piece by piece.
pub(crate) struct Hasher(Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    pub(crate) fn finish(self) -> Digest {
        finished(self.0.finish())
    }
}

fn finished(digest: ring::digest::Digest) -> Digest {
    let bytes = digest.as_ref().try_into();
    Digest::new(bytes.expect("SHA-256 has 32 bytes"))
}

/// The digest of all that `reader` has, and how many bytes that are.
pub(crate) fn digest_of_all(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_others_compute() {
        // FIPS 180-4, the example of one block.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(b"abc").to_string(), known);
        let (digest, length) = digest_of_all(&mut &b"abc"[..]).unwrap();
        assert_eq!((digest.to_string().as_str(), length), (known, 3));
    }
}
