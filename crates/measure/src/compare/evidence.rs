//! How much exceedances by arm say, whenever one looks.
//!
//! If the arms do not differ, the arm of each request that exceeds something is a coin that falls on
//! the candidate with its share of traffic `w`, whatever makes requests slow meanwhile. If requests
//! of the candidate exceed it `e^η` times as often (in odds), the coin is `w·e^η / (w·e^η + 1 − w)`.
//! The likelihood ratio of the two, multiplied over exceedances, is a martingale for every η and for
//! shares that change, as long as each is known beforehand; so is its mean over η with weights that
//! sum to 1. It begins at 1 and exceeds `1/α` with a probability of at most α, ever (Ville's
//! inequality; Lindon and Malek, arXiv 2011.03567). The weights are a Beta mixture of the coin of a
//! share of one half: see [`nodes`].
//!
//! Where the candidate exceeds it less often than assumed the mean only falls, so each direction is
//! a test of "not more often than" or "not less often than".

use std::sync::LazyLock;

/// How many effects of each direction are weighed.
const NODES: usize = 40;
/// The least effect, in η: the candidate exceeds something 0.4 % more often.
const LEAST: f64 = 0.004;
/// How much each is greater than the one before. The greatest is 134 times as often.
const GROWTH: f64 = 1.2;
/// Half of the weight is on effects of any size: Jeffreys' prior of the coin.
const ANY_SIZE: f64 = 0.5;
/// Half is on those of releases that differ a little: a deviation of 0.28 in η.
const SMALL: f64 = 25.0;
/// Bounds are looked for between `e^-12` and `e^12`.
const FARTHEST: f64 = 12.0;
/// Halving that interval so often leaves less than 1e-12.
const HALVINGS: u32 = 56;

/// How many requests of each arm exceeded something, while the candidate's share was the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exceedances {
    /// The candidate's share of traffic.
    pub(crate) share: f64,
    /// By the candidate.
    pub(crate) candidate: u64,
    /// By the baseline.
    pub(crate) baseline: u64,
}

impl Exceedances {
    fn all(self) -> f64 {
        self.candidate as f64 + self.baseline as f64
    }
}

/// What there is evidence for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The candidate exceeds it more often than assumed.
    More,
    /// It does so less often.
    Less,
}

impl Direction {
    fn sign(self) -> f64 {
        match self {
            Self::More => 1.0,
            Self::Less => -1.0,
        }
    }
}

/// An effect, as the size of η, and the logarithm of its weight.
#[derive(Debug, Clone, Copy)]
struct Node {
    size: f64,
    log_weight: f64,
}

/// The effects of one direction. Weights sum to 1 exactly enough, and any that do make an exact
/// test: that there are finitely many costs power and no validity.
fn nodes() -> &'static [Node; NODES] {
    static ALL: LazyLock<[Node; NODES]> = LazyLock::new(|| {
        let mut nodes = std::array::from_fn(|index| {
            let size = LEAST * GROWTH.powi(index as i32);
            // Nodes are as far apart as they are great, so each stands for as much.
            let log_weight = log_sum([log_beta(size, ANY_SIZE), log_beta(size, SMALL)]);
            Node {
                size,
                log_weight: log_weight + size.ln(),
            }
        });
        let total = log_sum(nodes.map(|node: Node| node.log_weight));
        for node in &mut nodes {
            node.log_weight -= total;
        }
        nodes
    });
    &ALL
}

/// The logarithm of the density of η where the coin `e^η / (e^η + 1)` is Beta(`shape`, `shape`).
fn log_beta(size: f64, shape: f64) -> f64 {
    let normalisation = if shape == ANY_SIZE {
        std::f64::consts::PI.ln()
    } else {
        // Γ(n)² / Γ(2n) for a whole n.
        let log_factorial = |n: u32| (1..=n).map(|k| f64::from(k).ln()).sum::<f64>();
        let n = shape as u32;
        2.0 * log_factorial(n - 1) - log_factorial(2 * n - 1)
    };
    let log_heads = -(-size).exp().ln_1p();
    let log_tails = log_heads - size;
    shape * (log_heads + log_tails) - normalisation
}

/// The logarithm of a sum, of logarithms; never above what fits, where the sum may be.
pub(crate) fn log_sum(terms: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let greatest = terms.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if greatest == f64::NEG_INFINITY {
        return greatest;
    }
    let sum: f64 = terms.into_iter().map(|term| (term - greatest).exp()).sum();
    greatest + sum.ln()
}

