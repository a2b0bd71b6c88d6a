//! Bytes both ways, unread: TCP streams and connections that have changed protocol.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::buffers::Pooled;
use crate::measure::Meter;
use crate::socket::Socket;
use crate::worker::Worker;

/// Relays between `client` and `backend`, after what was already read from each, until both have
/// ended or one has failed. The end of one direction is passed on and leaves the other open. A
/// direction holds a buffer only while it has bytes in it.
pub(crate) async fn relay(
    worker: &Rc<Worker>,
    (received, sent): (Meter<'_>, Meter<'_>),
    (client, from_client): (&Socket, Option<Pooled>),
    (backend, from_backend): (&Socket, Option<Pooled>),
) {
    client.keep_alive();
    backend.keep_alive();
    let outcome = tokio::try_join!(
        one_way(worker, received, (client, backend), from_client),
        one_way(worker, sent, (backend, client), from_backend),
    );
    if outcome.is_err() {
        // Neither side may take this for an orderly end.
        client.reset_on_close();
        backend.reset_on_close();
    }
}

async fn one_way(
    worker: &Rc<Worker>,
    moved: Meter<'_>,
    (from, to): (&Socket, &Socket),
    read_already: Option<Pooled>,
) -> io::Result<()> {
    // A stream may pause for as long as its two ends like.
    const NO_LIMIT: Duration = Duration::MAX;
    if let Some(buffer) = read_already {
        to.write_all(buffer.bytes(), NO_LIMIT).await?;
        moved.add(buffer.bytes().len());
    }
    while let Some(buffer) = from.read_first(&worker.buffers).await? {
        to.write_all(buffer.bytes(), NO_LIMIT).await?;
        moved.add(buffer.bytes().len());
    }
    to.shutdown_write();
    Ok(())
}
