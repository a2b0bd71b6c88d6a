//! One keep-alive connection that requests are made on, one after the other.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use httparse::Status;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ledger::Fault;
use crate::report::FailureKind;

/// The most bytes of an answer's head, and the most of one chunk's head or of the trailers.
const LONGEST_HEAD: usize = 64 * 1024;

/// The most headers of an answer.
const MOST_HEADERS: usize = 128;

/// The most bytes of a body that are kept to be looked at.
const LONGEST_KEPT_BODY: usize = 1024 * 1024;

/// How much is read at once.
const READ: usize = 16 * 1024;

/// An answer, read to its last byte.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The header `roadbed-reason`.
    pub(crate) reason: Option<String>,
    /// The body, of which no more than 1 MiB is kept.
    pub(crate) body: Vec<u8>,
    /// Whether the whole body was kept.
    pub(crate) whole: bool,
    reusable: bool,
}

/// What a request was doing when its time was up.
pub(crate) type Stage = Cell<&'static str>;

/// A connection that may be used again.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes received and not yet consumed.
    buffer: Vec<u8>,
}

/// Makes `request` on the connection in `slot`, or on a new one to `address` if there is none or
/// if it is known to be closed. Leaves a connection there that may be used again.
///
/// Nothing is tried again: a connection that closes under the request fails it.
pub(crate) async fn exchange(
    slot: &mut Option<Connection>,
    address: SocketAddr,
    request: &[u8],
    stage: &Stage,
) -> Result<Answer, Fault> {
    let mut connection = match slot.take().filter(Connection::is_idle) {
        Some(connection) => connection,
        None => {
            stage.set("connecting");
            Connection::open(address).await?
        }
    };
    stage.set("sending the request");
    let sent = connection.stream.write_all(request).await;
    // A server may answer and close before it has read everything: the answer counts.
    stage.set("waiting for the answer");
    let answer = match (connection.answer(stage).await, sent) {
        (Err(_), Err(error)) => return Err(broken("sending the request", &error)),
        (answer, _) => answer?,
    };
    if answer.reusable && connection.buffer.is_empty() {
        *slot = Some(connection);
    }
    Ok(answer)
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let open = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open.await.map_err(|error: io::Error| {
            Fault::new(
                FailureKind::Connect,
                format!("connecting to {address}: {error}"),
            )
        })?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Whether nothing has arrived since the last answer, neither bytes nor the end. The socket
    /// itself is asked, since the runtime may not have looked at it for a while.
    fn is_idle(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let answer = rustix::net::recv(&self.stream, &mut [0u8; 1][..], flags);
        matches!(answer, Err(Errno::AGAIN))
    }

    async fn answer(&mut self, stage: &Stage) -> Result<Answer, Fault> {
        loop {
            let head = self.head().await?;
            stage.set("reading the body");
            if head.status == 101 {
                return Err(malformed("it switches protocols, which was not asked for"));
            }
            if head.status >= 200 {
                return self.body(head).await;
            }
        }
    }

    async fn head(&mut self) -> Result<Head, Fault> {
        loop {
            if let Some((head, length)) = Head::parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            self.more(LONGEST_HEAD, "the head of the answer").await?;
        }
    }

    async fn body(&mut self, head: Head) -> Result<Answer, Fault> {
        let mut kept = Kept {
            body: Vec::new(),
            whole: true,
        };
        let mut reusable = head.keep_alive;
        match head.framing {
            _ if matches!(head.status, 204 | 304) => {}
            Framing::Length(length) => self.take(length, &mut kept).await?,
            Framing::Chunked => self.chunks(&mut kept).await?,
            Framing::Close => {
                reusable = false;
                loop {
                    kept.push(&self.buffer);
                    self.buffer.clear();
                    if self.fill("the body").await? == 0 {
                        break;
                    }
                }
            }
        }
        let Kept { body, whole } = kept;
        Ok(Answer {
            status: head.status,
            reason: head.reason,
            body,
            whole,
            reusable,
        })
    }

    async fn chunks(&mut self, kept: &mut Kept) -> Result<(), Fault> {
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(Status::Complete((length, size))) => {
                        self.buffer.drain(..length);
                        break size;
                    }
                    Ok(Status::Partial) => self.more(LONGEST_HEAD, "a chunk's size").await?,
                    Err(_) => return Err(malformed("a chunk's size is not a number")),
                }
            };
            if size == 0 {
                return self.trailers().await;
            }
            self.take(size, kept).await?;
            while self.buffer.len() < 2 {
                self.more(LONGEST_HEAD, "the end of a chunk").await?;
            }
            if !self.buffer.starts_with(b"\r\n") {
                return Err(malformed("a chunk is longer than its size"));
            }
            self.buffer.drain(..2);
        }
    }

    async fn trailers(&mut self) -> Result<(), Fault> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
            match httparse::parse_headers(&self.buffer, &mut headers) {
                Ok(Status::Complete((length, _))) => {
                    self.buffer.drain(..length);
                    return Ok(());
                }
                Ok(Status::Partial) => self.more(LONGEST_HEAD, "the trailers").await?,
                Err(error) => return Err(malformed(&format!("trailers: {error}"))),
            }
        }
    }

    /// Consumes `length` bytes of body.
    async fn take(&mut self, mut length: u64, kept: &mut Kept) -> Result<(), Fault> {
        loop {
            let here = length.min(self.buffer.len() as u64);
            kept.push(&self.buffer[..here as usize]);
            self.buffer.drain(..here as usize);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.more(usize::MAX, "the body").await?;
        }
    }

    /// Receives more of `what`, of which there must be more and no more than `most` bytes.
    async fn more(&mut self, most: usize, what: &str) -> Result<(), Fault> {
        if self.buffer.len() >= most {
            return Err(malformed(&format!("{what} has more than {most} bytes")));
        }
        match self.fill(what).await? {
            0 => Err(Fault::new(
                FailureKind::Closed,
                format!("reading {what}: the end came early"),
            )),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self, what: &str) -> Result<usize, Fault> {
        self.buffer.reserve(READ);
        let read = self.stream.read_buf(&mut self.buffer).await;
        read.map_err(|error| broken(&format!("reading {what}"), &error))
    }
}