/// How much likelier the exceedances are with an effect of `effect` than with one of `assumed`, as
/// a logarithm.
fn log_ratio(strata: &[Exceedances], assumed: f64, effect: f64) -> f64 {
    let of_one = |stratum: &Exceedances| {
        let spread = log_spread(stratum.share, effect) - log_spread(stratum.share, assumed);
        stratum.candidate as f64 * (effect - assumed) - stratum.all() * spread
    };
    // Under most shares there may be nothing to count, which costs nothing then.
    let counted = strata.iter().filter(|stratum| stratum.all() > 0.0);
    counted.map(of_one).sum()
}

/// `ln(w·e^η + 1 − w)`.
fn log_spread(share: f64, effect: f64) -> f64 {
    (share * effect.exp_m1()).ln_1p()
}

/// The logarithm of the evidence against "in the given direction it is not more than `assumed`",
/// where 0 is no difference.
pub(crate) fn log_evidence(strata: &[Exceedances], direction: Direction, assumed: f64) -> f64 {
    log_sum(nodes().map(|node| {
        let effect = assumed + direction.sign() * node.size;
        node.log_weight + log_ratio(strata, assumed, effect)
    }))
}

/// The logarithm of the evidence against "of the candidate's requests, at least `margin` more than
/// of the baseline's fail", a part of all requests. `succeeded` are the baseline's that did not, in
/// the same order as the failures.
///
/// It is the test of [`log_evidence`] if of the baseline's other requests a part of `margin`, drawn
/// by lot, had failed too. Instead of drawing, each counts for what is expected of the draw, which
/// is exact as well and takes no chance.
pub(crate) fn log_evidence_within(failures: &[Exceedances], succeeded: &[u64], margin: f64) -> f64 {
    log_sum(nodes().map(|node| {
        let effect = -node.size;
        let of_drawn = |(stratum, succeeded): (&Exceedances, &u64)| {
            let factor = (-log_spread(stratum.share, effect)).exp_m1();
            *succeeded as f64 * (margin * factor).ln_1p()
        };
        let drawn: f64 = failures.iter().zip(succeeded).map(of_drawn).sum();
        node.log_weight + log_ratio(failures, 0.0, effect) + drawn
    }))
}

/// The effect that explains the exceedances best; none where there is none of an arm.
pub(crate) fn estimate(strata: &[Exceedances]) -> Option<f64> {
    let exceeded_by = |of: fn(&Exceedances) -> u64| strata.iter().any(|stratum| of(stratum) > 0);
    let both = exceeded_by(|stratum| stratum.candidate) && exceeded_by(|stratum| stratum.baseline);
    // How many more the candidate has than is expected with an effect falls as that grows.
    let surplus = |effect: f64| -> f64 {
        let of_one = |stratum: &Exceedances| {
            let coin = stratum.share * (effect - log_spread(stratum.share, effect)).exp();
            stratum.candidate as f64 - stratum.all() * coin
        };
        strata.iter().map(of_one).sum()
    };
    both.then(|| turning_point(|effect| surplus(effect) > 0.0))
}

/// The end of the confidence sequence of the effect on one side: the greatest effect against which
/// there is evidence of `1/alpha` that it is [`More`](Direction::More), or the least against which
/// there is that it is [`Less`](Direction::Less). None where nothing is excluded.
pub(crate) fn bound(strata: &[Exceedances], direction: Direction, alpha: f64) -> Option<f64> {
    let needed = -alpha.ln();
    let is_excluded = |effect: f64| log_evidence(strata, direction, effect) >= needed;
    // Evidence for more than an effect falls as that grows, and the other way around.
    let end = match direction {
        Direction::More => turning_point(is_excluded),
        Direction::Less => turning_point(|effect| !is_excluded(effect)),
    };
    (end.abs() < FARTHEST - 1e-6).then_some(end)
}

/// Where something stops to be so, which is so for what is less.
fn turning_point(is_so: impl Fn(f64) -> bool) -> f64 {
    let (mut so, mut not_so) = (-FARTHEST, FARTHEST);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(so, not_so);
        if is_so(middle) {
            so = middle;
        } else {
            not_so = middle;
        }
    }
    f64::midpoint(so, not_so)
}

#[cfg(test)]
#[path = "evidence/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "evidence/against_scipy.rs"]
mod against_scipy;
