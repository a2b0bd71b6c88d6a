//! An instance that speaks HTTP/1.1.

use std::io;

use base64::Engine;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::instance::{Shared, echo};
use super::stage::Ask;
use super::stream::Stream;

/// A connection and what was read from it beyond what was used.
struct Connection {
    stream: Stream,
    pending: Vec<u8>,
}

/// What is left of a request's body.
enum Body {
    Length(usize),
    Chunked,
}

/// Serves a connection to its end.
pub(crate) async fn serve(shared: &Shared, stream: Stream) {
    let mut connection = Connection {
        stream,
        pending: Vec::new(),
    };
    // An error is the connection's end, which the proxy may make at any time.
    while let Ok(Some(head)) = connection.head().await {
        match request(shared, &mut connection, &head).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

/// Serves one request; whether another may follow.
async fn request(shared: &Shared, connection: &mut Connection, head: &str) -> io::Result<bool> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let ask = Ask::read(path).expect("a path as clients send it");
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim().to_owned())
    };
    let mut body = match (field("transfer-encoding"), field("content-length")) {
        (Some(_), _) => Body::Chunked,
        (None, length) => Body::Length(length.map_or(0, |length| length.parse().unwrap())),
    };
    shared.arrived(&ask);
    let content = vec![ask.letter(); ask.size];
    match ask.kind.as_str() {
        "get" if ask.number.is_multiple_of(3) => {
            connection
                .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            for piece in content.chunks(10_000) {
                connection.chunk(piece).await?;
            }
            connection.send("0\r\nchecked: yes\r\n\r\n").await?;
        }
        "get" => connection.answer("200 OK", &content).await?,
        "fail" => {
            connection
                .answer("500 Internal Server Error", &content)
                .await?
        }
        "echo" => {
            connection
                .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            while let Some(piece) = connection.piece(&mut body).await? {
                connection.chunk(&piece).await?;
            }
            connection.send("0\r\n\r\n").await?;
        }
        "upload" => {
            let mut count = 0;
            while let Some(piece) = connection.piece(&mut body).await? {
                count += piece.len();
            }
            connection
                .answer("200 OK", &vec![ask.letter(); count])
                .await?;
        }
        "die" => {
            connection.stream.reset_on_close();
            return Ok(false);
        }
        "half" => {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                ask.size + 10
            );
            connection.send(head).await?;
            connection.send(content).await?;
            connection.stream.reset_on_close();
            return Ok(false);
        }
        "stall" => {
            connection
                .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await?;
            connection.chunk(&content).await?;
            while connection.fill().await? {}
            return Ok(false);
        }
        "silent" => {
            while connection.fill().await? {}
            return Ok(false);
        }
        "socket" => {
            let key = field("sec-websocket-key").expect("a handshake has a key");
            let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
            let accept = base64::engine::general_purpose::STANDARD.encode(accept);
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {accept}\r\n\r\n"
            );
            connection.send(head).await?;
            let early = std::mem::take(&mut connection.pending);
            connection.send(early).await?;
            echo(&mut connection.stream).await;
            return Ok(false);
        }
        other => panic!("nobody asks for {other}"),
    }
    Ok(true)
}

impl Connection {
    /// Reads more; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).await?;
        self.pending.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    async fn until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            let at = self.pending.windows(end.len()).position(|w| w == end);
            if let Some(at) = at {
                return Ok(Some(self.pending.drain(..at + end.len()).collect()));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    async fn head(&mut self) -> io::Result<Option<String>> {
        let head = self.until(b"\r\n\r\n").await?;
        Ok(head.map(|head| String::from_utf8(head).unwrap()))
    }

    /// The next piece of a body; none at its end.
    async fn piece(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
        match body {
            Body::Length(0) => Ok(None),
            Body::Length(left) => {
                if self.pending.is_empty() && !self.fill().await? {
                    return Err(cut());
                }
                let count = self.pending.len().min(*left);
                *left -= count;
                Ok(Some(self.pending.drain(..count).collect()))
            }
            Body::Chunked => {
                let line = self.until(b"\r\n").await?.ok_or_else(cut)?;
                let line = String::from_utf8(line).unwrap();
                let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
                while self.pending.len() < size + 2 {
                    if !self.fill().await? {
                        return Err(cut());
                    }
                }
                let mut piece: Vec<u8> = self.pending.drain(..size + 2).collect();
                piece.truncate(size);
                if size == 0 {
                    *body = Body::Length(0);
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    async fn chunk(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk).await
    }

    async fn answer(&mut self, status: &str, content: &[u8]) -> io::Result<()> {
        let length = content.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        self.send([head.as_bytes(), content].concat()).await
    }
}
