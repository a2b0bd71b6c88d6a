//! The state of a comparison: what was counted, in bounded memory, and whether it was WORSE.

use serde::{Deserialize, Serialize};

use super::evidence::{Direction, Exceedances, log_evidence, log_evidence_within, log_sum};
use super::judgement::{ArmTotals, Found, Judgement, Verdict, conclude};
use super::lanes::{Exceeding, Lane, UNCHANGED, thresholds};
use super::{ArmBatch, Arms, Batch, Latencies, Settings};
use crate::{Share, Threshold};

/// How many shares are told apart in one comparison. What comes under further ones is counted as
/// not judged: which share a request comes under is known before its arm is drawn, so leaving it out
/// takes nothing from the guarantee.
pub const MOST_SHARES: usize = 64;
/// Thresholds follow the latest so many requests, or up to twice as many.
const REMEMBERED: u64 = 65_536;

/// The comparison of two arms that share the requests of a route.
///
/// It takes 130 KB and 2 KB for each share, whatever it has counted, and is written down and read
/// back with serde between any two batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    settings: Settings,
    past: Past,
    /// All latencies, to be shown.
    latencies: Arms<Latencies>,
    strata: Vec<Stratum>,
    not_judged: u64,
    worse: Option<Found>,
}

/// Latencies that have been, of both arms together, from which thresholds come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Past {
    recent: Latencies,
    before: Latencies,
}

/// What was counted under one share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stratum {
    pub(super) share: Share,
    pub(super) totals: Arms<ArmTotals>,
    /// In the order of [`Lane::LATENCIES`].
    exceeding: [Exceeding; 4],
}

/// How much is said for each verdict, as logarithms.
pub(super) struct Weighed {
    /// That the candidate is worse, in each lane.
    pub(super) worse: [f64; 5],
    /// That it is not beyond the margin, in each lane that has one.
    pub(super) within: [Option<f64>; 5],
    /// That it is worse, in all lanes together but those where it is shown to be within the margin.
    pub(super) together: f64,
    /// That requests are not shared as they should be.
    pub(super) shares: f64,
}

impl Past {
    fn all(&self) -> Latencies {
        let mut all = self.before.clone();
        all.merge(&self.recent);
        all
    }

    fn add(&mut self, latencies: &Latencies) {
        self.recent.merge(latencies);
        if self.recent.count() >= REMEMBERED {
            self.before = std::mem::take(&mut self.recent);
        }
    }
}

impl Stratum {
    fn new(share: Share) -> Self {
        Self {
            share,
            totals: Arms::default(),
            exceeding: Default::default(),
        }
    }

    /// What exceeded a quantile, where the candidate's latencies were divided by a ratio.
    fn divided(&self, lane: usize, ratio: usize) -> Exceedances {
        let exceeding = &self.exceeding[lane];
        self.exceedances(exceeding.as_is.baseline, exceeding.divided.0[ratio])
    }

    fn exceedances(&self, baseline: u64, candidate: u64) -> Exceedances {
        Exceedances {
            share: self.share.of_candidate(),
            candidate,
            baseline,
        }
    }
}

impl Comparison {
    /// A comparison that has counted nothing. With `past`, latencies from before it of both arms or
    /// of one, quantiles are known from the first batch on.
    pub fn new(settings: Settings, past: Latencies) -> Self {
        let before = Latencies::default();
        Self {
            settings,
            past: Past {
                recent: past,
                before,
            },
            latencies: Arms::default(),
            strata: Vec::new(),
            not_judged: 0,
            worse: None,
        }
    }

    /// Counts a batch, and judges if that makes it WORSE.
    pub fn observe(&mut self, batch: &Batch) {
        // Fixed by what came before: nothing of this batch is in them.
        let thresholds = thresholds(&self.past.all());
        if let Some(stratum) = stratum_of(&mut self.strata, batch.share) {
            let margins = self.settings.margins().latencies();
            let cumulative = batch.arms.map(|arm| arm.latencies.cumulative());
            for (index, threshold) in thresholds.into_iter().enumerate() {
                if let Some(threshold) = threshold {
                    stratum.exceeding[index].count(&cumulative, threshold, margins[index]);
                }
            }
            stratum.totals.baseline.add(&batch.arms.baseline);
            stratum.totals.candidate.add(&batch.arms.candidate);
        } else {
            self.not_judged = self
                .not_judged
                .saturating_add(batch.arms.map(ArmBatch::ended).sum());
        }
        for (latencies, arm) in [
            (&mut self.latencies.baseline, &batch.arms.baseline),
            (&mut self.latencies.candidate, &batch.arms.candidate),
        ] {
            latencies.merge(&arm.latencies);
            self.past.add(&arm.latencies);
        }
        if self.worse.is_none() {
            self.worse = self.found(&self.weigh());
        }
    }

    /// What there is to say now. It may be asked at any time and as often as one likes.
    pub fn judgement(&self) -> Judgement {
        Judgement::of(self, &self.weigh())
    }

    /// What is concluded now: of a judgement, the part that costs little.
    pub fn verdict(&self) -> Verdict {
        conclude(self, &self.weigh()).0
    }

