//! What was asked of a server that runs already, of single requests.

use control::status::ServerStatus;

use crate::arguments::{Telemetry, Traces};
use crate::failure::Failure;

impl Telemetry {
    /// Whether nothing is asked.
    pub(crate) fn says_nothing(&self) -> bool {
        self.access_log.is_none() && self.traces.is_none() && self.trace_share.is_none()
    }

    /// Checks that a server that runs does what is asked.
    pub(crate) fn check_running(&self, server: &ServerStatus) -> Result<(), Failure> {
        if let Some(wanted) = self.access_log
            && wanted.to_string() != server.access_log
        {
            let present = format!("with an access log of {}", server.access_log);
            return Err(other(&present, "--access-log"));
        }
        // As `Tracing` is shown: the share, and at its end the collector.
        let present = server.traces.as_deref().unwrap_or_default();
        let is_other = match &self.traces {
            None => false,
            Some(Traces::Off) => !present.is_empty(),
            Some(Traces::To(collector)) => !present.ends_with(&format!(" {collector}")),
        };
        let share = self.trace_share.map(|share| format!("{share} "));
        let is_other = is_other || share.is_some_and(|share| !present.starts_with(&share));
        if is_other {
            let present = match present {
                "" => "and sends no traces".to_owned(),
                present => format!("and sends {present}"),
            };
            return Err(other(&present, "--traces and --trace-share"));
        }
        Ok(())
    }
}

fn other(present: &str, option: &str) -> Failure {
    Failure::new(format!("a server runs already, {present}")).hint(format!(
        "leave {option} out, or end that server by its pid in `roadbed status`, without its apps, and \
         start another with `roadbed server {option} …`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(access_log: &str, traces: Option<Traces>, share: Option<&str>) -> Telemetry {
        Telemetry {
            access_log: Some(access_log.parse().unwrap()),
            traces,
            trace_share: share.map(|share| share.parse().unwrap()),
        }
    }

    #[test]
    fn a_server_that_does_as_asked_is_fine_and_another_is_not() {
        let to = |text: &str| Some(Traces::To(text.parse().unwrap()));
        let here = "http://127.0.0.1:4318";
        let quiet = ServerStatus {
            access_log: "off".to_owned(),
            ..ServerStatus::default()
        };
        let telling = ServerStatus {
            access_log: "5%".to_owned(),
            traces: Some("10% of traces to http://127.0.0.1:4318/v1/traces".to_owned()),
            ..ServerStatus::default()
        };
        for (asked, server, is_fine) in [
            (asked("off", None, None), &quiet, true),
            (asked("all", None, None), &quiet, false),
            (asked("off", Some(Traces::Off), None), &quiet, true),
            (asked("off", to(here), None), &quiet, false),
            (asked("5%", to(here), Some("10%")), &telling, true),
            (asked("5%", to(here), Some("1%")), &telling, false),
            (asked("5%", to("http://127.0.0.1:9"), None), &telling, false),
            (asked("5%", Some(Traces::Off), None), &telling, false),
        ] {
            assert_eq!(asked.check_running(server).is_ok(), is_fine, "{asked:?}");
        }
    }
}
