"""Scenarios of the rules for identities, bounds and reductions, and of several rules at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from touchstone.evidence.calibration.scaling import noisy_power
from touchstone.evidence.calibration.scenario import Promise, Sample, Scenario, each
from touchstone.evidence.gaps import relative_gap
from touchstone.evidence.rules.all_correct import AllCorrect, Decisions
from touchstone.evidence.rules.all_of import AllOf
from touchstone.evidence.rules.base import Rule
from touchstone.evidence.rules.exponent import ExponentAtMost
from touchstone.evidence.rules.gap import GapAtMost
from touchstone.evidence.rules.ratio import RatioAtMost, RatioWithin
from touchstone.evidence.series import Series
from touchstone.evidence.tolerances import rounding_error

WHY = "calibration"
INSTANCES = 20
FAILING = (
    0.21  # the docstrings' failure rate for 20 instances: power 99.1 %, so it takes many trials to certify
)
MANY = 250_000


def _rounded_sums(condition: float) -> Scenario:
    n = 200
    # one product and n - 1 sums: a chain of n rounded operations; two more where the terms were rounded
    rule = GapAtMost(condition * rounding_error(n + 2, "float32"), why=WHY)

    def draw(rng: np.random.Generator, off: float) -> float:
        x, y = rng.uniform(0.5, 1.5, (2, n))
        if condition > 1:  # cancelling terms: sum |x y| / |sum x y| is the condition number
            y[1::2] = -y[::2] * x[::2] / x[1::2]
            y[0] += 2 * float(np.abs(x * y).sum()) / condition / x[0]
        x, y = x.astype(np.float32), y.astype(np.float32)
        exact = float(x.astype(np.float64) @ y.astype(np.float64))
        total = float(np.add.accumulate(x * y)[-1])  # one rounded sum after the other
        return float(relative_gap(total + off * rule.tolerance * exact, exact))

    return Scenario(
        rule,
        f"float32 sums of condition {condition:g}",
        "error of the formula, in tolerances",
        0.0,
        2.0,
        (
            Promise(
                "false alarm",
                0.0,
                "with a tolerance above the rounding error of both computations it never rejects an "
                "identity that holds",
                4000,
            ),
            Promise("power", 2.0, "it always rejects one that is off by more than twice the tolerance", 4000),
        ),
        each(draw),
        span=(0.0, 1.5),
    )


def _one_failing(
    rule: Rule, name: str, harmless: str, words: str, draw: Callable[[np.random.Generator, float], Any]
) -> Scenario:
    return Scenario(
        rule,
        f"{INSTANCES} {name}",
        "share of instances on which the claim fails",
        0.0,
        FAILING,
        (Promise("false alarm", 0.0, harmless, 5000), Promise("power", FAILING, words, MANY)),
        each(draw),
        span=(0.0, 1.5),
    )


def _ratio(rng: np.random.Generator, failing: float) -> np.ndarray:
    # a bound that is attained up to rounding, and broken by one per mille in a share of the instances
    attained = 1 - np.abs(1e-10 * rng.standard_normal(INSTANCES))
    return attained + 1e-3 * (rng.random(INSTANCES) < failing)


def _ratio_within(rng: np.random.Generator, failing: float) -> np.ndarray:
    inside = rng.uniform(0.99, 1.0, INSTANCES)
    outside = np.where(rng.random(INSTANCES) < 0.5, 0.99 - 1e-3, 1.0 + 1e-3)
    return np.where(rng.random(INSTANCES) < failing, outside, inside)


TRUTH = np.arange(INSTANCES) % 2 == 0


def _decisions(rng: np.random.Generator, failing: float) -> Decisions:
    return Decisions(TRUTH ^ (rng.random(INSTANCES) < failing), TRUTH)


PART = ExponentAtMost(1, slack=0.1, why=WHY)
PART_EFFECT = 0.2  # what that rule's docstring states


def _pair(others: float | None) -> Sample:
    """Two exponents off their limits: the first by the effect, the second too or by ``others``."""

    def draw(rng: np.random.Generator, effect: float) -> dict[str, Series]:
        first, second = effect, effect if others is None else others
        return {
            "first": noisy_power(rng, PART.limit + first * PART_EFFECT, 0.05),
            "second": noisy_power(rng, PART.limit + second * PART_EFFECT, 0.05),
        }

    return each(draw)


def _all_of() -> tuple[Scenario, Scenario]:
    rule = AllOf({"first": PART, "second": PART})
    measure = "exponent above the limit, in the part's stated effect"
    return (
        Scenario(
            rule,
            "one of two exponents off",
            measure,
            0.0,
            1.0,
            (
                Promise(
                    "false alarm",
                    0.0,
                    "A false alarm of any part is one of the whole, so the parts' rates add",
                ),
                Promise("power", 1.0, "the power is at least that of the best part"),
            ),
            _pair(-1.0),
        ),
        Scenario(
            rule,
            "both exponents at their limit",
            measure,
            0.0,
            1.0,
            # the sum of the two rates is 0.9975 %: no certificate below 1 %, but a place next to it
            (Promise("false alarm", 0.0, "two parts at 0.5 % stay within 1 %", 40_000),),
            _pair(None),
        ),
    )


SCENARIOS = (
    _rounded_sums(1.0),
    _rounded_sums(1e3),
    _one_failing(
        RatioAtMost(1, roundoff=1e-9, why=WHY),
        "ratios, attained up to rounding",
        "a bound that holds is never rejected while rounding stays below the allowance",
        "at least 99 % from q = 1 - 0.01^(1/N) on (q = 0.21 for N = 20)",
        _ratio,
    ),
    _one_failing(
        RatioWithin(0.99, 1.0, why=WHY),
        "ratios, up to both ends",
        "a ratio inside is never rejected",
        "(at least 99 % from a failing share of 0.21 on for N = 20)",
        _ratio_within,
    ),
    _one_failing(
        AllCorrect(why=WHY),
        "instances",
        "A reduction that always answers right is never rejected",
        "at least 99 % from q = 1 - 0.01^(1/N) on (q = 0.21 for N = 20)",
        _decisions,
    ),
    *_all_of(),
)
