//! A judgement in one sentence, with its numbers.

use super::judgement::{Found, Judgement, LaneJudgement, Reason, Verdict};
use super::{Lane, Names};

/// A judgement in one sentence, for people.
pub fn sentence(judgement: &Judgement, names: Names<'_>) -> String {
    let verdict = judgement.verdict.name();
    let why = match (judgement.verdict, judgement.reason) {
        (Verdict::Worse, _) => worse(judgement, names),
        (Verdict::NotWorse, _) => not_worse(judgement, names),
        (_, Some(Reason::SharesAreBroken)) => shares_are_broken(judgement, names),
        (Verdict::NoData, _) => no_data(judgement, names),
        (Verdict::Undecided, _) => undecided(judgement),
    };
    format!("{verdict}: {why}.")
}

fn worse(judgement: &Judgement, names: Names<'_>) -> String {
    let Some(found) = &judgement.worse else {
        return format!("{} is worse than {}", names.candidate, names.baseline);
    };
    let what = judgement
        .lane(found.lane)
        .map(|lane| what_is_worse(judgement, lane, names))
        .unwrap_or_default();
    format!(
        "{what}; chance does as much in at most 1 of {} comparisons, and {} is allowed",
        chances(found),
        allowed(judgement.alpha)
    )
}

fn what_is_worse(judgement: &Judgement, lane: &LaneJudgement, names: Names<'_>) -> String {
    let Names {
        baseline,
        candidate,
    } = names;
    if lane.lane == Lane::Errors {
        let of = |failed: u64, ended: u64| {
            format!(
                "{} of {} ({})",
                count(failed),
                count(ended),
                percent_of(failed, ended)
            )
        };
        let requests = judgement.requests.map(|arm| of(arm.failed, arm.ended()));
        return format!(
            "of the requests to {candidate} {} failed, of those to {baseline} {}",
            requests.candidate, requests.baseline
        );
    }
    let exceeded = format!(
        "of {} requests slower than usual at {} {} were of {candidate}, where {} are expected",
        count(lane.exceeded.sum()),
        lane.lane.name(),
        count(lane.exceeded.candidate),
        count(lane.expected_of_candidate.round() as u64),
    );
    match lane.ratio.estimate {
        Some(estimate) => format!(
            "{exceeded}, and its {} is {estimate:.2} times that of {baseline}{}",
            lane.lane.name(),
            within_brackets(lane)
        ),
        None => exceeded,
    }
}

/// Where the ratio lies, in brackets.
fn within_brackets(lane: &LaneJudgement) -> String {
    match (lane.ratio.low, lane.ratio.high) {
        (Some(low), Some(high)) => format!(" ({low:.2} to {high:.2})"),
        (Some(low), None) => format!(" (at least {low:.2})"),
        (None, Some(high)) => format!(" (at most {high:.2})"),
        (None, None) => String::new(),
    }
}

fn not_worse(judgement: &Judgement, names: Names<'_>) -> String {
    // Quantiles with the same margin are told together.
    let mut slower: Vec<(f64, Vec<String>)> = Vec::new();
    let lanes = judgement
        .lanes
        .iter()
        .filter(|lane| lane.lane != Lane::Errors);
    for (lane, margin) in lanes.filter_map(|lane| Some((lane.lane.name(), lane.margin?))) {
        match slower.last_mut() {
            Some((last, names)) if *last == margin => names.push(lane.to_owned()),
            _ => slower.push((margin, vec![lane.to_owned()])),
        }
    }
    let slower = slower.iter();
    let slower = slower.map(|(margin, at)| {
        let at = enumerate(at);
        format!("less than {} slower at {at}", percent(*margin))
    });
    let slower: Vec<String> = slower.collect();
    let errors = judgement.lane(Lane::Errors).and_then(|lane| lane.margin);
    format!(
        "{} is {} than {}, and fails for less than {} more of the requests; the chance that this \
         is false is at most {}",
        names.candidate,
        slower.join(", "),
        names.baseline,
        percent(errors.unwrap_or_default()),
        allowed(judgement.alpha)
    )
}

fn undecided(judgement: &Judgement) -> String {
    let needed = (1.0 / judgement.alpha).log10();
    let worse = judgement.log10_evidence_of_worse.unwrap_or(0.0);
    let open = judgement.lanes.iter().filter_map(|lane| {
        let within = lane.log10_evidence_of_within?;
        (!lane.is_within).then(|| format!("{} at {}", of_needed(within, needed), lane.lane.name()))
    });
    let open: Vec<String> = open.collect();
    let ended = judgement.requests.map(|arm| arm.ended());
    format!(
        "after {} requests, {} of them at the candidate, the evidence for WORSE is {} of {} and \
         that for NOT-WORSE {}",
        count(ended.sum()),
        count(ended.candidate),
        of_needed(worse, needed),
        count((1.0 / judgement.alpha).round() as u64),
        enumerate(&open)
    )
}

/// Evidence beside what is needed: as a number while that says something.
fn of_needed(log10: f64, needed: f64) -> String {
    match 10_f64.powf(log10.min(needed)) {
        less if less < 0.1 => "below 0.1".to_owned(),
        evidence => format!("{evidence:.1}"),
    }
}

fn no_data(judgement: &Judgement, names: Names<'_>) -> String {
    let ended = judgement.requests.map(|arm| count(arm.ended()));
    format!(
        "{} requests of {} and {} of {} have ended, and {} of each are needed to conclude anything",
        ended.candidate,
        names.candidate,
        ended.baseline,
        names.baseline,
        count(judgement.least_requests)
    )
}

fn shares_are_broken(judgement: &Judgement, names: Names<'_>) -> String {
    let arrived = judgement.requests.map(|arm| arm.arrived);
    format!(
        "{} of {} requests came to {}, where {} are expected from its weight, so the requests of \
         the two are not alike and nothing can be concluded from them",
        count(arrived.candidate),
        count(arrived.sum()),
        names.candidate,
        count(judgement.expected_at_candidate.round() as u64)
    )
}

/// In how many comparisons chance does it once.
fn chances(found: &Found) -> String {
    match found.log10_evidence {
        beyond if beyond > 12.0 => format!("10^{}", beyond.floor()),
        log10 => count(10_f64.powf(log10).floor() as u64),
    }
}

fn allowed(alpha: f64) -> String {
    format!("1 of {}", count((1.0 / alpha).round() as u64))
}

/// A part as percents, without digits that say nothing.
pub(super) fn percent(part: f64) -> String {
    let text = format!("{:.2}", part * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

pub(super) fn percent_of(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".to_owned(),
        _ => percent(part as f64 / whole as f64),
    }
}

/// A whole number, its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn enumerate(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(percent(0.1), "10 %");
        assert_eq!(percent(0.005), "0.5 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.12345), "12.35 %");
        assert_eq!(percent_of(1, 0), "–");
        let parts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(enumerate(&parts), "a, b and c");
    }
}
