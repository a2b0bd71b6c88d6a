//! One stream of content in one coding. The settings bound what each takes, at most 3 MiB, and little
//! time for each byte, since it is done while somebody waits.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;

use crate::http::accept_encoding::Coding;

/// Brotli's quality, 0 to 11: above this, time grows much faster than size shrinks.
const BROTLI_QUALITY: u32 = 4;
/// The same for gzip, 0 to 9, and for zstd, 1 to 22.
const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
/// How far back brotli and zstd look, as a power of two: 256 KiB.
const WINDOW: u32 = 18;
/// Brotli's buffer for what it has made.
const BROTLI_BUFFER: usize = 4096;

/// Where encoders write; what is there is taken from here.
#[derive(Debug, Clone, Default)]
struct Output(Rc<RefCell<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An encoder and what it has made.
pub(super) struct Encoder {
    kind: Kind,
    output: Output,
}

enum Kind {
    Brotli(Box<brotli::CompressorWriter<Output>>),
    Zstd(Box<zstd::Encoder<'static, Output>>),
    Gzip(Box<GzEncoder<Output>>),
}

impl Encoder {
    /// An encoder of an empty content.
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        let output = Output::default();
        let out = output.clone();
        let kind = match coding {
            Coding::Brotli => Kind::Brotli(Box::new(brotli::CompressorWriter::new(
                out,
                BROTLI_BUFFER,
                BROTLI_QUALITY,
                WINDOW,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
                Kind::Zstd(Box::new(encoder))
            }
            Coding::Gzip => Kind::Gzip(Box::new(GzEncoder::new(out, Compression::new(GZIP_LEVEL)))),
        };
        Ok(Self { kind, output })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.kind {
            Kind::Brotli(writer) => writer,
            Kind::Zstd(writer) => writer,
            Kind::Gzip(writer) => writer,
        }
    }

    /// Adds content.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.writer().write_all(content)
    }

    /// Has all that was added be readable from what was made.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// How much was made and not taken.
    pub(super) fn made(&self) -> usize {
        self.output.0.borrow().len()
    }

    /// What was made since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.output.0.borrow_mut())
    }

    /// Ends the content; the rest of what is made.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.kind {
            Kind::Brotli(writer) => drop(writer.into_inner()),
            Kind::Zstd(writer) => drop(writer.finish()?),
            Kind::Gzip(writer) => drop(writer.finish()?),
        }
        Ok(std::mem::take(&mut *self.output.0.borrow_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// What a reader makes of what there is so far, which may lack its end.
    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let mut piece = [0; 4096];
        let mut reader: Box<dyn Read + '_> = match coding {
            Coding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Coding::Zstd => Box::new(zstd::Decoder::new(bytes).unwrap()),
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        };
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            content.extend_from_slice(&piece[..count]);
        }
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_and_all_that_was_flushed_at_once(
            pieces in prop::collection::vec(("[a-e]{0,300}", any::<bool>()), 0..12),
        ) {
            for coding in ALL {
                let mut encoder = Encoder::new(coding).unwrap();
                let (mut sent, mut made) = (Vec::new(), Vec::new());
                for (piece, is_flushed) in &pieces {
                    encoder.write(piece.as_bytes()).unwrap();
                    sent.extend_from_slice(piece.as_bytes());
                    if *is_flushed {
                        encoder.flush().unwrap();
                        made.extend(encoder.take());
                        prop_assert_eq!(&decoded(coding, &made), &sent, "{:?}", coding);
                    }
                }
                made.extend(encoder.finish().unwrap());
                prop_assert_eq!(&decoded(coding, &made), &sent, "{:?}", coding);
            }
        }
    }

    #[test]
    fn text_becomes_smaller() {
        let text = "the same words again and again ".repeat(1000);
        for coding in ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            encoder.write(text.as_bytes()).unwrap();
            let made = encoder.finish().unwrap();
            assert!(made.len() < text.len() / 20, "{coding:?}: {}", made.len());
        }
    }
}
