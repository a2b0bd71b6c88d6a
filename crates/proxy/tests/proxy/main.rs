//! The real proxy, as its own process, between clients, backends and a server's end of the link.

mod http;
mod memory;
mod snapshots;
mod strict;
mod support;
mod tcp;