/// As much of a body as is kept.
struct Kept {
    body: Vec<u8>,
    whole: bool,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let room = LONGEST_KEPT_BODY - self.body.len();
        self.whole &= bytes.len() <= room;
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// What the head of an answer says.
struct Head {
    status: u16,
    framing: Framing,
    keep_alive: bool,
    reason: Option<String>,
}

/// How the end of a body is known.
enum Framing {
    Length(u64),
    Chunked,
    Close,
}

impl Head {
    /// The head at the beginning of `bytes` and its length, or `None` if it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let length = match answer.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(malformed(&error.to_string())),
        };
        let mut head = Self {
            status: answer.code.unwrap_or_default(),
            framing: Framing::Close,
            keep_alive: answer.version == Some(1),
            reason: None,
        };
        for header in answer.headers {
            let value = String::from_utf8_lossy(header.value);
            let value = value.trim();
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = value
                    .parse()
                    .map_err(|_| malformed("content-length: no number"))?;
                match head.framing {
                    Framing::Close => head.framing = Framing::Length(length),
                    _ => return Err(malformed("its length is given twice")),
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case("chunked") {
                    return Err(malformed(&format!("transfer-encoding: {value}")));
                }
                match head.framing {
                    Framing::Close => head.framing = Framing::Chunked,
                    _ => return Err(malformed("its length is given twice")),
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                for option in value.split(',').map(str::trim) {
                    head.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
                    head.keep_alive &= !option.eq_ignore_ascii_case("close");
                }
            } else if header.name.eq_ignore_ascii_case("roadbed-reason") {
                head.reason = Some(value.to_owned());
            }
        }
        Ok(Some((head, length)))
    }
}

fn malformed(what: &str) -> Fault {
    Fault::new(
        FailureKind::Malformed,
        format!("the answer is not HTTP/1.1: {what}"),
    )
}

fn broken(doing: &str, error: &io::Error) -> Fault {
    let kind = match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            FailureKind::Reset
        }
        _ => FailureKind::Closed,
    };
    Fault::new(kind, format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    #[tokio::test]
    async fn a_connection_seen_closed_is_not_used_again_and_one_that_is_open_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut slot, stage) = (None, Stage::new(""));
        let mut accepted = Vec::new();
        for reused in [false, true, false, true] {
            let server = std::thread::spawn({
                let (listener, last) = (listener.try_clone().unwrap(), accepted.pop());
                move || {
                    let mut stream = if reused {
                        last.unwrap()
                    } else {
                        listener.accept().unwrap().0
                    };
                    stream.read_exact(&mut [0; REQUEST.len()]).unwrap();
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .unwrap();
                    stream
                }
            });
            let answer = exchange(&mut slot, address, REQUEST, &stage).await.unwrap();
            assert_eq!(answer.status, 200);
            let stream = server.join().unwrap();
            // The server closes every second time: the client must notice before it sends.
            accepted.extend((!reused).then_some(stream));
        }
    }
}
