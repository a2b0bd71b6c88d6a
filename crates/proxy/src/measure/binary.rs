//! The format of Prometheus in Protocol Buffers, which alone has native histograms: messages
//! `io.prometheus.client.MetricFamily`, each behind its length
//! (<https://github.com/prometheus/client_model>).

use super::histogram::Histogram;
use super::native::{Native, SCHEMA, ZERO_THRESHOLD};
use super::sample::{Kind, Labels, Number, bounds};
use crate::protobuf::{Message, delimited};

/// Fields of `MetricFamily`, of `Metric`, and the numbers of `MetricType`.
mod fields {
    pub(super) const NAME: u32 = 1;
    pub(super) const HELP: u32 = 2;
    pub(super) const TYPE: u32 = 3;
    pub(super) const METRIC: u32 = 4;

    pub(super) const LABEL: u32 = 1;
    pub(super) const GAUGE: u32 = 2;
    pub(super) const COUNTER: u32 = 3;
    pub(super) const HISTOGRAM: u32 = 7;

    pub(super) const TYPE_COUNTER: u64 = 0;
    pub(super) const TYPE_GAUGE: u64 = 1;
    pub(super) const TYPE_HISTOGRAM: u64 = 4;
}

/// What is written so far.
#[derive(Debug)]
pub(super) struct BinaryPage {
    out: Vec<u8>,
    /// The family that is being written, whose length is not known yet.
    family: Vec<u8>,
    kind: Kind,
}

impl BinaryPage {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::new(),
            family: Vec::new(),
            kind: Kind::Gauge,
        }
    }

    /// Begins a family of samples.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.end_family();
        self.kind = kind;
        let mut message = Message::new(&mut self.family);
        message.bytes(fields::NAME, name.as_bytes());
        message.bytes(fields::HELP, help.as_bytes());
        let number = match kind {
            Kind::Counter => fields::TYPE_COUNTER,
            Kind::Gauge => fields::TYPE_GAUGE,
            Kind::Histogram | Kind::NativeHistogram => fields::TYPE_HISTOGRAM,
        };
        message.some_number(fields::TYPE, number);
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, labels: &Labels<'_>, value: Number) {
        let field = match self.kind {
            Kind::Counter => fields::COUNTER,
            _ => fields::GAUGE,
        };
        self.metric(labels, |metric| {
            metric.message(field, |of| of.double(1, value.as_real()));
        });
    }

    /// A histogram of the family.
    pub(super) fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let has_bounds = self.kind == Kind::Histogram;
        self.metric(labels, |metric| {
            metric.message(fields::HISTOGRAM, |message| {
                message.some_number(1, histogram.count());
                message.double(2, histogram.sum().as_secs_f64());
                if has_bounds {
                    write_bounds(message, histogram);
                }
                write_native(message, &Native::of(histogram));
            });
        });
    }

    fn metric(&mut self, labels: &Labels<'_>, write: impl FnOnce(&mut Message<'_>)) {
        Message::new(&mut self.family).message(fields::METRIC, |metric| {
            for (name, value) in labels {
                metric.message(fields::LABEL, |label| {
                    label.bytes(1, name.as_bytes());
                    label.bytes(2, value.as_bytes());
                });
            }
            write(metric);
        });
    }

    fn end_family(&mut self) {
        if !self.family.is_empty() {
            delimited(&mut self.out, &self.family);
            self.family.clear();
        }
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_family();
        self.out
    }
}

/// The buckets that any reader knows. That without a bound has the count of all.
fn write_bounds(message: &mut Message<'_>, histogram: &Histogram) {
    let counts = bounds().map(|(bound, doublings)| (bound, histogram.within(doublings)));
    for (bound, count) in counts.chain([(f64::INFINITY, histogram.count())]) {
        message.message(3, |bucket| {
            bucket.some_number(1, count);
            bucket.double(2, bound);
        });
    }
}

fn write_native(message: &mut Message<'_>, native: &Native) {
    message.signed(5, SCHEMA.into());
    message.double(6, ZERO_THRESHOLD);
    message.some_number(7, native.zeros);
    for span in &native.spans {
        message.message(12, |message| {
            message.signed(1, span.offset.into());
            message.some_number(2, span.length.into());
        });
    }
    for delta in &native.deltas {
        message.signed(13, *delta);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_follow_each_other_behind_their_lengths() {
        let mut page = BinaryPage::new();
        page.family("a", Kind::Counter, "h");
        page.sample(&[("b", "c")], Number::Whole(1));
        page.family("d", Kind::NativeHistogram, "h");
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1));
        page.histogram(&[], &histogram);
        let one = 1.0_f64.to_le_bytes();
        let family = [
            &[0x0a, 1, b'a', 0x12, 1, b'h', 0x18, 0, 0x22, 19][..],
            &[0x0a, 6, 0x0a, 1, b'b', 0x12, 1, b'c', 0x1a, 9, 0x09],
            &one,
        ]
        .concat();
        let metric = [
            &[0x08, 2, 0x11][..],
            &one,
            &[0x28, 8, 0x31],
            &ZERO_THRESHOLD.to_le_bytes(),
            &[0x38, 1, 0x62, 4, 0x08, 2, 0x10, 1, 0x68, 2],
        ]
        .concat();
        let length = metric.len() as u8;
        let histogram = [
            &[
                0x0a,
                1,
                b'd',
                0x12,
                1,
                b'h',
                0x18,
                4,
                0x22,
                length + 2,
                0x3a,
                length,
            ][..],
            &metric,
        ]
        .concat();
        let expected = [
            &[family.len() as u8][..],
            &family,
            &[histogram.len() as u8],
            &histogram,
        ];
        assert_eq!(page.finish(), expected.concat());
    }
}
