//! Runs instances as processes: starts them under a shim that outlives the server, finds them
//! again, stops them, says how they ended, asks whether they are well, and keeps what they write.
//!
//! Nothing here decides: what to start, when to try again and when to stop is the caller's.

pub mod expand;
mod folder;
pub mod logs;
mod machine;
pub mod probe;
mod processes;
mod program;
pub mod shim;
mod unit;

pub use folder::Restart;
pub use processes::{
    AdoptError, Adopted, Launch, MARK_VARIABLE, Process, Processes, Swept, UNIT_VARIABLE,
};
pub use program::{LaunchError, Program};
pub use unit::{BadUnitName, UnitName};
