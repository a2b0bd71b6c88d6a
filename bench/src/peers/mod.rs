//! Proxies side by side, as their packages have them, each with one worker, all in front of the
//! same backend.

mod ask;
mod certificate;
mod configuration;
pub(crate) mod echo;
pub(crate) mod h2load;
mod installed;
mod kind;
pub(crate) mod load;
pub(crate) mod member;
mod process;
mod protocol;
pub(crate) mod relay;
mod server;
mod stage;
mod wrk;

pub(crate) use ask::{Ask, Request};
pub(crate) use installed::{check, program};
pub(crate) use kind::{HOST, Kind};
pub(crate) use process::Process;
pub(crate) use protocol::Protocol;
pub(crate) use stage::{Proxy, Stage};
