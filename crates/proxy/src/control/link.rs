//! The connection to the server: found again whenever it is lost, for as long as the proxy runs.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::limits::{LINK_WRITE, RECONNECT_WAIT};
use crate::protocol::{self, FromProxy, ToProxy};

/// What happens on the link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// There is a connection, on which nothing was said yet.
    Connected(Writer),
    /// The server said something.
    Message(Box<ToProxy>),
    /// The connection ended.
    Lost,
}

/// Our side of a connection.
#[derive(Debug)]
pub(crate) struct Writer(OwnedWriteHalf);

impl Writer {
    /// Says something to the server.
    pub(crate) async fn send(&mut self, message: &FromProxy) -> io::Result<()> {
        match tokio::time::timeout(LINK_WRITE, protocol::write(&mut self.0, message)).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the server does not read",
            )),
        }
    }
}

/// Keeps a connection to the server's socket in a task of its own.
pub(crate) fn start(socket: PathBuf) -> Receiver<LinkEvent> {
    // Few in flight: a server that sends faster than we apply waits in the kernel.
    let (events, receiver) = channel(4);
    drop(tokio::spawn(async move { keep(&socket, &events).await }));
    receiver
}

/// Returns when nobody listens to the events any more.
async fn keep(socket: &Path, events: &Sender<LinkEvent>) {
    let (shortest, longest) = RECONNECT_WAIT;
    let mut wait = shortest;
    while !events.is_closed() {
        if let Ok(stream) = UnixStream::connect(socket).await {
            let (reader, writer) = stream.into_split();
            if events
                .send(LinkEvent::Connected(Writer(writer)))
                .await
                .is_err()
            {
                return;
            }
            if read(reader, events).await {
                wait = shortest;
            }
            if events.send(LinkEvent::Lost).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(jittered(wait)).await;
        wait = (wait * 2).min(longest);
    }
}

/// Reads to the connection's end. Whether anything was read: a server that hangs up at once is
/// not tried again at once.
async fn read(mut reader: OwnedReadHalf, events: &Sender<LinkEvent>) -> bool {
    let mut any = false;
    loop {
        match protocol::read(&mut reader).await {
            Ok(Some(message)) => {
                any = true;
                if events
                    .send(LinkEvent::Message(Box::new(message)))
                    .await
                    .is_err()
                {
                    return any;
                }
            }
            Ok(None) => return any,
            Err(error) => {
                tracing::warn!(%error, "lost the connection to the server");
                return any;
            }
        }
    }
}

/// Half to all of `wait`, so that proxies do not all come back at once.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1000;
    wait / 2 + wait / 2 * random as u32 / 1000
}
