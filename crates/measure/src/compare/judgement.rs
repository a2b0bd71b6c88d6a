//! What there is to say of a comparison at a moment. Its serialization is what `--json` shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::comparison::{Comparison, Stratum, Weighed};
use super::evidence::{Direction, Exceedances, bound, estimate, log_evidence};
use super::lanes::{Lane, RATIOS, ROUNDING, UNCHANGED, ratios};
use super::{ArmBatch, Arms};

/// What is concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The candidate is worse. This is not taken back.
    Worse,
    /// It is worse by no more than the margins, in all that has one.
    NotWorse,
    /// Neither is shown yet.
    Undecided,
    /// There are too few requests to say anything for the candidate.
    NoData,
}

/// Why it is UNDECIDED or NO-DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// An arm has had too few requests that ended.
    TooFewRequests,
    /// More requests are needed in the lanes that are open.
    LanesAreOpen,
    /// Requests are not shared between the arms as declared, so they are not alike.
    SharesAreBroken,
}

/// What is known of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmTotals {
    /// Requests that were given to it, if that is counted.
    pub arrived: u64,
    /// Requests that ended well.
    pub succeeded: u64,
    /// Requests that ended in an error of the arm.
    pub failed: u64,
}

/// When it was found to be worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Where most of the evidence came from.
    pub lane: Lane,
    /// After how many requests of each arm.
    pub after: Arms<u64>,
    /// The evidence of all lanes together, as a power of ten: with 3 it would be reached by chance
    /// in at most 1 comparison of 1,000.
    pub log10_evidence: f64,
}

/// A ratio, candidate to baseline, and the ends of its confidence sequence: it has the true one with
/// a probability of `1 - alpha` at least, at all times together. An end that is not known yet is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// It is at least this.
    pub low: Option<f64>,
    /// What explains the counts best.
    pub estimate: Option<f64>,
    /// It is at most this.
    pub high: Option<f64>,
}

/// What is known in one lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneJudgement {
    /// Which one.
    pub lane: Lane,
    /// In milliseconds, what a request of the next batch has to exceed; none for errors, and while
    /// the quantile is not known.
    pub threshold_milliseconds: Option<f64>,
    /// How many requests exceeded the thresholds, or failed.
    pub exceeded: Arms<u64>,
    /// How many of these are expected to be the candidate's if the arms are alike.
    pub expected_of_candidate: f64,
    /// The evidence that it is worse, as a power of ten.
    pub log10_evidence_of_worse: f64,
    /// How much worse is not worse: a part of the latency, or for errors of all requests. None if
    /// the lane need not be shown to be within one.
    pub margin: Option<f64>,
    /// The evidence that it is within the margin, as a power of ten.
    pub log10_evidence_of_within: Option<f64>,
    /// Whether it is shown to be within the margin.
    pub is_within: bool,
    /// Of latencies at this quantile; for errors, of the odds to fail.
    pub ratio: Interval,
}

/// What there is to say of a comparison at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// What is concluded.
    pub verdict: Verdict,
    /// Why there is no other verdict.
    pub reason: Option<Reason>,
    /// The chance of a false verdict that was declared.
    pub alpha: f64,
    /// How many requests of each arm have to end, as declared.
    pub least_requests: u64,
    /// What was counted.
    pub requests: Arms<ArmTotals>,
    /// How many of all that arrived are expected at the candidate.
    pub expected_at_candidate: f64,
    /// The evidence that it is worse, of all lanes that are not within their margin together, as a
    /// power of ten; none where all are.
    pub log10_evidence_of_worse: Option<f64>,
    /// When it was found to be worse, if it was.
    pub worse: Option<Found>,
    /// Requests that came under more different shares than are told apart.
    pub not_judged: u64,
    /// What is known in each lane.
    pub lanes: Vec<LaneJudgement>,
}

impl ArmTotals {
    /// Requests that ended.
    pub fn ended(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    pub(super) fn add(&mut self, batch: &ArmBatch) {
        self.merge(Self {
            arrived: batch.arrived,
            succeeded: batch.latencies.count(),
            failed: batch.failed,
        });
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.arrived = self.arrived.saturating_add(other.arrived);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl Verdict {
    /// As people see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worse => "WORSE",
            Self::NotWorse => "NOT-WORSE",
            Self::Undecided => "UNDECIDED",
            Self::NoData => "NO-DATA",
        }
    }
}

impl Judgement {
    pub(super) fn of(comparison: &Comparison, weighed: &Weighed) -> Self {
        let requests = comparison.totals();
        let settings = comparison.settings();
        let (verdict, reason) = conclude(comparison, weighed);
        let lanes = Lane::ALL.into_iter().enumerate();
        let lanes = lanes.map(|(index, lane)| of_lane(comparison, weighed, (index, lane)));
        let expected = |stratum: &Stratum| {
            let arrived = stratum.totals.map(|arm| arm.arrived).sum();
            stratum.share.of_candidate() * arrived as f64
        };
        Self {
            verdict,
            reason,
            alpha: settings.alpha(),
            least_requests: settings.least_requests(),
            requests,
            expected_at_candidate: comparison.strata().iter().map(expected).sum(),
            log10_evidence_of_worse: weighed
                .together
                .is_finite()
                .then(|| log10(weighed.together)),
            worse: comparison.worse().copied(),
            not_judged: comparison.not_judged(),
            lanes: lanes.collect(),
        }
    }

