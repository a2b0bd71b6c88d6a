//! One file for each command, and what several of them share.

pub(crate) mod check;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod proxy;
pub(crate) mod releases;
pub(crate) mod rollback;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod up;

mod access_log;
mod build;
mod log_lines;
mod logging;
mod request;
mod send;
mod top_frame;
mod top_live;
mod top_look;
mod top_view;
mod watched;
mod wrap;

use crate::failure::Failure;

/// A runtime for a command that asks the server: one thread is enough.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))
}
