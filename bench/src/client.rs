//! A plain client: one connection, one request at a time, and an eye on the clock.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long one attempt may take before another is made.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest head of an answer.
const LONGEST_HEAD: u64 = 64 * 1024;

/// A page of the edge.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) edge: SocketAddr,
    pub(crate) host: String,
    pub(crate) path: String,
}

/// An answer whose body is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Its length; an answer without one is not understood.
    pub(crate) length: u64,
}

/// A connection that requests are made on.
pub(crate) struct Connection<S> {
    stream: BufReader<S>,
}

impl Connection<TcpStream> {
    /// Connects; every wait on the connection ends after `patience`.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self::new(stream))
    }
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        // Thousands are held at once; a small buffer does for heads.
        let stream = BufReader::with_capacity(1024, stream);
        Self { stream }
    }

    /// Asks for a page and reads the answer to its end.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> io::Result<(Head, Vec<u8>)> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        let head = self.head()?;
        let mut body = Vec::new();
        self.body(head).read_to_end(&mut body)?;
        if (body.len() as u64) < head.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok((head, body))
    }

    /// Sends the head of a request.
    pub(crate) fn send(&mut self, head: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(head.as_bytes())
    }

    /// Sends `length` bytes of a request's body.
    pub(crate) fn send_zeros(&mut self, length: u64) -> io::Result<()> {
        let zeros = vec![0; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let piece = left.min(zeros.len() as u64);
            self.stream.get_mut().write_all(&zeros[..piece as usize])?;
            left -= piece;
        }
        Ok(())
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> io::Result<Head> {
        let mut text = Vec::new();
        let mut limited = (&mut self.stream).take(LONGEST_HEAD);
        while !text.ends_with(b"\r\n\r\n") {
            if limited.read_until(b'\n', &mut text)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        parse(&text)
    }

    /// The body that follows `head`.
    pub(crate) fn body(&mut self, head: Head) -> impl Read {
        (&mut self.stream).take(head.length)
    }
}

fn parse(text: &[u8]) -> io::Result<Head> {
    let invalid = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    answer
        .parse(text)
        .map_err(|error| invalid(&format!("the answer is not HTTP/1.1: {error}")))?;
    let length = answer
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .ok_or_else(|| invalid("the answer does not say its length"))?;
    Ok(Head {
        status: answer.code.unwrap_or_default(),
        length,
    })
}

impl Page {
    /// Asks for the page on a new connection; the status.
    pub(crate) fn ask(&self) -> io::Result<u16> {
        let mut connection = Connection::open(self.edge, ATTEMPT)?;
        Ok(connection.get(&self.host, &self.path)?.0.status)
    }

    /// Asks again and again, each time on a new connection, until the answer is 200; when it was
    /// there. Nothing after `limit`.
    pub(crate) fn first_success(&self, limit: Duration) -> Option<Instant> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if self.ask().is_ok_and(|status| status == 200) {
                return Some(Instant::now());
            }
            thread::sleep(PAUSE);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_first_success_comes_after_every_kind_of_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let page = Page {
            edge: listener.local_addr().unwrap(),
            host: "a.localhost".into(),
            path: "/x".into(),
        };
        let answers = [
            "",
            "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        ];
        let server = thread::spawn(move || {
            for answer in answers {
                let mut stream = listener.accept().unwrap().0;
                let expected = b"GET /x HTTP/1.1\r\nHost: a.localhost\r\n\r\n";
                let mut request = [0; 38];
                stream.read_exact(&mut request).unwrap();
                assert_eq!(&request, expected);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert!(page.first_success(Duration::from_secs(20)).is_some());
        server.join().unwrap();
        // Nobody listens any more.
        assert!(page.first_success(Duration::from_millis(20)).is_none());
    }

    #[test]
    fn a_head_without_length_is_an_error() {
        assert_eq!(
            parse(b"HTTP/1.1 404 No\r\nContent-Length: 12\r\n\r\n").unwrap(),
            Head {
                status: 404,
                length: 12
            }
        );
        for bad in ["HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0\r\n\r\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
