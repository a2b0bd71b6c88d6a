//! The status codes of gRPC (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>), as far as
//! they are ours to give or to judge by.

pub(crate) const UNKNOWN: u8 = 2;
pub(crate) const DEADLINE_EXCEEDED: u8 = 4;
pub(crate) const RESOURCE_EXHAUSTED: u8 = 8;
pub(crate) const UNIMPLEMENTED: u8 = 12;
pub(crate) const INTERNAL: u8 = 13;
pub(crate) const UNAVAILABLE: u8 = 14;
pub(crate) const DATA_LOSS: u8 = 15;

/// Whether a status says that the service failed, as 5xx does, and not that the caller asked for
/// what cannot be.
pub(crate) fn is_failure(status: u8) -> bool {
    matches!(
        status,
        UNKNOWN | DEADLINE_EXCEEDED | UNIMPLEMENTED | INTERNAL | UNAVAILABLE | DATA_LOSS
    )
}
