//! What was measured, beside what is required: as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Millis,
    Seconds,
    Mib,
    Kib,
    Percent,
    Count,
    Ratio,
    MibPerSecond,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::Mib => "MiB",
            Self::Kib => "KiB",
            Self::Percent => "%",
            Self::Count | Self::Ratio => "",
            Self::MibPerSecond => "MiB/s",
        }
    }
}

/// What is required of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Requirement {
    of: Statistic,
    bound: Bound,
}

/// What of the runs is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Median,
    Highest,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtMost(f64),
    Below(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    name: String,
    unit: Unit,
    requirement: Option<Requirement>,
    runs: Vec<f64>,
}

/// Whether a requirement is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Missed,
    /// Nothing is required.
    Open,
    /// There is no run to judge.
    NoRuns,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Missed => "MISSED",
            Self::Open => "-",
            Self::NoRuns => "NO RUNS",
        })
    }
}

impl Figure {
    /// A figure of which nothing is required, before its first run.
    pub(crate) fn new(name: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            unit,
            requirement: None,
            runs: Vec::new(),
        }
    }

    /// The median must not be above `limit`.
    pub(crate) fn median_at_most(self, limit: f64) -> Self {
        self.required(Statistic::Median, Bound::AtMost(limit))
    }

    /// The median must be below `limit`.
    pub(crate) fn median_below(self, limit: f64) -> Self {
        self.required(Statistic::Median, Bound::Below(limit))
    }

    /// No run may be above `limit`.
    pub(crate) fn each_at_most(self, limit: f64) -> Self {
        self.required(Statistic::Highest, Bound::AtMost(limit))
    }

    /// Every run must be below `limit`.
    pub(crate) fn each_below(self, limit: f64) -> Self {
        self.required(Statistic::Highest, Bound::Below(limit))
    }

    fn required(mut self, of: Statistic, bound: Bound) -> Self {
        self.requirement = Some(Requirement { of, bound });
        self
    }

    /// Adds the result of a run.
    pub(crate) fn push(&mut self, value: f64) {
        self.runs.push(value);
    }

    /// The median of its runs, of which there must be one.
    pub(crate) fn median(&self) -> f64 {
        median(&self.runs)
    }

    /// The highest of its runs.
    pub(crate) fn highest(&self) -> f64 {
        highest(&self.runs)
    }

    fn verdict(&self) -> Verdict {
        if self.runs.is_empty() {
            return Verdict::NoRuns;
        }
        let Some(Requirement { of, bound }) = self.requirement else {
            return Verdict::Open;
        };
        let value = match of {
            Statistic::Median => median(&self.runs),
            Statistic::Highest => highest(&self.runs),
        };
        let met = match bound {
            Bound::AtMost(limit) => value <= limit,
            Bound::Below(limit) => value < limit,
        };
        if met { Verdict::Pass } else { Verdict::Missed }
    }

    fn required_text(&self) -> String {
        let Some(Requirement { of, bound }) = self.requirement else {
            return "-".into();
        };
        let of = match of {
            Statistic::Median => "median",
            Statistic::Highest => "each",
        };
        let (sign, limit) = match bound {
            Bound::AtMost(limit) => ("≤", limit),
            Bound::Below(limit) => ("<", limit),
        };
        let unit = self.unit.name();
        format!("{of} {sign} {limit} {unit}").trim_end().into()
    }

    /// Name, requirement, median, spread, number of runs, verdict.
    fn row(&self) -> [String; 6] {
        let unit = self.unit.name();
        let (middle, spread) = if self.runs.is_empty() {
            ("-".into(), "-".into())
        } else {
            let middle = format!("{} {unit}", short(median(&self.runs)));
            let (low, high) = (lowest(&self.runs), highest(&self.runs));
            (
                middle.trim_end().to_owned(),
                format!("{} – {}", short(low), short(high)),
            )
        };
        [
            self.name.clone(),
            self.required_text(),
            middle,
            spread,
            self.runs.len().to_string(),
            self.verdict().to_string(),
        ]
    }

    fn as_json(&self) -> Value {
        let of = |statistic: fn(&[f64]) -> f64| match self.runs.is_empty() {
            true => Value::Null,
            false => statistic(&self.runs).into(),
        };
        json!({
            "name": self.name,
            "unit": self.unit.name(),
            "required": self.requirement.map(|_| self.required_text()),
            "median": of(median),
            "min": of(lowest),
            "max": of(highest),
            "verdict": self.verdict().to_string(),
            "runs": self.runs,
        })
    }
}

