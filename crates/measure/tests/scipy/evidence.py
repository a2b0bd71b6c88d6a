"""The evidence of crates/measure, from its definition and with scipy: cases as JSON on standard
input, what they come to on standard output. Nothing here follows how the crate computes it."""

import json
import math
import sys

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincc, betaln, expit, logit, logsumexp, xlogy
from scipy.stats import beta, binom

SIZES = 0.004 * 1.2 ** np.arange(40)
SHAPES = (0.5, 25.0)
FARTHEST = 12.0


def weights():
    """Half of each Beta prior of the coin, by where the coin is with even odds and an effect."""
    coins = expit(SIZES)
    # The coin changes by coin * (1 - coin) where the effect changes by 1.
    density = sum(beta.pdf(coins, shape, shape) * coins * (1 - coins) for shape in SHAPES)
    mass = density * SIZES
    return mass / mass.sum()


WEIGHTS = weights()


def coin(share, effect):
    """Where the coin is that falls on the candidate, with this effect on the odds."""
    return expit(logit(share) + effect)


def log_likelihood(strata, effect):
    """Of the arms of all exceedances, by binomials; what does not depend on the effect cancels."""
    return sum(
        binom.logpmf(s["candidate"], s["candidate"] + s["baseline"], coin(s["share"], effect))
        for s in strata
    )


def log_evidence(strata, sign, assumed):
    null = log_likelihood(strata, assumed)
    ratios = log_likelihood(strata, assumed + sign * SIZES) - null
    return logsumexp(ratios, b=WEIGHTS)


def log_within(strata, succeeded, margin):
    """Of the baseline's requests that were well, each fails by lot with the margin: the mean of what
    it then says, over the lot."""
    ratios = log_likelihood(strata, -SIZES) - log_likelihood(strata, 0.0)
    for stratum, well in zip(strata, succeeded):
        share = stratum["share"]
        failed = (1 - coin(share, -SIZES)) / (1 - share)
        ratios = ratios + xlogy(well, (1 - margin) + margin * failed)
    return logsumexp(ratios, b=WEIGHTS)


def bound(strata, sign, alpha):
    def missing(effect):
        return log_evidence(strata, sign, effect) + math.log(alpha)

    low, high = missing(-FARTHEST), missing(FARTHEST)
    if (low < 0) == (high < 0):
        return None
    return brentq(missing, -FARTHEST, FARTHEST, xtol=1e-12, rtol=1e-14)


def estimate(strata):
    if not any(s["candidate"] for s in strata) or not any(s["baseline"] for s in strata):
        return None

    def surplus(effect):
        return sum(
            s["candidate"] - (s["candidate"] + s["baseline"]) * coin(s["share"], effect)
            for s in strata
        )

    return brentq(surplus, -FARTHEST, FARTHEST, xtol=1e-12, rtol=1e-14)


def closed_form(strata):
    """Where all is under a share of one half: the mixture over all effects, not only the nodes, of
    which the integral is an incomplete Beta function."""
    if len(strata) != 1 or strata[0]["share"] != 0.5:
        return None
    heads, tails = strata[0]["candidate"], strata[0]["baseline"]
    logs = [
        betaln(shape + heads, shape + tails)
        + math.log(betaincc(shape + heads, shape + tails, 0.5))
        - betaln(shape, shape)
        - math.log(0.5)
        + (heads + tails) * math.log(2)
        for shape in SHAPES
    ]
    return logsumexp(logs) - math.log(len(SHAPES))


def answer(case):
    strata = case["strata"]
    return {
        "more": log_evidence(strata, 1, case["assumed"]),
        "less": log_evidence(strata, -1, case["assumed"]),
        "within": log_within(strata, case["succeeded"], case["margin"]),
        "low": bound(strata, 1, case["alpha"]),
        "high": bound(strata, -1, case["alpha"]),
        "estimate": estimate(strata),
        "closed_form": closed_form(strata),
    }


json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
