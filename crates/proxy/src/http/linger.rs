//! Ending a connection so that its other end can read what it was told.

use std::rc::Rc;

use crate::buffers::Buffers;
use crate::limits::Limits;
use crate::socket::Socket;

/// Ends our side of a connection and drops what the other still sends, for a while: closing with
/// bytes unread would reset the connection and destroy what is on its way.
pub(crate) async fn linger(socket: &Socket, buffers: &Rc<Buffers>, limits: &Limits) {
    socket.shutdown_write();
    let mut left = limits.linger_bytes;
    let dropping = async {
        while left > 0
            && let Ok(Some(buffer)) = socket.read_first(buffers).await
        {
            left = left.saturating_sub(buffer.bytes().len());
        }
    };
    // Either way the connection is closed now.
    let _ = tokio::time::timeout(limits.linger, dropping).await;
}
