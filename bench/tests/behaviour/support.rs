//! A small HTTP server that fails on request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What the server does with a request.
pub(crate) enum Action {
    /// Sends these bytes and keeps the connection.
    Send(Vec<u8>),
    /// Waits, and then sends these bytes.
    Delay(Duration, Vec<u8>),
    /// Sends these bytes and closes.
    SendAndClose(Vec<u8>),
    /// Resets the connection.
    Reset,
}

/// One request as the server sees it.
pub(crate) struct Request {
    /// Its number among all, from 1.
    pub(crate) number: u64,
    /// Its number on its connection, from 1.
    pub(crate) on_connection: u64,
    /// Its head and body.
    pub(crate) bytes: Vec<u8>,
}

/// Runs until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Server {
    pub(crate) fn start(act: impl Fn(Request) -> Action + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let (act, counter) = (Arc::new(act), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (act, counter, stream) = (act.clone(), counter.clone(), stream.unwrap());
                thread::spawn(move || serve(stream, &*act, &counter));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/path?query", self.address)
    }

    /// How many requests arrived.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, act: &dyn Fn(Request) -> Action, counter: &AtomicU64) {
    stream.set_nodelay(true).unwrap();
    for on_connection in 1.. {
        let Some(bytes) = read_request(&mut stream) else {
            return;
        };
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        // A client that has given up may be gone; its own account is what is tested.
        match act(Request {
            number,
            on_connection,
            bytes,
        }) {
            Action::Send(bytes) => drop(stream.write_all(&bytes)),
            Action::Delay(delay, bytes) => {
                // A slow answer, which the test asked for.
                thread::sleep(delay);
                drop(stream.write_all(&bytes));
            }
            Action::SendAndClose(bytes) => return drop(stream.write_all(&bytes)),
            Action::Reset => {
                let now = Some(Duration::ZERO);
                return rustix::net::sockopt::set_socket_linger(&stream, now).unwrap();
            }
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes.clone()).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(bytes)
}

/// An answer with a length.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

pub(crate) fn ok() -> Vec<u8> {
    answer(200, "", "hello")
}
