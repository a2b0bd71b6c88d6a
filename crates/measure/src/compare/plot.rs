//! A comparison as a picture: SVG that stands alone, is read by screen readers and follows the
//! colours of a light or a dark page.
//!
//! Above, the latency of both arms by percentile, so that the tail has as much room as the middle.
//! Below, on the same axis, the ratio of the two with its confidence sequence.

mod axis;

use std::fmt::Write;

use super::lanes::Lane;
use super::sentence::{count, percent, sentence};
use super::table::{milliseconds, ratio_of};

use super::{Comparison, Judgement, LaneJudgement, Latencies, Names};
use axis::{Axis, latency_ticks, ratio_ticks};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 640.0;
/// Where the picture of latencies is, from top to bottom, and that of ratios.
const LATENCIES: (f64, f64) = (84.0, 350.0);
const RATIOS: (f64, f64) = (402.0, 536.0);
/// A percentile is drawn as far as so many requests exceed it: beyond, it hangs on single ones.
const EXCEEDING: f64 = 10.0;
/// Faster requests are not drawn: a single one would take the room of the others.
const FASTEST: f64 = 0.01;
/// Percentiles with a line, where there are as many.
const PERCENTILES: [(f64, &str); 6] = [
    (FASTEST, "p1"),
    (0.5, "p50"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
];

/// Blue and vermilion are told apart by people who see few colours, and so are lines with and
/// without gaps.
const STYLE: &str = "\
.page{fill:#fff}.ink{fill:#1b1f24}.soft{fill:#57606a}.line{stroke:#d0d7de}\
.even{stroke:#57606a}.margin{stroke:#1a7f37}.good{fill:#1a7f37}\
.baseline{stroke:#0072b2}.candidate{stroke:#c2410c}\
.of-baseline{fill:#0072b2}.of-candidate{fill:#c2410c}\
@media(prefers-color-scheme:dark){.page{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9198a1}\
.line{stroke:#30363d}.even{stroke:#9198a1}.margin{stroke:#3fb950}.good{fill:#3fb950}\
.baseline{stroke:#58b4f0}.candidate{stroke:#ff9e64}\
.of-baseline{fill:#58b4f0}.of-candidate{fill:#ff9e64}}\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\
.head{font-weight:600}.small{font-size:11.5px}path,line{fill:none;stroke-width:1}\
.margin{stroke-width:2}.baseline,.candidate{stroke-width:2;stroke-linejoin:round}.gaps{stroke-dasharray:7 4}";

/// The picture of a comparison, as a file of SVG.
pub fn svg(comparison: &Comparison, judgement: &Judgement, names: Names<'_>) -> String {
    let picture = Picture {
        comparison,
        judgement,
        names,
        percentiles: percentiles(comparison, judgement),
    };
    let mut svg = picture.opening();
    picture.latencies(&mut svg);
    picture.ratios(&mut svg);
    svg += "</svg>\n";
    svg
}

struct Picture<'a> {
    comparison: &'a Comparison,
    judgement: &'a Judgement,
    names: Names<'a>,
    /// From the fastest that is drawn to the last percentile that is known.
    percentiles: Axis,
}

