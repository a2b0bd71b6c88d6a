//! Where server and proxy say what they do: standard error, or a bounded log on disk.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use control::LOG_FILTER_VARIABLE;
use runner::UNIT_VARIABLE;
use runner::logs::{LogLimits, LogWriter, Stream};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::failure::Failure;
use crate::terminal;

/// Begins to log: to the log in `folder`, or to standard error.
pub(super) fn start(folder: Option<PathBuf>) -> Result<(), Failure> {
    let filter = match std::env::var(LOG_FILTER_VARIABLE) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::usage(format!("{LOG_FILTER_VARIABLE} is {text:?}: {error}"))
        })?,
        _ => EnvFilter::new("info"),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false);
    match folder {
        Some(folder) => {
            let log = LogWriter::open(&folder, LogLimits::default()).map_err(|error| {
                Failure::new(format!(
                    "cannot keep a log in {}: {error}",
                    folder.display()
                ))
            })?;
            let log = OnDisk(Arc::new(Mutex::new(log)));
            // The log has the time of each line already.
            builder
                .with_ansi(false)
                .without_time()
                .with_writer(log)
                .init();
            log_panics();
        }
        // A shim stamps each line itself.
        None if std::env::var_os(UNIT_VARIABLE).is_some() => builder
            .with_ansi(false)
            .without_time()
            .with_writer(io::stderr)
            .init(),
        None => builder
            .with_ansi(terminal::colour_on_stderr())
            .with_writer(io::stderr)
            .init(),
    }
    Ok(())
}

/// In the background nobody sees standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

#[derive(Clone)]
struct OnDisk(Arc<Mutex<LogWriter>>);

impl Write for OnDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.write(Stream::Stderr, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for OnDisk {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
