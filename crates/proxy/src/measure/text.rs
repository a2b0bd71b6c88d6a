//! The text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Arguments, Display, Write};

use super::histogram::Histogram;
use super::sample::{Kind, Labels, Number, bounds};

/// What is written so far.
#[derive(Debug)]
pub(super) struct TextPage {
    out: String,
    /// The family that samples belong to.
    name: String,
    kind: Kind,
}

impl TextPage {
    pub(super) fn new() -> Self {
        Self {
            out: String::new(),
            name: String::new(),
            kind: Kind::Gauge,
        }
    }

    /// Begins a family of samples.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let text = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::NativeHistogram => "summary",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {text}"));
        (self.name, self.kind) = (name.to_owned(), kind);
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: Number) {
        self.named("", labels, None, value);
    }

    /// A histogram of the family.
    pub(super) fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let total = histogram.count();
        if self.kind == Kind::Histogram {
            for (bound, doublings) in bounds() {
                let count = histogram.within(doublings);
                self.named("_bucket", labels, Some(&bound), count);
            }
            self.named("_bucket", labels, Some(&"+Inf"), total);
        }
        self.named("_sum", labels, None, histogram.sum().as_secs_f64());
        self.named("_count", labels, None, total);
    }

    /// A line of the family; `bound` is where its bucket ends, where it is one.
    fn named(
        &mut self,
        suffix: &str,
        labels: &Labels<'_>,
        bound: Option<&dyn Display>,
        value: impl Display,
    ) {
        self.out.push_str(&self.name);
        self.out.push_str(suffix);
        let mut before = '{';
        for (label, text) in labels {
            self.write(format_args!("{before}{label}=\""));
            self.escaped(text);
            self.out.push('"');
            before = ',';
        }
        if let Some(bound) = bound {
            self.write(format_args!("{before}le=\"{bound}\""));
            before = ',';
        }
        if before == ',' {
            self.out.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// The value of a label. Names of apps and services have nothing to escape, but routes may.
    fn escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                other => self.out.push(other),
            }
        }
    }

    fn line(&mut self, text: Arguments<'_>) {
        self.write(text);
        self.out.push('\n');
    }

    fn write(&mut self, text: Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(text);
    }

    /// All of it.
    pub(super) fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn samples_are_as_the_documentation_has_them() {
        let mut page = TextPage::new();
        page.family("a", Kind::Gauge, "What a is.");
        page.sample(&[], Number::Real(0.5));
        page.sample(&[("b", "one \"two\"\\\n"), ("c", "…")], Number::Whole(3));
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_micros(500));
        histogram.record(Duration::from_secs(100));
        page.family("d_seconds", Kind::NativeHistogram, "How long.");
        page.histogram(&[], &histogram);
        page.family("e_seconds", Kind::Histogram, "How long.");
        page.histogram(&[("b", "x")], &histogram);
        let text = String::from_utf8(page.finish()).unwrap();
        let (start, buckets) = text.split_at(text.find("# HELP e").unwrap());
        let expected = "# HELP a What a is.\n# TYPE a gauge\na 0.5\n\
            a{b=\"one \\\"two\\\"\\\\\\n\",c=\"…\"} 3\n\
            # HELP d_seconds How long.\n# TYPE d_seconds summary\n\
            d_seconds_sum 100.0005\nd_seconds_count 2\n";
        assert_eq!(start, expected);
        let buckets: Vec<&str> = buckets.lines().skip(2).collect();
        assert_eq!(buckets.len(), 18 + 3);
        assert_eq!(buckets[0], "e_seconds_bucket{b=\"x\",le=\"0.0005\"} 1");
        assert_eq!(buckets[17], "e_seconds_bucket{b=\"x\",le=\"65.536\"} 1");
        assert_eq!(buckets[18], "e_seconds_bucket{b=\"x\",le=\"+Inf\"} 2");
        assert_eq!(buckets[20], "e_seconds_count{b=\"x\"} 2");
    }
}