/// The place of a percentile: each factor of ten in what exceeds it has the same room.
fn place(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// As far as the arm with more requests is known, and all ratios that are.
fn percentiles(comparison: &Comparison, judgement: &Judgement) -> Axis {
    let counts = comparison.latencies().map(Latencies::count);
    let most = counts.baseline.max(counts.candidate) as f64;
    let known = judgement.lanes.iter().filter(|lane| is_known(lane));
    let known = known.filter_map(|lane| lane.lane.quantile().map(place));
    let last = known.fold((most / EXCEEDING).max(1.0).log10(), f64::max);
    Axis::linear((place(FASTEST), last.clamp(1.0, 4.0) + 0.1), (LEFT, RIGHT))
}

fn is_known(lane: &LaneJudgement) -> bool {
    lane.lane != Lane::Errors && lane.ratio.estimate.is_some()
}

impl Picture<'_> {
    fn opening(&self) -> String {
        let [baseline, candidate] = [self.names.baseline, self.names.candidate].map(escaped);
        let said = sentence(self.judgement, self.names);
        let ratios = self.judgement.lanes.iter().filter(|lane| is_known(lane));
        let ratios: String = ratios.map(|lane| format!(" {}.", spoken(lane))).collect();
        let said = escaped(&said);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">Latency of {candidate} compared with {baseline}</title>\n\
             <desc id=\"desc\">{said} Ratio of latencies by percentile:{ratios}</desc>\n\
             <style>{STYLE}</style>\n\
             <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n"
        );
        let counts = self.judgement.requests.map(|arm| count(arm.ended()));
        let verdict = self.judgement.verdict.name();
        text(
            &mut svg,
            (LEFT, 28.0),
            "head ink",
            &format!("{candidate} compared with {baseline}: {verdict}"),
        );
        text(
            &mut svg,
            (LEFT, 48.0),
            "soft",
            &format!(
                "{} and {} requests; chance of a false verdict at most {}",
                counts.candidate,
                counts.baseline,
                percent(self.judgement.alpha)
            ),
        );
        svg
    }

    /// Latency by percentile.
    fn latencies(&self, svg: &mut String) {
        let curves = self
            .comparison
            .latencies()
            .map(|latencies| self.curve(latencies));
        let times = curves.baseline.iter().chain(&curves.candidate);
        let times = times.map(|(_, time)| *time);
        let [least, most] = [
            times.clone().fold(f64::MAX, f64::min),
            times.fold(0.0, f64::max),
        ];
        text(
            svg,
            (LEFT, LATENCIES.0 - 12.0),
            "small soft",
            "latency by percentile",
        );
        if least > most {
            let (top, bottom) = LATENCIES;
            text(
                svg,
                (LEFT, f64::midpoint(top, bottom)),
                "ink",
                "no request has been answered yet",
            );
            return;
        }
        let axis = Axis::logarithmic((least * 0.9, most * 1.15), (LATENCIES.1, LATENCIES.0));
        for tick in latency_ticks(least * 0.9, most * 1.15) {
            rule(svg, axis.at(tick), &round_time(tick));
        }
        self.percentile_rules(svg, LATENCIES);
        let ends = curves.map(|curve| curve.last().map(|(_, time)| axis.at(*time)));
        let labels = apart(ends.baseline, ends.candidate);
        let Names {
            baseline,
            candidate,
        } = self.names;
        // The line with gaps is on top, so that both are seen where they are the same.
        for (curve, classes, name, label) in [
            (
                &curves.candidate,
                ["candidate", "of-candidate"],
                candidate,
                labels.1,
            ),
            (
                &curves.baseline,
                ["baseline gaps", "of-baseline"],
                baseline,
                labels.0,
            ),
        ] {
            let points = curve.iter().map(|(x, time)| (*x, axis.at(*time)));
            path(svg, classes[0], points);
            if let Some(y) = label {
                let name = escaped(&shortened(name));
                text(svg, (RIGHT + 8.0, y + 4.0), classes[1], &name);
            }
        }
    }

    /// The places and milliseconds of a curve, as many as can be seen.
    fn curve(&self, latencies: &Latencies) -> Vec<(f64, f64)> {
        let all = latencies.count() as f64;
        let mut seen = 0.0;
        let mut curve: Vec<(f64, f64)> = Vec::new();
        for (time, count) in latencies.times() {
            // What all in a bucket are taken for is that of the one in its middle.
            let quantile = (seen + count as f64 / 2.0) / all;
            seen += count as f64;
            if quantile < FASTEST {
                continue;
            }
            if !curve.is_empty() && all * (1.0 - quantile) < EXCEEDING {
                break;
            }
            let x = self.percentiles.at(place(quantile));
            if curve.last().is_none_or(|(last, _)| x - last >= 1.0) {
                curve.push((x, time.as_secs_f64() * 1e3));
            }
        }
        curve
    }

    /// The ratio at each percentile that is judged, with its confidence sequence and its margin.
    fn ratios(&self, svg: &mut String) {
        let known: Vec<_> = self
            .judgement
            .lanes
            .iter()
            .filter(|lane| is_known(lane))
            .collect();
        let confidence = percent(1.0 - self.judgement.alpha);
        text(
            svg,
            (LEFT, RATIOS.0 - 12.0),
            "small soft",
            &format!(
                "ratio of {} to {}, with its {confidence} confidence sequence",
                escaped(self.names.candidate),
                escaped(self.names.baseline)
            ),
        );
        let ends = known.iter().flat_map(|lane| {
            let margin = lane.margin.map(|margin| 1.0 + margin);
            [lane.ratio.low, lane.ratio.estimate, lane.ratio.high, margin]
        });
        let ends = ends.flatten();
        let least = ends.clone().fold(0.83, f64::min).max(0.12) * 0.97;
        let most = ends.fold(1.2, f64::max).min(8.5) * 1.03;
        let axis = Axis::logarithmic((least, most), (RATIOS.1, RATIOS.0));
        for tick in ratio_ticks(least, most) {
            rule(svg, axis.at(tick), &format!("× {}", ratio_of(tick)));
        }
        self.percentile_rules(svg, RATIOS);
        let even = axis.at(1.0);
        let _ = writeln!(
            svg,
            "<line class=\"even\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{even:.1}\" y2=\"{even:.1}\"/>"
        );
        text(
            svg,
            (RIGHT + 8.0, even + 4.0),
            "small soft",
            "no difference",
        );
        for lane in known {
            self.ratio(svg, &axis, lane);
        }
        let key = RATIOS.1 + 52.0;
        let _ = writeln!(
            svg,
            "<path class=\"margin\" d=\"M{LEFT} {:.1}h24\"/>",
            key - 4.0
        );
        let margin = "margin: as much slower as this is not worse";
        text(svg, (LEFT + 32.0, key), "small soft", margin);
    }

    fn ratio(&self, svg: &mut String, axis: &Axis, lane: &LaneJudgement) {
        let (Some(quantile), Some(estimate)) = (lane.lane.quantile(), lane.ratio.estimate) else {
            return;
        };
        let x = self.percentiles.at(place(quantile));
        if let Some(margin) = lane.margin {
            let y = axis.at(1.0 + margin);
            let _ = writeln!(
                svg,
                "<path class=\"margin\" d=\"M{:.1} {y:.1}h24\"/>",
                x - 12.0
            );
        }
        let (top, bottom) = RATIOS;
        let high = lane.ratio.high.map_or(top, |high| axis.at(high));
        let low = lane.ratio.low.map_or(bottom, |low| axis.at(low));
        // An end that is known has a cap. Where none is known an arrow leads on.
        let mark = |end: Option<f64>, y: f64, back: f64| match end {
            Some(_) => format!("M{:.1} {y:.1}h10", x - 5.0),
            None => format!("M{:.1} {:.1}L{x:.1} {y:.1}l4 {back:.1}", x - 4.0, y + back),
        };
        let ends = mark(lane.ratio.low, low, -6.0) + &mark(lane.ratio.high, high, 6.0);
        let y = axis.at(estimate);
        let _ = writeln!(
            svg,
            "<path class=\"candidate\" d=\"M{x:.1} {low:.1}V{high:.1}{ends}\"/>\n\
             <circle class=\"of-candidate\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
        );
        text(svg, (x + 10.0, y - 6.0), "ink", &ratio_of(estimate));
    }

    fn percentile_rules(&self, svg: &mut String, (top, bottom): (f64, f64)) {
        for (quantile, name) in PERCENTILES {
            let place = place(quantile);
            if !self.percentiles.has(place) {
                continue;
            }
            let x = self.percentiles.at(place);
            let _ = writeln!(
                svg,
                "<line class=\"line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>"
            );
            let _ = writeln!(
                svg,
                "<text class=\"small soft\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{name}</text>",
                bottom + 18.0
            );
        }
    }
}

