//! Backends that do what a test tells them and remember every byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::PATIENCE;

/// A listening backend; its threads end with the test's process.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// One connection to a backend.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    number: usize,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    pending: Vec<u8>,
}

impl Backend {
    /// Runs `serve` with each connection, in a thread of its own.
    pub(crate) fn start(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), serve)
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        serve: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (received, serve) = (Arc::new(Mutex::new(Vec::new())), Arc::new(serve));
        let all = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut every = received.lock().unwrap();
                every.push(Vec::new());
                let number = every.len() - 1;
                let received = received.clone();
                let mut connection = Connection {
                    stream,
                    number,
                    received,
                    pending: vec![],
                };
                let serve = serve.clone();
                std::thread::spawn(move || serve(&mut connection));
            }
        });
        Self {
            address,
            received: all,
        }
    }

    /// Answers every request with 200 and its name, path and body.
    pub(crate) fn echo(name: &'static str) -> Self {
        Self::start(move |connection| {
            while let Some((head, body)) = connection.request() {
                let path = head.split(' ').nth(1).unwrap_or_default();
                let text = format!("{name} {path} {}", String::from_utf8_lossy(&body));
                connection.answer(&text);
            }
        })
    }

    /// What arrived, by connection.
    pub(crate) fn received(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

impl Connection {
    /// Reads more; false at the end or when the connection was reset.
    pub(crate) fn fill(&mut self) -> bool {
        let mut bytes = [0; 65536];
        let count = self.stream.read(&mut bytes).unwrap_or(0);
        self.pending.extend_from_slice(&bytes[..count]);
        self.received.lock().unwrap()[self.number].extend_from_slice(&bytes[..count]);
        count > 0
    }

    pub(crate) fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|w| w == end) {
                return Some(self.pending.drain(..at + end.len()).collect());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.pending.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.pending.drain(..count).collect())
    }

    pub(crate) fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n")
            .map(|head| String::from_utf8(head).unwrap())
    }

    /// Reads one request with its body, chunked ones as they came.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let lower = head.to_ascii_lowercase();
        if lower.contains("transfer-encoding: chunked") {
            let body = self.until(b"0\r\n\r\n")?;
            return Some((head, body));
        }
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let length = length.map_or(0, |length| length.trim().parse().unwrap());
        let body = self.exactly(length)?;
        Some((head, body))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may be gone, which is what some tests are about.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Whether `bytes` could be sent.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub(crate) fn answer(&mut self, body: &str) {
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// Makes the end of this connection a reset.
    pub(crate) fn reset_on_close(&self) {
        let none = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, none).unwrap();
    }

    /// Waits for the connection's end; whether it was a reset.
    pub(crate) fn ends_in_reset(&mut self) -> bool {
        let mut bytes = [0; 65536];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Waits for the connection's end.
    pub(crate) fn drain(&mut self) {
        while self.fill() {}
    }
}

impl Connection {
    /// Adds to what is remembered of this connection.
    pub(crate) fn received_note(&self, note: &str) {
        self.received.lock().unwrap()[self.number].extend_from_slice(note.as_bytes());
    }

    /// Reads and forgets `count` bytes; returns how many there were.
    pub(crate) fn skip(&mut self, count: usize) -> usize {
        let mut skipped = std::mem::take(&mut self.pending).len();
        let mut bytes = vec![0; 1 << 20];
        while skipped < count {
            match self.stream.read(&mut bytes) {
                Ok(0) | Err(_) => break,
                Ok(read) => skipped += read,
            }
        }
        skipped
    }
}
