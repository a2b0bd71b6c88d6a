//! `roadbed`: the one program. Reads its arguments and runs one command; each has a file of its own
//! under `commands/`.

mod api_client;
mod arguments;
mod commands;
mod context;
mod failure;
mod follow;
mod output;
mod port_holder;
mod screen;
mod server_process;
mod telemetry_options;
mod terminal;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use context::Context;
use failure::Failure;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // Before anything else: a shim must have one thread, and wants nothing of the rest.
    if words.next().is_some_and(|word| word == "shim")
        && let (Some(folder), None) = (words.next(), words.next())
    {
        return runner::shim::main(Path::new(&folder));
    }
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let context = Context::resolve(arguments.home)?;
    match arguments.command {
        Command::Check(check) => commands::check::run(&check),
        Command::Plan(plan) => commands::plan::run(&plan, &context),
        Command::Up(up) => commands::up::run(&up, &context),
        Command::Deploy(deploy) => commands::deploy::run(&deploy, &context),
        Command::Releases(releases) => commands::releases::run(&releases, &context),
        Command::Rollback(rollback) => commands::rollback::run(&rollback, &context),
        Command::Status(status) => commands::status::run(&status, &context),
        Command::Top(top) => commands::top::run(&top, &context),
        Command::Logs(logs) => commands::logs::run(&logs, &context),
        Command::Down(down) => commands::down::run(&down, &context),
        Command::Doctor(doctor) => commands::doctor::run(&doctor, &context),
        Command::Server(server) => commands::server::run(&server, &context),
        Command::Proxy(proxy) => commands::proxy::run(&proxy, &context),
    }
}