    /// All latencies of each arm, of requests that did not fail.
    pub fn latencies(&self) -> &Arms<Latencies> {
        &self.latencies
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn strata(&self) -> &[Stratum] {
        &self.strata
    }

    pub(super) fn not_judged(&self) -> u64 {
        self.not_judged
    }

    pub(super) fn worse(&self) -> Option<&Found> {
        self.worse.as_ref()
    }

    /// The thresholds for the next batch, in the order of [`Lane::LATENCIES`].
    pub(super) fn next_thresholds(&self) -> [Option<Threshold<128>>; 4] {
        thresholds(&self.past.all())
    }

    /// Whether enough requests of each arm have ended to say anything for the candidate.
    pub(super) fn has_enough(&self) -> bool {
        let ended = self.totals().map(ArmTotals::ended);
        ended.candidate.min(ended.baseline) >= self.settings.least_requests()
    }

    pub(super) fn totals(&self) -> Arms<ArmTotals> {
        let mut totals = Arms::<ArmTotals>::default();
        for stratum in &self.strata {
            totals.baseline.merge(stratum.totals.baseline);
            totals.candidate.merge(stratum.totals.candidate);
        }
        totals
    }

    /// What exceeded a quantile under each share, with the candidate's latencies divided by a ratio.
    pub(super) fn divided(&self, lane: usize, ratio: usize) -> Vec<Exceedances> {
        let strata = self.strata.iter();
        strata.map(|stratum| stratum.divided(lane, ratio)).collect()
    }

    /// What is counted of a lane, under each share.
    pub(super) fn as_is(&self, lane: Lane) -> Vec<Exceedances> {
        match Lane::LATENCIES.iter().position(|other| *other == lane) {
            Some(index) => self.divided(index, UNCHANGED),
            None => self.of_totals(|totals| totals.failed),
        }
    }

    fn of_totals(&self, of: impl Fn(&ArmTotals) -> u64) -> Vec<Exceedances> {
        let of_one = |stratum: &Stratum| {
            stratum.exceedances(of(&stratum.totals.baseline), of(&stratum.totals.candidate))
        };
        self.strata.iter().map(of_one).collect()
    }

    pub(super) fn weigh(&self) -> Weighed {
        let worse = Lane::ALL.map(|lane| log_evidence(&self.as_is(lane), Direction::More, 0.0));
        let within = self.within();
        let needed = self.settings.log_needed();
        // The mean of evidence is evidence, whatever lanes have to do with each other, and reaches
        // what is needed whenever one lane would with its part of α. To leave out a lane only makes
        // it less.
        let is_open = |index: &usize| within[*index].is_none_or(|within| within < needed);
        let parts = (0..Lane::ALL.len()).filter(is_open);
        let together = log_sum(parts.map(|index| Lane::ALL[index].weight().ln() + worse[index]));
        let arrived = self.of_totals(|totals| totals.arrived);
        let [more, less] = [Direction::More, Direction::Less]
            .map(|direction| log_evidence(&arrived, direction, 0.0) - std::f64::consts::LN_2);
        Weighed {
            worse,
            within,
            together,
            shares: log_sum([more, less]),
        }
    }

    fn within(&self) -> [Option<f64>; 5] {
        let mut within = [None; 5];
        for (index, margin) in self.settings.margins().latencies().into_iter().enumerate() {
            within[index] = margin.map(|_| {
                let of_one = |stratum: &Stratum| {
                    let exceeding = &stratum.exceeding[index];
                    stratum.exceedances(exceeding.as_is.baseline, exceeding.within_margin)
                };
                let strata: Vec<_> = self.strata.iter().map(of_one).collect();
                log_evidence(&strata, Direction::Less, 0.0)
            });
        }
        let succeeded = |stratum: &Stratum| stratum.totals.baseline.succeeded;
        let succeeded: Vec<u64> = self.strata.iter().map(succeeded).collect();
        let margin = self.settings.margins().errors;
        within[4] = Some(log_evidence_within(
            &self.as_is(Lane::Errors),
            &succeeded,
            margin,
        ));
        within
    }

    /// That the candidate is worse, if that is so.
    fn found(&self, weighed: &Weighed) -> Option<Found> {
        if weighed.together < self.settings.log_needed() || weighed.shares_are_broken() {
            return None;
        }
        let strongest = Lane::ALL.into_iter().enumerate().max_by(|one, other| {
            let of = |(index, lane): (usize, Lane)| lane.weight().ln() + weighed.worse[index];
            of(*one).total_cmp(&of(*other))
        });
        let (_, lane) = strongest?;
        Some(Found {
            lane,
            after: self.totals().map(ArmTotals::ended),
            log10_evidence: weighed.together / std::f64::consts::LN_10,
        })
    }
}

impl Weighed {
    /// Whether requests are shared in another way than declared, so that nothing can be concluded.
    /// One comparison in 1,000 says so without a reason, and then has no verdict.
    pub(super) fn shares_are_broken(&self) -> bool {
        self.shares >= 1000_f64.ln()
    }
}

/// What is counted under a share; none where there are too many of them.
fn stratum_of(strata: &mut Vec<Stratum>, share: Share) -> Option<&mut Stratum> {
    let index = strata.iter().position(|stratum| stratum.share == share);
    let index = match index {
        Some(index) => index,
        None if strata.len() < MOST_SHARES => {
            strata.push(Stratum::new(share));
            strata.len() - 1
        }
        None => return None,
    };
    strata.get_mut(index)
}
