//! A judgement as a table for a terminal.

use super::sentence::{count, percent, percent_of, sentence};
use super::{Arms, Comparison, Judgement, Lane, LaneJudgement, Names};

/// The heads of columns after the arms'.
const HEADS: [&str; 5] = ["ratio", "low", "high", "margin", "shown"];

/// The verdict in one sentence, and below it what was counted: a line for each quantile and for
/// errors, with the ratio and its confidence sequence.
pub fn table(comparison: &Comparison, judgement: &Judgement, names: Names<'_>) -> String {
    let mut lines = vec![requests(judgement, names)];
    let mut heads = vec![String::new(), names.baseline.into(), names.candidate.into()];
    heads.extend(HEADS.map(str::to_owned));
    let mut rows = vec![heads];
    let lanes = judgement.lanes.iter();
    rows.extend(lanes.map(|lane| row(comparison, judgement, lane).to_vec()));
    lines.extend(aligned(&rows));
    let mut text = format!("{}\n\n{}\n", sentence(judgement, names), lines.join("\n"));
    let confidence = percent(1.0 - judgement.alpha);
    text += &format!(
        "\nratio: of {} to {}, between low and high with {confidence} confidence at all times.\n",
        names.candidate, names.baseline
    );
    if judgement.not_judged > 0 {
        text += &format!(
            "{} requests came under more shares than are told apart and are not in it.\n",
            count(judgement.not_judged)
        );
    }
    text
}

fn requests(judgement: &Judgement, names: Names<'_>) -> String {
    let one = |name: &str, ended: u64, arrived: u64| {
        let open = arrived.saturating_sub(ended);
        let open = if open > 0 {
            format!(" (and {} under way)", count(open))
        } else {
            String::new()
        };
        format!("{} requests of {name}{open}", count(ended))
    };
    let Arms {
        baseline,
        candidate,
    } = judgement.requests;
    format!(
        "{}, {}.\n",
        one(names.baseline, baseline.ended(), baseline.arrived),
        one(names.candidate, candidate.ended(), candidate.arrived)
    )
}

fn row(comparison: &Comparison, judgement: &Judgement, lane: &LaneJudgement) -> [String; 8] {
    let of_arms = match lane.lane.quantile() {
        Some(quantile) => comparison.latencies().map(|latencies| {
            let time = latencies.quantile(quantile);
            time.map_or("–".to_owned(), |time| {
                milliseconds(time.as_secs_f64() * 1e3)
            })
        }),
        None => {
            let rate = |arm: &super::ArmTotals| percent_of(arm.failed, arm.ended());
            judgement.requests.map(rate)
        }
    };
    let number = |ratio: Option<f64>| ratio.map_or("–".to_owned(), ratio_of);
    let margin = match (lane.margin, lane.lane) {
        (Some(margin), Lane::Errors) => format!("+{} of all", percent(margin)),
        (Some(margin), _) => format!("+{}", percent(margin)),
        (None, _) => "–".to_owned(),
    };
    [
        lane.lane.name().to_owned(),
        of_arms.baseline,
        of_arms.candidate,
        number(lane.ratio.estimate),
        number(lane.ratio.low),
        number(lane.ratio.high),
        margin,
        shown(judgement, lane).to_owned(),
    ]
}

/// What is shown in a lane, by its evidence alone.
fn shown(judgement: &Judgement, lane: &LaneJudgement) -> &'static str {
    let alone = lane.log10_evidence_of_worse + lane.lane.weight().log10();
    let is_found = judgement.worse.is_some_and(|found| found.lane == lane.lane);
    if lane.is_within {
        "within the margin"
    } else if is_found || alone >= -judgement.alpha.log10() {
        "worse"
    } else {
        "nothing yet"
    }
}

/// A ratio with three digits that count.
pub(super) fn ratio_of(ratio: f64) -> String {
    match ratio {
        large if large >= 99.95 => format!("{large:.0}"),
        middle if middle >= 9.995 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

/// A time with its unit and three digits that count.
pub(super) fn milliseconds(milliseconds: f64) -> String {
    let (number, unit) = match milliseconds {
        seconds if seconds >= 999.5 => (seconds / 1e3, "s"),
        microseconds if microseconds < 0.9995 => (microseconds * 1e3, "µs"),
        milliseconds => (milliseconds, "ms"),
    };
    match number {
        large if large >= 99.95 => format!("{large:.0} {unit}"),
        middle if middle >= 9.995 => format!("{middle:.1} {unit}"),
        small => format!("{small:.2} {unit}"),
    }
}

/// Rows as lines, the first column to the left and the last too, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column == 0 || column + 1 == columns {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ratios_have_three_digits_that_count() {
        let times = [0.0421, 0.9994, 1.0, 12.34, 99.96, 999.4, 1_234.0];
        assert_eq!(
            times.map(milliseconds),
            [
                "42.1 µs", "999 µs", "1.00 ms", "12.3 ms", "100 ms", "999 ms", "1.23 s"
            ]
        );
        assert_eq!([1.0, 10.0, 123.4].map(ratio_of), ["1.00", "10.0", "123"]);
    }
}
