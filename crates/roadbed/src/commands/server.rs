//! `roadbed server`: the server itself.

use std::process::ExitCode;

use control::{Settings, StartError};

use crate::arguments::Server;
use crate::commands::logging;
use crate::context::Context;
use crate::failure::Failure;
use crate::server_process::{self, Edge};

pub(crate) fn run(server: &Server, context: &Context) -> Result<ExitCode, Failure> {
    if server.background {
        // A terminal that closes must not take the server with it. It fails only in a process
        // that leads a group, and then there is nothing to leave.
        let _ = rustix::process::setsid();
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
    let kept = server.kept.or_else(|| context.home.kept_releases());
    let kept = kept.map_err(|error| {
        Failure::new(error.to_string()).hint(
            "say how many releases are kept, by `--keep-releases` and `--releases-disk`, or remove \
             that file to have the usual",
        )
    })?;
    let settings = Settings {
        home: context.home.clone(),
        socket: context.socket.clone(),
        edge: context.edge(server.edge, server.edge_tls),
        trusted: context.trusted_hops(server.trusted_hops.as_ref()),
        metrics: context.metrics(server.metrics),
        telemetry: context.telemetry(&server.telemetry),
        kept,
        program,
    };
    // Before the log, which is in the home: a home of somebody else's is left as it is.
    let lock = settings
        .home
        .take()
        .map_err(|error| start_failure(error.into()))?;
    let remembered = settings.home.remember_edge(settings.edge);
    remembered.map_err(|error| start_failure(error.into()))?;
    let remembered = settings.home.remember_trusted_hops(&settings.trusted);
    remembered.map_err(|error| start_failure(error.into()))?;
    let remembered = settings.home.remember_metrics(settings.metrics);
    remembered.map_err(|error| start_failure(error.into()))?;
    let remembered = settings.home.remember_telemetry(&settings.telemetry);
    remembered.map_err(|error| start_failure(error.into()))?;
    let remembered = settings.home.remember_kept_releases(settings.kept);
    remembered.map_err(|error| start_failure(error.into()))?;
    logging::start(server.background.then(|| context.home.server_logs()))?;
    // No reason not to start: apps can run and call each other, and the address may become free.
    if let Err(failure) = server_process::check_edge(context, Edge::Plain(settings.edge.plain)) {
        tracing::warn!("{}", failure.in_one_line());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    match runtime.block_on(control::run(settings, lock)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            tracing::error!(%error, "the server cannot go on");
            Err(start_failure(error))
        }
    }
}

fn start_failure(error: StartError) -> Failure {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !message.contains(&cause_text) {
            message.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    let failure = Failure::new(message);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure.hint("`roadbed doctor` looks for the reason"),
    }
}
