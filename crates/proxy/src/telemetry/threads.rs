//! The threads that write the access log and send spans.

use std::io;
use std::sync::Arc;

use super::Queues;
use super::export::{Exporter, Target};
use super::files::LogFiles;
use super::queue::{Batch, Delivery, Emptying};
use crate::limits::TELEMETRY_END;
use crate::settings::Settings;

/// Both threads.
#[derive(Debug)]
pub(crate) struct Threads {
    lines: Emptying,
    spans: Emptying,
    target: Target,
}

/// What the control thread knows of them.
#[derive(Debug, Clone)]
pub(crate) struct FarEnd {
    /// What became of lines of the access log.
    pub(crate) lines: Arc<Delivery>,
    /// What became of spans.
    pub(crate) spans: Arc<Delivery>,
    /// Where spans are sent.
    pub(crate) target: Target,
}

impl Threads {
    /// Starts them. They wait until there is something to do.
    pub(crate) fn start(settings: &Settings) -> io::Result<Self> {
        let target = Target::default();
        let mut log = Log {
            files: LogFiles::new(settings.access_log_folder()),
            is_failing: false,
        };
        let mut exporter = Exporter::new(target.clone());
        Ok(Self {
            lines: Emptying::start("access-log", move |batch| log.write(batch))?,
            spans: Emptying::start("span-export", move |batch| exporter.send(batch))?,
            target,
        })
    }

    /// Where workers put lines and spans.
    pub(crate) fn queues(&self) -> Queues {
        Queues {
            lines: self.lines.queue.clone(),
            spans: self.spans.queue.clone(),
        }
    }

    /// What the control thread knows of them.
    pub(crate) fn far_end(&self) -> FarEnd {
        FarEnd {
            lines: self.lines.delivery.clone(),
            spans: self.spans.delivery.clone(),
            target: self.target.clone(),
        }
    }

    /// Gives them a moment for what was handed over, when the workers have ended.
    pub(crate) fn finish(self) {
        self.lines.finish(TELEMETRY_END);
        self.spans.finish(TELEMETRY_END);
    }
}

/// The access log, which says once that it cannot be written, until it can.
struct Log {
    files: LogFiles,
    is_failing: bool,
}

impl Log {
    fn write(&mut self, batch: &Batch) -> bool {
        let written = self.files.append(&batch.bytes);
        match &written {
            Err(error) if !self.is_failing => {
                tracing::warn!(%error, "the access log cannot be written; trying on");
            }
            Ok(()) if self.is_failing => tracing::info!("the access log is written again"),
            _ => {}
        }
        self.is_failing = written.is_err();
        written.is_ok()
    }
}