    /// What is known in a lane.
    pub fn lane(&self, lane: Lane) -> Option<&LaneJudgement> {
        self.lanes.iter().find(|judgement| judgement.lane == lane)
    }
}

/// The verdict, and why there is no other.
pub(super) fn conclude(comparison: &Comparison, weighed: &Weighed) -> (Verdict, Option<Reason>) {
    if comparison.worse().is_some() {
        return (Verdict::Worse, None);
    }
    if !comparison.has_enough() {
        return (Verdict::NoData, Some(Reason::TooFewRequests));
    }
    if weighed.shares_are_broken() {
        return (Verdict::Undecided, Some(Reason::SharesAreBroken));
    }
    // To be wrong, it has to be wrong in the lane that is beyond its margin: α needs no parts.
    let needed = comparison.settings().log_needed();
    if weighed
        .within
        .iter()
        .flatten()
        .all(|within| *within >= needed)
    {
        return (Verdict::NotWorse, None);
    }
    (Verdict::Undecided, Some(Reason::LanesAreOpen))
}

fn of_lane(
    comparison: &Comparison,
    weighed: &Weighed,
    (index, lane): (usize, Lane),
) -> LaneJudgement {
    let strata = comparison.as_is(lane);
    let settings = comparison.settings();
    let margins = settings.margins().latencies();
    let within = weighed.within[index];
    let is_enough = |within: f64| within >= settings.log_needed();
    let expected = |stratum: &Exceedances| {
        stratum.share * (stratum.candidate as f64 + stratum.baseline as f64)
    };
    let sum = |of: fn(&Exceedances) -> u64| strata.iter().map(of).fold(0, u64::saturating_add);
    let threshold = comparison.next_thresholds().get(index).copied().flatten();
    LaneJudgement {
        lane,
        threshold_milliseconds: threshold.map(|threshold| milliseconds(threshold.time())),
        exceeded: Arms {
            baseline: sum(|stratum| stratum.baseline),
            candidate: sum(|stratum| stratum.candidate),
        },
        expected_of_candidate: strata.iter().map(expected).sum(),
        log10_evidence_of_worse: log10(weighed.worse[index]),
        margin: margins
            .get(index)
            .map_or(Some(settings.margins().errors), |margin| *margin),
        log10_evidence_of_within: within.map(log10),
        is_within: comparison.has_enough() && within.is_some_and(is_enough),
        ratio: match lane.quantile() {
            Some(_) => ratio_of_latencies(comparison, index),
            None => ratio_of_odds(&strata, settings.alpha()),
        },
    }
}

/// Each side has half of α.
fn ratio_of_odds(strata: &[Exceedances], alpha: f64) -> Interval {
    let end = |direction| bound(strata, direction, alpha / 2.0).map(f64::exp);
    Interval {
        low: end(Direction::More),
        estimate: estimate(strata).map(f64::exp),
        high: end(Direction::Less),
    }
}

/// Ratios by which the candidate's latencies were divided are excluded where it still exceeds the
/// threshold more often than the baseline, or less often. It is the ratio of quantiles, and holds
/// whatever both do together over time.
fn ratio_of_latencies(comparison: &Comparison, lane: usize) -> Interval {
    let needed = -(comparison.settings().alpha() / 2.0).ln();
    let divided: [_; RATIOS] = std::array::from_fn(|ratio| comparison.divided(lane, ratio));
    let is_excluded =
        |ratio: &usize, direction| log_evidence(&divided[*ratio], direction, 0.0) >= needed;
    let low = (0..RATIOS).rfind(|ratio| is_excluded(ratio, Direction::More));
    let high = (0..RATIOS).find(|ratio| is_excluded(ratio, Direction::Less));
    Interval {
        // The ratio by which thresholds were really multiplied may have been less, by rounding.
        low: low.map(|ratio| ratios()[ratio] * (1.0 - ROUNDING)),
        estimate: crossing(&divided),
        high: high.map(|ratio| ratios()[ratio]),
    }
}

/// The ratio with which the candidate has as many exceedances as are expected.
fn crossing(divided: &[Vec<Exceedances>; RATIOS]) -> Option<f64> {
    let surplus = |strata: &Vec<Exceedances>| -> f64 {
        let of_one = |stratum: &Exceedances| {
            let [candidate, baseline] = [stratum.candidate as f64, stratum.baseline as f64];
            candidate * (1.0 - stratum.share) - baseline * stratum.share
        };
        strata.iter().map(of_one).sum()
    };
    let surplus = divided.each_ref().map(surplus);
    let above = surplus.iter().position(|surplus| *surplus <= 0.0)?;
    let below = above.checked_sub(1)?;
    // Rounding makes what thresholds were multiplied with a little less; half of a bucket in the
    // mean, but nothing where it was 1.
    let ratio = |index: usize| match index {
        UNCHANGED => 0.0,
        _ => ratios()[index].ln() - ROUNDING / 2.0,
    };
    let part = surplus[below] / (surplus[below] - surplus[above]);
    Some((ratio(below) + part * (ratio(above) - ratio(below))).exp())
}

fn log10(log: f64) -> f64 {
    log / std::f64::consts::LN_10
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
