//! Bytes of any kind to a server, and what comes back: for requests that no client would make.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes that are received.
const MOST_RECEIVED: usize = 16 * 1024 * 1024;

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// All bytes received.
    pub received: Vec<u8>,
    /// The server closed the connection in order.
    pub closed: bool,
    /// The server reset the connection.
    pub reset: bool,
    /// When the connection ended, or the limit if it did not, from the first byte sent.
    pub duration: Duration,
}

impl Exchange {
    /// The status of the first answer, if one came.
    pub fn status(&self) -> Option<u16> {
        let line = self.received.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        std::str::from_utf8(line).ok()?.parse().ok()
    }

    /// What was received, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// Sends `bytes` to `address` and receives until the server closes or resets the connection,
/// `limit` is over, or 16 MiB have come. The sending side stays open all the while.
///
/// # Errors
/// No connection could be opened, or it broke in another way than by a reset.
pub fn exchange(address: SocketAddr, bytes: &[u8], limit: Duration) -> io::Result<Exchange> {
    exchange_slowly(address, &[bytes], Duration::ZERO, limit)
}

/// The same, with `pause` after each of `pieces`, as a slow or a hostile client sends.
///
/// # Errors
/// As with [`exchange`].
pub fn exchange_slowly(
    address: SocketAddr,
    pieces: &[&[u8]],
    pause: Duration,
    limit: Duration,
) -> io::Result<Exchange> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(limit))?;
    let sender = stream.try_clone()?;
    // Both at once: a server may answer before it has read everything, or stop reading.
    thread::scope(|scope| {
        let sending = scope.spawn(move || send(sender, pieces, pause, start + limit));
        let mut exchange = receive(&mut stream, start + limit)?;
        exchange.duration = start.elapsed();
        // Whoever still sends has nobody to send to.
        match stream.shutdown(std::net::Shutdown::Both) {
            Err(error) if error.kind() != ErrorKind::NotConnected => return Err(error),
            _ => {}
        }
        let sent = sending
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent.map(|()| exchange)
    })
}

/// Sends until all is sent, the deadline is over, or the server does not take more, which the
/// receiving side sees too.
fn send(
    mut stream: TcpStream,
    pieces: &[&[u8]],
    pause: Duration,
    deadline: Instant,
) -> io::Result<()> {
    for piece in pieces {
        match stream.write_all(piece) {
            Err(error) if is_reset(&error) || is_timeout(&error) => return Ok(()),
            result => result?,
        }
        if Instant::now() + pause >= deadline {
            return Ok(());
        }
        thread::sleep(pause);
    }
    Ok(())
}

fn receive(stream: &mut TcpStream, deadline: Instant) -> io::Result<Exchange> {
    let mut exchange = Exchange::default();
    let mut buffer = [0; 16 * 1024];
    while exchange.received.len() < MOST_RECEIVED {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => {
                exchange.closed = true;
                break;
            }
            Ok(bytes) => exchange.received.extend_from_slice(&buffer[..bytes]),
            Err(error) if is_reset(&error) => {
                exchange.reset = true;
                break;
            }
            Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(exchange)
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
