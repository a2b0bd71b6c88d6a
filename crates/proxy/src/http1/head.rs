//! Reading the head of an answer, whoever it is for.

use std::cell::Cell;

use super::fields::head_end;
use crate::buffers::Pooled;
use crate::http::gateway_error::GatewayError;
use crate::http::phases::NoAnswer;
use crate::limits::HEAD_BYTES;
use crate::retry::Heard;
use crate::socket::Socket;
use crate::worker::Worker;

/// Reads until a whole head is in the buffer, which is taken when its first byte arrives.
pub(crate) async fn read_one(
    worker: &Worker,
    backend: &Socket,
    incoming: &mut Option<Pooled>,
    heard: &Cell<Heard>,
) -> Result<usize, NoAnswer> {
    let closed = NoAnswer::Failed(GatewayError::BackendClosed);
    let buffer = match incoming {
        Some(buffer) => buffer,
        None => match backend.read_first(&worker.buffers).await {
            Ok(Some(first)) => {
                heard.set(heard.get().max(Heard::Something));
                incoming.insert(first)
            }
            Ok(None) | Err(_) => return Err(closed),
        },
    };
    let mut scanned = 0;
    loop {
        match head_end(buffer.bytes(), scanned) {
            Ok(Some(end)) => return Ok(end),
            Ok(None) => scanned = buffer.bytes().len(),
            Err(refusal) => return Err(NoAnswer::Failed(GatewayError::BadResponse(refusal))),
        }
        if buffer.is_full() {
            buffer.grow(HEAD_BYTES + 1);
        }
        match backend.read(buffer).await {
            Ok(0) | Err(_) => return Err(closed),
            Ok(_) => heard.set(heard.get().max(Heard::Something)),
        }
    }
}
