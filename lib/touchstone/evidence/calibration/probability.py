"""Scenarios of the rules for probabilities and distributions."""

from __future__ import annotations

import numpy as np
from scipy import stats

from touchstone.evidence.calibration.scenario import Promise, Sample, Scenario, binomial, each, tallied
from touchstone.evidence.proportions import least_trials_to_certify, least_trials_to_exceed
from touchstone.evidence.rules.counts import Counts, CountsMatch
from touchstone.evidence.rules.distribution import Draws, SameDistribution
from touchstone.evidence.rules.failure_rate import FailureRateAtLeast, FailureRateAtMost, Trials
from touchstone.evidence.rules.rate import Frequency, RateMatches

WHY = "calibration"
# judged once for each different count, so that rates just inside a limit cost nothing to certify
MILLIONS = 4_000_000
PROBABILITY = "probability of failure"


def _failures(trials: int) -> Sample:
    return binomial(trials, lambda p: p, lambda failures, p: Trials(failures, trials))  # noqa: ARG005


def _at_most(detects: float | None) -> Scenario:
    rule = FailureRateAtMost(0.1, detects=detects, why=WHY)
    trials = least_trials_to_exceed(rule.delta, rule.effect, rule.conf)  # the fewest that it takes
    words = "The probability of failure that is rejected with a power of 99 %"
    if detects is not None:
        words = "the trials must suffice to reject the probability ``detects`` with a power of 99 %"
    return Scenario(
        rule,
        f"{trials} trials, detects {rule.effect:g}",
        PROBABILITY,
        rule.delta,
        rule.effect,
        (
            Promise(
                "false alarm",
                rule.delta,
                "A probability of ``delta`` or less is rejected in at most 1 % of the runs",
            ),
            Promise("power", rule.effect, words),
        ),
        _failures(trials),
        MILLIONS,
        20_000,
        (0.0, 1.5),
    )


def _certified() -> Scenario:
    rule = FailureRateAtMost(0.1, certify=True, why=WHY)
    trials = least_trials_to_certify(rule.delta, rule.conf)
    return Scenario(
        rule,
        f"{trials} trials, certify",
        PROBABILITY,
        rule.delta,
        rule.effect,
        (
            Promise("false alarm", rule.delta, "a lower end above it rejects"),
            Promise(
                "false acceptance",
                rule.delta,
                "A probability above ``delta`` is accepted in at most 1 % of the runs",
            ),
            Promise("power", rule.effect, "The probability of failure that is rejected with a power of 99 %"),
        ),
        _failures(trials),
        MILLIONS,
        20_000,
        (0.0, 1.5),
    )


def _at_least() -> Scenario:
    rule = FailureRateAtLeast(0.1, why=WHY)
    words = (
        "With 200 trials and ``delta`` = 0.1 a rate of 0.22 is accepted, and one of 0.02 rejected, with "
        "probability above 99 %"
    )
    return Scenario(
        rule,
        "200 trials",
        PROBABILITY,
        rule.delta,
        0.02,
        (
            Promise("false alarm", rule.delta, "a larger one rejected in at most 1 %"),
            Promise(
                "false acceptance",
                rule.delta,
                "A probability of ``delta`` or less is accepted in at most 1 % of the runs",
            ),
            Promise("acceptance", 0.22, words),
            Promise("power", 0.02, words),
        ),
        _failures(200),
        MILLIONS,
        20_000,
        (-1.5, 1.25),
    )


def _rate_matches(predicted: float) -> Scenario:
    trials = 1000
    rule = RateMatches(2.6 / trials**0.5, why=WHY)
    words = (
        "one cell with the predicted probability is accepted, and one that is off by twice the tolerance "
        "rejected, with a probability above 99 %"
    )
    return Scenario(
        rule,
        f"{trials} trials at {predicted:g}",
        "deviation from the prediction, in tolerances",
        1.0,
        2.0,
        (
            Promise("false alarm", 1.0, "A true prediction is rejected in at most 1 % of the runs"),
            Promise("acceptance", 0.0, words),
            Promise("power", 2.0, words),
        ),
        binomial(
            trials,
            lambda off: predicted + off * rule.tolerance,
            lambda events, off: Frequency(events, trials, predicted),  # noqa: ARG005
        ),
        MILLIONS,
        20_000,
    )


def _counts(name: str, probabilities: tuple[float, ...], draws: int, detects: float) -> Scenario:
    rule = CountsMatch(detects, why=WHY)
    p = np.asarray(probabilities)
    tilt = (np.arange(len(p)) == np.argmin(p)) - p.min()
    tilt /= np.sqrt(np.sum(p * tilt**2))  # a weighted mean square of 1
    return Scenario(
        rule,
        f"{draws} draws, {name}",
        "relative deviation of the probabilities",
        0.0,
        rule.detects,
        (
            Promise(
                "false alarm", 0.0, "True probabilities are rejected in at most 1 % of the runs", 100_000
            ),
            Promise(
                "power",
                rule.detects,
                "Frequencies whose deviation is w = ``detects`` are rejected with a power of 99 %",
                100_000,
            ),
        ),
        tallied(
            lambda rng, w, n: rng.multinomial(draws, p * (1 + w * tilt), n),
            lambda counts, w: Counts(counts, p),  # noqa: ARG005
        ),
        curve=2000,
        span=(0.0, 1.5),
    )


TRUE_LAW = "A true law is rejected in at most 1 % of the runs, whatever it is"
OTHER_LAW = "A law at distance ``detects`` is rejected with a power of 99 %"


def _shift(distance: float) -> float:
    """How far apart two standard normal laws are whose distribution functions differ by ``distance``."""
    return float(2 * stats.norm.ppf(0.5 + distance / 2))


def _law() -> Scenario:
    rule = SameDistribution(0.5, why=WHY)
    m = 44
    return Scenario(
        rule,
        f"{m} draws against a law",
        "distance of the distribution functions",
        0.0,
        rule.detects,
        (Promise("false alarm", 0.0, TRUE_LAW, 50_000), Promise("power", rule.detects, OTHER_LAW, 2000)),
        each(lambda rng, distance: Draws(rng.normal(size=m) + _shift(distance), stats.norm.cdf)),
        curve=100,
        span=(0.0, 1.5),
    )


def _two_samples() -> Scenario:
    rule = SameDistribution(0.3, why=WHY)
    m = 370
    return Scenario(
        rule,
        f"{m} draws against as many",
        "distance of the distribution functions",
        0.0,
        rule.detects,
        (Promise("false alarm", 0.0, TRUE_LAW, 40_000), Promise("power", rule.detects, OTHER_LAW, 5000)),
        each(lambda rng, distance: Draws(rng.normal(size=m) + _shift(distance), rng.normal(size=m))),
        span=(0.0, 1.5),
    )


SCENARIOS = (
    _at_most(None),
    _at_most(0.2),
    _certified(),
    _at_least(),
    _rate_matches(0.5),
    _rate_matches(0.2),
    # the whole deviation in the rarest category, where it is hardest to see
    _counts("3 categories", (0.5, 0.3, 0.2), 860, 0.2),
    _counts("3 of 4 categories rare", (0.97, 0.01, 0.01, 0.01), 940, 0.25),
    # the rarest category with the least expected count that the rule takes
    _counts("expected counts of 5", (0.91, *[0.01] * 9), 500, 0.5),
    _law(),
    _two_samples(),
)