/// A ratio, read aloud.
fn spoken(lane: &LaneJudgement) -> String {
    let end = |end: Option<f64>| end.map_or("unknown".to_owned(), ratio_of);
    let estimate = lane.ratio.estimate.map_or("unknown".to_owned(), ratio_of);
    let (name, low, high) = (lane.lane.name(), end(lane.ratio.low), end(lane.ratio.high));
    format!("{name} {estimate}, from {low} to {high}")
}

/// A horizontal line with its name at the left.
fn rule(svg: &mut String, y: f64, name: &str) {
    let _ = writeln!(
        svg,
        "<line class=\"line\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n\
         <text class=\"small soft\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
        LEFT - 8.0,
        y + 4.0
    );
}

/// Writes text that is escaped already.
fn text(svg: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

fn path(svg: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    let mut data = String::new();
    for (x, y) in points {
        let command = if data.is_empty() { 'M' } else { 'L' };
        let _ = write!(data, "{command}{x:.1} {y:.1}");
    }
    let _ = writeln!(svg, "<path class=\"{class}\" d=\"{data}\"/>");
}

/// Where two labels stand, so that one does not cover the other.
fn apart(one: Option<f64>, other: Option<f64>) -> (Option<f64>, Option<f64>) {
    const ROOM: f64 = 16.0;
    let (Some(y), Some(other_y)) = (one, other) else {
        return (one, other);
    };
    let missing = ROOM - (y - other_y).abs();
    if missing <= 0.0 {
        return (one, other);
    }
    let move_by = if y < other_y {
        -missing / 2.0
    } else {
        missing / 2.0
    };
    (Some(y + move_by), Some(other_y - move_by))
}

/// A name that has room beside the picture.
fn shortened(name: &str) -> String {
    const MOST: usize = 15;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    let kept: String = name.chars().take(MOST - 1).collect();
    format!("{kept}…")
}

/// A time that is a round number.
fn round_time(time: f64) -> String {
    let text = milliseconds(time);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number = match number.split_once('.') {
        Some((whole, part)) if part.bytes().all(|digit| digit == b'0') => whole,
        _ => number,
    };
    format!("{number} {unit}")
}

/// Text that means nothing to XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // XML has no way to write the others of these.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        assert_eq!(
            escaped("a<b> & \"c\"\u{7}"),
            "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}"
        );
    }

    #[test]
    fn a_long_name_is_shortened() {
        assert_eq!(shortened("release 6"), "release 6");
        assert_eq!(shortened("a-very-long-name"), "a-very-long-na…");
    }

    #[test]
    fn labels_do_not_cover_each_other() {
        assert_eq!(apart(Some(10.0), Some(100.0)), (Some(10.0), Some(100.0)));
        assert_eq!(apart(Some(10.0), Some(14.0)), (Some(4.0), Some(20.0)));
        assert_eq!(apart(None, Some(14.0)), (None, Some(14.0)));
        let (Some(one), Some(other)) = apart(Some(10.0), Some(10.0)) else {
            panic!("labels are gone");
        };
        assert_eq!((one - other).abs(), 16.0);
    }
}
