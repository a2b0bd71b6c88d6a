//! The server's side of the link to a proxy, without a server: what is sent is up to the bench.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use proxy::protocol::{FromProxy, ToProxy};

use crate::link::next_frame;
use crate::platform::LONG;

/// The place at which a proxy looks for its server.
pub(super) fn listen(home: &Path) -> Result<UnixListener> {
    let run = home.join("run");
    let made = DirBuilder::new().mode(0o700).create(&run);
    made.with_context(|| format!("making {}", run.display()))?;
    UnixListener::bind(run.join("proxies.sock")).context("listening for a proxy")
}

/// The link to one proxy.
pub(super) struct Link(UnixStream);

impl Link {
    /// Waits for a proxy, and for its first word.
    pub(super) fn accept(listener: &UnixListener) -> Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(LONG))?;
        let mut link = Self(stream);
        match link.hear()? {
            FromProxy::Hello { .. } => Ok(link),
            other => bail!("a proxy began with {other:?}"),
        }
    }

    /// Sends a message and waits until it is acknowledged; when that was.
    pub(super) fn change(&mut self, message: &ToProxy) -> Result<Instant> {
        let wanted = match message {
            ToProxy::Snapshot(snapshot) => snapshot.generation,
            ToProxy::Delta(delta) => delta.to,
            ToProxy::Count => bail!("a question changes nothing"),
        };
        let json = serde_json::to_vec(message)?;
        let length = u32::try_from(json.len()).context("the message is too long")?;
        let frame = [&length.to_be_bytes()[..], &json].concat();
        self.0.write_all(&frame)?;
        loop {
            match self.hear()? {
                FromProxy::Acknowledged { generation, .. } if generation >= wanted => {
                    return Ok(Instant::now());
                }
                FromProxy::Refused { offered, current } => {
                    bail!("the proxy is at {current} and refuses {offered}");
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self) -> Result<FromProxy> {
        let frame = next_frame(&mut self.0).context("hearing from the proxy")?;
        let frame = frame.context("the proxy has closed the link")?;
        serde_json::from_slice(&frame[4..]).context("a message of the proxy is not understood")
    }
}
