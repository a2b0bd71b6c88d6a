//! Roadbed's data plane: one process that accepts connections, routes requests and relays them.
//!
//! A control thread holds the link to the server, the sockets and the snapshot on disk. Each
//! worker thread serves connections of its own from its own view of the snapshot and shares
//! nothing with the others while it does, but for limits of rates. The proxy outlives the server and starts without it.

mod balance;
mod buffers;
mod compress;
mod control;
mod dial;
mod failure;
pub mod files;
mod hedge;
pub mod http;
pub mod http1;
pub mod http2;
pub mod limits;
pub mod measure;
mod messages;
mod mirror;
mod persist;
mod protobuf;
pub mod protocol;
mod rate_limit;
mod retry;
pub mod routing;
mod serve;
mod settings;
mod socket;
mod start;
mod tcp;
pub mod telemetry;
mod tls;
mod translate;
mod tunnel;
mod upstream;
mod worker;

pub use failure::StartError;
pub use limits::Limits;
pub use settings::Settings;
pub use start::{is_running, run};
