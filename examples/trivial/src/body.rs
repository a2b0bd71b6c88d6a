//! A message's body, read and written as it streams by.

use std::io::{self, BufRead, Read, Write};

use crate::head::{Framing, invalid};

/// Reads a body and stops at its end, whatever follows on the connection.
pub(crate) struct Body<'a, R> {
    reader: &'a mut R,
    framing: Framing,
    /// Bytes left of the body, or of the current chunk.
    left: u64,
    ended: bool,
}

impl<'a, R: BufRead> Body<'a, R> {
    /// The body that follows a head with this framing.
    pub(crate) fn new(reader: &'a mut R, framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            Framing::Empty | Framing::Chunked | Framing::UntilClose => 0,
        };
        Self {
            reader,
            framing,
            left,
            ended: framing == Framing::Empty,
        }
    }

    /// How it is delimited.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let size = self.line()?;
        let size = size.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk's size is odd"))?;
        if self.left == 0 {
            while !self.line()?.is_empty() {}
            self.ended = true;
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.by_ref().take(1024).read_line(&mut line)?;
        let line = line
            .strip_suffix("\r\n")
            .ok_or_else(|| invalid("a chunk is cut off"))?;
        Ok(line.to_owned())
    }
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Chunked && self.left == 0 && !self.ended {
            self.next_chunk()?;
        }
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.framing == Framing::UntilClose {
            return self.reader.read(buffer);
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        if self.left == 0 {
            if self.framing != Framing::Chunked {
                self.ended = true;
            } else if !self.line()?.is_empty() {
                return Err(invalid("a chunk is longer than its size"));
            }
        }
        Ok(count)
    }
}

/// Copies a body onto `writer`, in chunks unless its length was announced.
pub(crate) fn copy(body: &mut impl Read, chunked: bool, writer: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = body.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        if chunked {
            write!(writer, "{count:x}\r\n")?;
            writer.write_all(&buffer[..count])?;
            writer.write_all(b"\r\n")?;
        } else {
            writer.write_all(&buffer[..count])?;
        }
    }
    if chunked {
        writer.write_all(b"0\r\n\r\n")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_ends_where_it_ends() {
        let mut input = "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\nNEXT".as_bytes();
        let mut read = String::new();
        Body::new(&mut input, Framing::Chunked)
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!((read.as_str(), input), ("abcde", "NEXT".as_bytes()));
    }

    #[test]
    fn a_body_that_is_cut_off_is_an_error() {
        for (text, framing) in [("ab", Framing::Length(3)), ("3\r\nab", Framing::Chunked)] {
            let mut input = text.as_bytes();
            assert!(
                Body::new(&mut input, framing)
                    .read_to_end(&mut Vec::new())
                    .is_err()
            );
        }
    }

    #[test]
    fn chunks_written_read_back() {
        let mut written = Vec::new();
        copy(&mut "hello".as_bytes(), true, &mut written).unwrap();
        let mut read = String::new();
        Body::new(&mut written.as_slice(), Framing::Chunked)
            .read_to_string(&mut read)
            .unwrap();
        assert_eq!(read, "hello");
    }
}
