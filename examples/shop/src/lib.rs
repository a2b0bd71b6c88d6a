//! What the services of the shop share: settings, serving, calling each other, and the shapes of
//! what they tell each other.
//!
//! Nothing here knows of Roadbed: an instance gets `PORT`, the addresses of the services that it
//! calls and the folder for its data from its environment, and ends in good order on SIGTERM.

pub mod client;
pub mod goods;
pub mod serve;
pub mod settings;

use std::fmt::Display;
use std::process::ExitCode;

/// Runs a service to its end, on one thread for all connections. What goes wrong is printed in one line.
pub fn run<E: Display>(name: &str, service: impl Future<Output = Result<(), E>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
