//! A page in the text format of Prometheus, version 0.0.4, as it is written.

use std::fmt::{Display, Write};

use model::UpstreamId;

use super::histogram::Histogram;
use super::text::{Report, services};
use super::totals::Totals;

/// Half a millisecond is doubled so often for the bounds of the buckets, up to 65.536 s.
const LAST_BOUND: u32 = 17;

/// What is written so far.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// Begins a family of samples.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A family with a sample for each service.
    pub(super) fn each(
        &mut self,
        report: &Report<'_>,
        name: &str,
        kind: &str,
        help: &str,
        number: impl Fn(&Totals) -> u64,
    ) {
        self.family(name, kind, help);
        for (id, totals) in services(report) {
            self.of(name, id, None, number(totals));
        }
    }

    /// A family of histograms, of the services that had requests.
    pub(super) fn histograms(
        &mut self,
        report: &Report<'_>,
        name: &str,
        help: &str,
        histogram: impl Fn(&Totals) -> &Histogram,
    ) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (id, totals) in services(report) {
            let histogram = histogram(totals);
            let total = histogram.count();
            if total == 0 {
                continue;
            }
            for doublings in 0..=LAST_BOUND {
                // Half a millisecond is the 2,000th part of a second.
                let bound = (1_u64 << doublings) as f64 / 2000.0;
                let bound = bound.to_string();
                let label = Some(("le", bound.as_str()));
                self.of(&bucket, id, label, histogram.within(doublings));
            }
            self.of(&bucket, id, Some(("le", "+Inf")), total);
            self.of(
                &format!("{name}_sum"),
                id,
                None,
                histogram.sum().as_secs_f64(),
            );
            self.of(&format!("{name}_count"), id, None, total);
        }
    }

    /// A sample of a service.
    pub(super) fn of(
        &mut self,
        name: &str,
        id: &UpstreamId,
        label: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let of = [("app", id.app.as_str()), ("service", id.service.as_str())];
        match label {
            None => self.sample(name, &of, value),
            Some(label) => self.sample(name, &[of[0], of[1], label], value),
        }
    }

    /// A sample. Names of apps and services have no character that would have to be escaped.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        let mut before = '{';
        for (label, text) in labels {
            self.write(format_args!("{before}{label}=\"{text}\""));
            before = ',';
        }
        self.line(format_args!("}} {value}"));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.write(text);
        self.0.push('\n');
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(text);
    }
}
