//! `roadbed proxy`: the data plane, as the server starts it.

use std::process::ExitCode;

use crate::arguments::Proxy;
use crate::commands::logging;
use crate::context::Context;
use crate::failure::Failure;

pub(crate) fn run(proxy: &Proxy, context: &Context) -> Result<ExitCode, Failure> {
    context.home.check()?;
    logging::start(None)?;
    let mut settings = proxy::Settings::new(context.home.path());
    settings.workers = proxy.workers.map_or(0, usize::from);
    settings.metrics = proxy.metrics;
    match proxy::run(settings) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(error.to_string())
            .hint("the server starts a proxy by itself; `roadbed status` shows whether it runs")),
    }
}
