//! The files of releases: packed from an app's folder, kept by their content, and unpacked to be run.
//!
//! Whoever deploys packs ([`pack`]): the result is a [`Manifest`], in which each file has a path and
//! a digest. The server keeps contents ([`Contents`]), each once, is sent those that it lacks
//! ([`transfer`]), and unpacks a manifest into a folder of its own for each release ([`unpack`]).

mod cache;
mod contents;
mod difference;
mod digest;
mod error;
mod files;
pub mod limits;
mod manifest;
mod named;
mod pack;
mod program;
mod too_much;
pub mod transfer;
mod unpack;
mod walk;

pub use contents::{Batch, ContentError, Contents};
pub use difference::{Difference, FileChange, difference};
pub use digest::digest_of;
pub use error::PackError;
pub use files::{free_space, on_disk};
pub use manifest::{BadManifest, BadPackedPath, Manifest, Packed, PackedPath};
pub use named::{Named, named};
pub use pack::{Pack, Places, pack};
pub use too_much::Most;
pub use unpack::unpack;
