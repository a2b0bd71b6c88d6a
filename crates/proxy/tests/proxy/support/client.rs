//! A client that sends exactly what it is told and reads answers by the book.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// A connection with what was read from it beyond the last answer.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pending: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Orderly,
    Reset,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends up to `most` bytes until no more are taken for a while; returns how many were.
    pub(crate) fn send_until_it_stalls(&mut self, most: usize) -> usize {
        let stall = Some(Duration::from_millis(300));
        self.stream.set_write_timeout(stall).unwrap();
        let (piece, mut taken) = (vec![0; 1 << 20], 0);
        while taken < most {
            match self.stream.write(&piece[..piece.len().min(most - taken)]) {
                Ok(count) => taken += count,
                Err(_) => break,
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        taken
    }

    /// Sends what the other side may not want any more; whether it was taken. Who hears of a reset
    /// here does not hear of it again: what is read then ends as if all were well.
    pub(crate) fn offer(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Whether anything arrives, the end included, within `wait`.
    pub(crate) fn hears_within(&mut self, wait: Duration) -> bool {
        self.stream.set_read_timeout(Some(wait)).unwrap();
        let heard = self.fill();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let nothing = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
        !heard.is_err_and(|error| nothing.contains(&error.kind()))
    }

    pub(crate) fn get(&mut self, host: &str, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        self.answer()
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut bytes = [0; 65536];
        let count = self.stream.read(&mut bytes)?;
        self.pending.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }

    /// Reads up to and with `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|w| w == end) {
                return self.pending.drain(..at + end.len()).collect();
            }
            let more = self.fill().unwrap();
            assert!(
                more,
                "the connection ended after {:?}",
                String::from_utf8_lossy(&self.pending)
            );
        }
    }

    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < count {
            assert!(self.fill().unwrap(), "the connection ended early");
        }
        self.pending.drain(..count).collect()
    }

    /// Reads and forgets `count` bytes or more.
    pub(crate) fn skip_at_least(&mut self, count: usize) {
        while self.pending.len() < count {
            assert!(self.fill().unwrap(), "the connection ended early");
        }
        self.pending.clear();
    }

    /// Reads and forgets `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        let mut skipped = std::mem::take(&mut self.pending).len();
        let mut bytes = vec![0; 1 << 20];
        while skipped < count {
            let read = self.stream.read(&mut bytes).unwrap();
            assert!(read > 0, "the connection ended early");
            skipped += read;
        }
        assert_eq!(skipped, count);
    }

    pub(crate) fn head(&mut self) -> String {
        String::from_utf8(self.until(b"\r\n\r\n")).unwrap()
    }

    /// Reads one answer to a request that was not HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
        };
        if let Some(length) = answer.field("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.exactly(length);
        } else if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let line = String::from_utf8(self.until(b"\r\n")).unwrap();
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                if size == 0 {
                    while self.until(b"\r\n") != b"\r\n" {}
                    break;
                }
                let chunk = self.exactly(size);
                answer.body.extend_from_slice(&chunk);
                assert_eq!(self.exactly(2), b"\r\n");
            }
        }
        answer
    }

    /// Reads to the connection's end: what there was, and how it ended.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return (std::mem::take(&mut self.pending), End::Orderly),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return (std::mem::take(&mut self.pending), End::Reset);
                }
                Err(error) => panic!("the connection did not end: {error}"),
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        match self.stream.shutdown(Shutdown::Write) {
            // The other side may have ended the connection already.
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            result => result.unwrap(),
        }
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset(self) {
        let none = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, none).unwrap();
    }
}

/// What comes after what was read already.
impl Read for Client {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.pending.is_empty() {
            return self.stream.read(bytes);
        }
        let count = bytes.len().min(self.pending.len());
        for (byte, pending) in bytes.iter_mut().zip(self.pending.drain(..count)) {
            *byte = pending;
        }
        Ok(count)
    }
}
