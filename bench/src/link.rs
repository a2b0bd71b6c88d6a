//! Listens in on the link between server and proxies: every message is passed on as it is, and its
//! time noted.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use proxy::protocol::{FromProxy, ToProxy};

/// The longest message that is passed on.
const LONGEST_FRAME: usize = 64 * 1024 * 1024;

/// When the whole of a message had come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    /// The same by the wall clock, in milliseconds since the Unix epoch.
    pub(crate) wall: f64,
}

/// What one side said to the other.
#[derive(Debug)]
pub(crate) enum Message {
    ToProxy(Box<ToProxy>),
    FromProxy(FromProxy),
}

/// A message that nobody has looked at yet: that would take time of the link's.
struct Frame {
    heard: Heard,
    json: Vec<u8>,
    read: fn(&[u8]) -> serde_json::Result<Message>,
}

/// The ear on the link, as long as the server that it was put to lives.
pub(crate) struct Tap {
    heard: Receiver<Frame>,
}

impl Tap {
    /// Puts itself in the place of the server's socket in `home`. Proxies that are connected
    /// already are not heard until they connect again.
    pub(crate) fn insert(home: &Path) -> Result<Self> {
        let socket = home.join("run/proxies.sock");
        let moved = home.join("run/server.sock");
        std::fs::rename(&socket, &moved).context("moving the server's socket for proxies")?;
        let listener = UnixListener::bind(&socket).context("listening in its place")?;
        let (tell, heard) = channel();
        thread::Builder::new()
            .name("link-accept".into())
            .spawn(move || {
                for proxy in listener.incoming().flatten() {
                    let Ok(server) = UnixStream::connect(&moved) else {
                        return;
                    };
                    // A link that cannot be passed on is closed, and the proxy tries again.
                    let _ = join(proxy, server, &tell);
                }
            })?;
        Ok(Self { heard })
    }

    /// Waits for a message for which `find` gives something; with it, when it came.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        find: impl Fn(&Message) -> Option<T>,
    ) -> Result<(Heard, T)> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(frame) => {
                    let message = (frame.read)(&frame.json);
                    let message = message.context("a message on the link is not understood")?;
                    if let Some(found) = find(&message) {
                        return Ok((frame.heard, found));
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{what}: not within {limit:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("{what}: the link is gone"),
            }
        }
    }

    /// Forgets what was heard so far.
    pub(crate) fn clear(&self) {
        while self.heard.try_recv().is_ok() {}
    }
}

/// Passes on what both say, on a thread for each direction.
fn join(proxy: UnixStream, server: UnixStream, tell: &Sender<Frame>) -> io::Result<()> {
    let (to_proxy, to_server) = (proxy.try_clone()?, server.try_clone()?);
    let (down, up) = (tell.clone(), tell.clone());
    let to_proxy_said = |json: &[u8]| serde_json::from_slice(json).map(Message::ToProxy);
    let from_proxy_said = |json: &[u8]| serde_json::from_slice(json).map(Message::FromProxy);
    let thread = |name: &str| thread::Builder::new().name(name.into());
    thread("link-down").spawn(move || pass(server, to_proxy, to_proxy_said, &down))?;
    thread("link-up").spawn(move || pass(proxy, to_server, from_proxy_said, &up))?;
    Ok(())
}

/// Passes frames on until one side closes. Each is told of before it is passed on, so that no
/// answer is heard before its question.
fn pass(
    mut from: UnixStream,
    mut to: UnixStream,
    read: fn(&[u8]) -> serde_json::Result<Message>,
    tell: &Sender<Frame>,
) {
    while let Ok(Some(frame)) = next_frame(&mut from) {
        let (at, wall) = (Instant::now(), wall_clock());
        let heard = Heard { at, wall };
        let json = frame[4..].to_vec();
        // Nobody may listen any more.
        let _ = tell.send(Frame { heard, json, read });
        if to.write_all(&frame).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // The other direction may have closed it first.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// A whole frame, with its length in front; none at the end.
pub(crate) fn next_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut frame = vec![0; 4];
    if from.read(&mut frame[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut frame[1..])?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    if length > LONGEST_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(Some(frame))
}

/// Milliseconds since the Unix epoch.
fn wall_clock() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    fn frame(json: &str) -> Vec<u8> {
        let length = u32::try_from(json.len()).unwrap();
        [&length.to_be_bytes()[..], json.as_bytes()].concat()
    }

    #[test]
    fn both_directions_are_passed_on_and_heard() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("run")).unwrap();
        let socket = home.path().join("run/proxies.sock");
        let server = UnixListener::bind(&socket).unwrap();
        let tap = Tap::insert(home.path()).unwrap();
        let mut proxy = UnixStream::connect(&socket).unwrap();
        let hello = frame(r#"{"hello":{"protocol":1,"pid":7,"generation":null}}"#);
        proxy.write_all(&hello).unwrap();
        let mut server = server.accept().unwrap().0;
        assert_eq!(next_frame(&mut server).unwrap(), Some(hello));
        let answer =
            frame(r#"{"snapshot":{"generation":5,"listeners":{},"routes":{},"upstreams":{}}}"#);
        server.write_all(&answer).unwrap();
        assert_eq!(next_frame(&mut proxy).unwrap(), Some(answer));
        let of_generation = |message: &Message| match message {
            Message::ToProxy(said) => match &**said {
                ToProxy::Snapshot(snapshot) => Some(snapshot.generation.0),
                _ => None,
            },
            _ => None,
        };
        let heard = tap.wait("a snapshot", WAIT, of_generation).unwrap();
        assert_eq!(heard.1, 5);
        // An end is passed on too.
        drop(server);
        assert_eq!(next_frame(&mut proxy).unwrap(), None);
        let none = tap.wait("more", Duration::ZERO, |_| Some(()));
        assert!(
            none.unwrap_err()
                .to_string()
                .starts_with("more: not within")
        );
    }
}