/// All that a bench has found.
#[derive(Debug)]
pub(crate) struct Results {
    bench: &'static str,
    figures: Vec<Figure>,
    /// What else is worth keeping of each run, for the JSON.
    details: Vec<Value>,
}

impl Results {
    pub(crate) fn new(bench: &'static str) -> Self {
        Self {
            bench,
            figures: Vec::new(),
            details: Vec::new(),
        }
    }

    /// Adds a line to the table; where it is, for [`Results::push`].
    pub(crate) fn add(&mut self, figure: Figure) -> usize {
        self.figures.push(figure);
        self.figures.len() - 1
    }

    /// Adds the result of a run to a line.
    pub(crate) fn push(&mut self, line: usize, value: f64) {
        self.figures[line].push(value);
    }

    /// Keeps what else is to be known of a run.
    pub(crate) fn detail(&mut self, detail: Value) {
        self.details.push(detail);
    }

    /// Whether a requirement is missed, or a figure that was to be measured was not.
    pub(crate) fn any_missed(&self) -> bool {
        let bad = |figure: &Figure| matches!(figure.verdict(), Verdict::Missed | Verdict::NoRuns);
        self.figures.iter().any(bad)
    }

    pub(crate) fn as_json(&self) -> Value {
        json!({
            "bench": self.bench,
            "figures": self.figures.iter().map(Figure::as_json).collect::<Vec<_>>(),
            "runs": self.details,
        })
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = ["required", "median", "least – most", "runs", "verdict"];
        let title = std::iter::once(self.bench).chain(title).map(str::to_owned);
        let mut rows: Vec<Vec<String>> = vec![title.collect()];
        rows.extend(self.figures.iter().map(|figure| figure.row().to_vec()));
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..6).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line += &format!("{cell:<width$}  ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The middle one, or half-way between the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// A number as a person reads it: about three digits of it, whole ones as they are.
fn short(value: f64) -> String {
    let size = value.abs();
    match () {
        () if value.fract() == 0.0 || size >= 1000.0 => format!("{value:.0}"),
        () if size >= 10.0 => format!("{value:.1}"),
        () if size >= 1.0 => format!("{value:.2}"),
        () => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(figure: Figure, runs: &[f64]) -> Figure {
        let mut figure = figure;
        runs.iter().for_each(|run| figure.push(*run));
        figure
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn each_requirement_is_judged_by_its_own_measure() {
        let new = || Figure::new("x", Unit::Millis);
        let runs = [1.0, 2.0, 9.0];
        for (required, verdict) in [
            (new().median_at_most(2.0), Verdict::Pass),
            (new().median_below(2.0), Verdict::Missed),
            (new().each_at_most(9.0), Verdict::Pass),
            (new().each_at_most(8.0), Verdict::Missed),
            (new().each_below(9.0), Verdict::Missed),
            (new(), Verdict::Open),
        ] {
            assert_eq!(figure(required.clone(), &[]).verdict(), Verdict::NoRuns);
            assert_eq!(figure(required, &runs).verdict(), verdict);
        }
    }

    #[test]
    fn the_table_is_aligned_and_the_json_has_every_run() {
        let mut results = Results::new("startup");
        let line = results.add(Figure::new("all healthy", Unit::Seconds).median_at_most(1.0));
        results.add(Figure::new("later", Unit::Count).each_at_most(0.0));
        results.push(line, 0.5);
        results.push(line, 1.25);
        let expected = "\
startup      required      median   least – most  runs  verdict
all healthy  median ≤ 1 s  0.875 s  0.500 – 1.25  2     PASS
later        each ≤ 0      -        -             0     NO RUNS
";
        assert_eq!(results.to_string(), expected);
        assert!(results.any_missed());
        let json = results.as_json();
        assert_eq!(json["figures"][0]["runs"], json!([0.5, 1.25]));
        assert_eq!(json["figures"][0]["required"], "median ≤ 1 s");
        assert_eq!(json["figures"][1]["median"], Value::Null);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (2.345, "2.35"),
            (12.34, "12.3"),
            (1234.5, "1234"),
            (7.0, "7"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
