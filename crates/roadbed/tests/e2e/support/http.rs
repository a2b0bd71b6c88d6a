//! A client that asks once and reads to the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::LONG;

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// The status, or 0 if no answer came.
    pub(crate) status: u16,
    /// The head as text.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, where there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A GET on a connection of its own. Whatever goes wrong is an answer with status 0.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    exchange(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
    )
    .unwrap_or_default()
}

/// A POST of a body of this type, likewise.
pub(crate) fn post(address: SocketAddr, host: &str, path: &str, kind: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    exchange(address, request.as_bytes()).unwrap_or_default()
}

fn exchange(address: SocketAddr, request: &[u8]) -> std::io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, LONG)?;
    stream.set_read_timeout(Some(LONG))?;
    converse(stream, request)
}

/// Sends a request and reads to the end.
pub(crate) fn converse(mut stream: impl Read + Write, request: &[u8]) -> std::io::Result<Answer> {
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Ok(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
