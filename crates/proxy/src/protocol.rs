//! What server and proxy say to each other over the server's Unix socket: frames of a four-byte
//! big-endian length and JSON.
//!
//! The proxy connects and says [`FromProxy::Hello`]. The server answers with a delta from the
//! proxy's generation or with a whole snapshot, and sends every later change the same way. Each
//! is acknowledged or refused.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use model::{Generation, InstanceId, ListenerId, Snapshot, SnapshotDelta, UpstreamId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::FRAME_BYTES;
use crate::measure::Histogram;

/// The version of this protocol, sent in [`FromProxy::Hello`].
pub const PROTOCOL: u32 = 2;

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToProxy {
    /// Serve from this. One below the proxy's own generation is refused.
    Snapshot(Snapshot),
    /// Serve from what results. Refused unless it starts at the proxy's own generation.
    Delta(SnapshotDelta),
    /// Say what became of requests. Answered with [`FromProxy::Counted`].
    Count,
}

/// What became of requests since the proxy began to know their upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Those that got a whole answer: the service's or, in its place, the proxy's own.
    pub answered: u64,
    /// Those of them whose answer says that the service failed: 5xx, or a status of gRPC that
    /// means as much.
    pub failed: u64,
    /// Those that got no answer or only a part of it, since client or service went away.
    pub cut: u64,
    /// How long those that got a whole answer waited for its end. A proxy of an older version does
    /// not say it.
    #[serde(default)]
    pub latency: Histogram,
    /// Second attempts that were made.
    #[serde(default)]
    pub retried: u64,
    /// How often an endpoint was ejected.
    #[serde(default)]
    pub ejected: u64,
    /// Requests that were refused since the service had too many.
    #[serde(default)]
    pub refused: u64,
    /// Requests that are being served.
    #[serde(default)]
    pub in_flight: u64,
}

impl std::ops::AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.cut += other.cut;
        self.latency.merge(&other.latency);
        self.retried += other.retried;
        self.ejected += other.ejected;
        self.refused += other.refused;
        self.in_flight += other.in_flight;
    }
}

/// Where a proxy shows what it measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsListener {
    /// The address.
    pub address: SocketAddr,
    /// Why it cannot listen there at present, where that is so.
    pub failure: Option<String>,
}

/// What a proxy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromProxy {
    /// The first message on every connection.
    Hello {
        /// The version of the protocol that it speaks, [`PROTOCOL`].
        protocol: u32,
        /// The proxy's process.
        pid: u32,
        /// What it serves from; none before it ever had a snapshot.
        generation: Option<Generation>,
    },
    /// Every worker serves from this generation, it is on disk, and no request can be sent any
    /// more to an endpoint that is not in it. Sent again when a listener's state changes.
    Acknowledged {
        /// The generation.
        generation: Generation,
        /// The listeners whose address could not be bound, with the error; they are retried.
        listener_failures: BTreeMap<ListenerId, String>,
        /// Instances that are not in the snapshot any more but still have requests, upgraded
        /// connections or streams in flight here, with their number.
        busy: BTreeMap<InstanceId, u32>,
    },
    /// A snapshot or delta does not follow from the proxy's own; nothing changed.
    Refused {
        /// The generation that was offered.
        offered: Generation,
        /// The proxy's own.
        current: Generation,
    },
    /// What became of requests until now.
    Counted {
        /// By the service that they were for.
        upstreams: BTreeMap<UpstreamId, Counts>,
        /// How many connections clients have open.
        connections: u64,
        /// Where the proxy shows what it measures; none where it was not told to.
        #[serde(default)]
        metrics: Option<MetricsListener>,
    },
    /// An instance that was reported busy has nothing in flight here any more.
    Drained {
        /// The instance.
        instance: InstanceId,
    },
}

/// Reads one message; none when the other side closed between two messages.
///
/// # Errors
/// Reading fails, the message is longer than [`FRAME_BYTES`] or not what was expected.
pub async fn read<M: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<M>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES {
        return Err(invalid(format!(
            "a message of {length} bytes; at most {FRAME_BYTES} are read"
        )));
    }
    // Grows as bytes arrive: a length alone must not make us reserve 64 MiB.
    let mut json = Vec::new();
    from.take(length as u64).read_to_end(&mut json).await?;
    if json.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(&json)
        .map(Some)
        .map_err(|error| invalid(error.to_string()))
}

/// Writes one message.
///
/// # Errors
/// Writing fails, or the message is longer than [`FRAME_BYTES`].
pub async fn write<M: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    if length > FRAME_BYTES {
        return Err(invalid(format!(
            "a message of {length} bytes; at most {FRAME_BYTES} are sent"
        )));
    }
    frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
    to.write_all(&frame).await?;
    to.flush().await
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn messages_read_back_as_written_until_the_end() {
        let hello = FromProxy::Hello {
            protocol: 1,
            pid: 7,
            generation: Some(Generation(3)),
        };
        let drained = FromProxy::Drained {
            instance: "a.b.1.1".parse().unwrap(),
        };
        block(async {
            let mut bytes = Vec::new();
            write(&mut bytes, &hello).await.unwrap();
            write(&mut bytes, &drained).await.unwrap();
            let mut from = &bytes[..];
            assert_eq!(read::<FromProxy>(&mut from).await.unwrap(), Some(hello));
            assert_eq!(read::<FromProxy>(&mut from).await.unwrap(), Some(drained));
            assert_eq!(read::<FromProxy>(&mut from).await.unwrap(), None);
        });
    }

    #[test]
    fn a_frame_that_is_too_long_cut_off_or_not_a_message_is_an_error() {
        for bytes in [
            &[0xff, 0xff, 0xff, 0xff][..],
            &[0, 0, 0, 9, b'{'],
            &[0, 0],
            b"\0\0\0\x02{}",
        ] {
            block(async {
                assert!(
                    read::<FromProxy>(&mut &bytes[..]).await.is_err(),
                    "{bytes:?}"
                );
            });
        }
    }
}
