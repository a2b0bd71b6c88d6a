//! One connection to one proxy: sends it what is published and notes what it says.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use model::Snapshot;
use proxy::protocol::{self, FromProxy, PROTOCOL, ToProxy};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::counting::Answer;
use super::{Connected, Registry};

/// How long a proxy may take to say hello.
const LONGEST_HELLO: Duration = Duration::from_secs(10);

/// How long a proxy may take to read one message. One that takes longer hangs: its link ends, so
/// that it counts as absent and not as one that is about to acknowledge.
const LONGEST_WRITE: Duration = Duration::from_secs(30);

/// How many questions a proxy may leave open. Another is put half a second after the last at the
/// soonest, so that one with so many does not answer at all.
const MOST_QUESTIONS: usize = 256;

/// How many proxies may be connected at once.
const MOST_LINKS: usize = 64;

/// Listens for proxies at `socket`, replacing what an earlier server left there.
pub(crate) fn listen(
    socket: &Path,
    published: watch::Receiver<Arc<Snapshot>>,
    registry: Arc<Registry>,
) -> io::Result<()> {
    let listener = bind_private(socket)?;
    tokio::spawn(async move {
        let places = Arc::new(tokio::sync::Semaphore::new(MOST_LINKS));
        let next = AtomicU64::new(1);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let link = next.fetch_add(1, Ordering::Relaxed);
                    let (published, registry) = (published.clone(), Arc::clone(&registry));
                    tokio::spawn(async move {
                        if let Err(error) = serve(link, stream, published, &registry).await {
                            tracing::warn!(%error, "the link to a proxy broke");
                        }
                        registry.change(|connected| connected.remove(&link));
                        registry.counting.leave(link);
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "cannot accept a proxy's connection");
                    // Accepting fails when files run out; to try again at once would spin.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

/// A Unix socket that only this user can connect to, in place of one that a server left behind.
/// What is no socket, or one at which somebody answers, is not replaced.
pub(crate) fn bind_private(socket: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => {
            let error = "there is something else than a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(socket).is_ok() => {
            let error = "another server answers there";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, error));
        }
        Ok(_) => fs::remove_file(socket)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(
    link: u64,
    stream: UnixStream,
    mut published: watch::Receiver<Arc<Snapshot>>,
    registry: &Registry,
) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let hello = timeout(LONGEST_HELLO, protocol::read(&mut from)).await??;
    match hello {
        Some(FromProxy::Hello {
            protocol: PROTOCOL,
            pid,
            generation,
        }) => {
            tracing::info!(pid, ?generation, "a proxy connected");
            let said = Connected {
                pid,
                has: generation,
                ..Connected::default()
            };
            registry.change(|connected| connected.insert(link, said));
        }
        Some(FromProxy::Hello { protocol, .. }) => {
            let message = format!("a proxy speaks version {protocol}, this server {PROTOCOL}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a proxy did not say hello",
            ));
        }
    }
    let mut asked = registry.counting.join(link);
    // Questions that are not answered yet: a proxy answers them in their order.
    let (question_put, mut questions) = mpsc::channel(MOST_QUESTIONS);
    // What a proxy refused is no ground for a delta.
    let refused = AtomicBool::new(false);
    let hearing = async {
        while let Some(message) = protocol::read(&mut from).await? {
            match message {
                FromProxy::Counted {
                    upstreams,
                    connections,
                    metrics,
                } => {
                    let question = questions.try_recv().map_err(|_| {
                        let error = "a proxy said what it counted and was not asked";
                        io::Error::new(io::ErrorKind::InvalidData, error)
                    })?;
                    let answer = Answer {
                        question,
                        upstreams,
                        connections,
                        metrics,
                    };
                    registry.counting.answered(link, answer);
                }
                FromProxy::Refused { .. } => {
                    refused.store(true, Ordering::Relaxed);
                    hear(link, message, registry);
                }
                _ => hear(link, message, registry),
            }
        }
        Ok(())
    };
    let telling = async {
        let mut sent = Arc::clone(&published.borrow_and_update());
        tell(&mut to, &ToProxy::Snapshot((*sent).clone())).await?;
        loop {
            tokio::select! {
                changed = published.changed() => match changed {
                    Ok(()) => {}
                    Err(_) => return Ok(()),
                },
                Ok(()) = asked.changed() => {
                    question_put.try_send(*asked.borrow_and_update()).map_err(|_| {
                        let error = "a proxy does not say what it counted";
                        io::Error::new(io::ErrorKind::TimedOut, error)
                    })?;
                    tell(&mut to, &ToProxy::Count).await?;
                    continue;
                }
            }
            let next = Arc::clone(&published.borrow_and_update());
            let message = match refused.swap(false, Ordering::Relaxed) {
                true => ToProxy::Snapshot((*next).clone()),
                false => ToProxy::Delta(sent.delta_to(&next)),
            };
            tell(&mut to, &message).await?;
            sent = next;
        }
    };
    tokio::select! {
        ended = hearing => ended,
        ended = telling => ended,
    }
}

async fn tell(to: &mut OwnedWriteHalf, message: &ToProxy) -> io::Result<()> {
    timeout(LONGEST_WRITE, protocol::write(to, message)).await?
}

fn hear(link: u64, message: FromProxy, registry: &Registry) {
    registry.change(|connected| {
        let Some(proxy) = connected.get_mut(&link) else {
            return;
        };
        match message {
            FromProxy::Acknowledged {
                generation,
                listener_failures,
                busy,
            } => {
                proxy.acknowledged = Some(generation);
                proxy.listener_failures = listener_failures;
                proxy.busy = busy;
            }
            FromProxy::Drained { instance } => {
                proxy.busy.remove(&instance);
            }
            FromProxy::Refused { offered, current } => {
                tracing::error!(pid = proxy.pid, %offered, %current, "a proxy refused a snapshot");
                proxy.has = Some(current);
            }
            // Heard by whoever asked.
            FromProxy::Counted { .. } => {}
            FromProxy::Hello { .. } => {
                tracing::warn!(pid = proxy.pid, "a proxy said hello twice");
            }
        }
    });
}
