"""Scenarios of the rules for means, estimates, paired comparisons and monotone curves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from touchstone.evidence.calibration.scenario import Promise, Scenario, each
from touchstone.evidence.means import Estimate
from touchstone.evidence.rules.comparison import IntervalAbove
from touchstone.evidence.rules.interval import IntervalWithin
from touchstone.evidence.rules.mean import MeanWithin
from touchstone.evidence.rules.monotone import Monotone

WHY = "calibration"


def _interval() -> Scenario:
    rule = IntervalWithin(0, 12, why=WHY)
    half = float(stats.norm.ppf(0.5 + rule.conf / 2))

    def draw(rng: np.random.Generator, beyond: float) -> Estimate:
        value = rule.high + beyond + rng.normal()
        return Estimate(value, (value - half, value + half), rule.conf)

    words = (
        "A normal estimate with standard error s that lies 6 s inside both limits is accepted, and one 6 s "
        "outside rejected, with probability above 99 %"
    )
    return Scenario(
        rule,
        "a normal estimate",
        "estimate beyond the limit, in standard errors",
        0.0,
        6.0,
        (
            Promise(
                "false alarm", 0.0, "a value inside is rejected in at most (1 - ``conf``) / 2 of the runs"
            ),
            Promise("false acceptance", 0.0, "one outside accepted in as many (0.5 % for 0.99)"),
            Promise("acceptance", -6.0, words),
            Promise("power", 6.0, words),
        ),
        each(draw),
    )


INSIDE = "A mean inside is rejected, and one outside accepted, in at most 1 % of the runs"
FAR = (
    "a mean that is 6.5 s / √m inside both limits is accepted, and one as far outside rejected, with "
    "probability above 99 % from m = 30 on"
)


def _mean_power() -> Scenario:
    m = 30
    unit = 1 / math.sqrt(m)
    rule = MeanWithin(-6.5 * unit, 6.5 * unit, why=WHY)
    return Scenario(
        rule,
        f"{m} normal draws",
        "mean beyond the limit, in s / √m",
        0.0,
        6.5,
        (
            Promise("false alarm", 0.0, INSIDE, 4000),
            Promise("false acceptance", 0.0, INSIDE, 4000),
            Promise("acceptance", -6.5, FAR, 1200),
            Promise("power", 6.5, FAR, 1200),
        ),
        each(lambda rng, beyond: rng.normal(rule.high + beyond * unit, size=m)),
        curve=100,
    )


def _skewed_mean() -> Scenario:
    # beyond 1000 draws there is no bootstrap to widen the interval, and the long tail is on the other side
    m = 1001
    unit = 1 / math.sqrt(m)
    rule = MeanWithin(low=1.0, why=WHY)
    return Scenario(
        rule,
        f"{m} exponential draws",
        "mean beyond the limit, in s / √m",
        0.0,
        6.5,
        (
            Promise("false alarm", 0.0, "up to 2 (exponential) from m = 1000 on"),
            Promise("power", 6.5, FAR, 5000),
        ),
        each(lambda rng, beyond: rng.exponential(size=m) - beyond * unit),
    )


def _advantage(law: str, draw: Callable[[np.random.Generator, int], np.ndarray]) -> Scenario:
    m = 20
    rule = IntervalAbove(effect=1.6, why=WHY)
    decides = (
        "With 20 seeds and differences of standard deviation s, ``effect`` = 1.6 s decides both ways with a "
        "power above 99 %: the advantage is accepted, A against A is rejected"
    )
    same = "A against A with fresh seeds is accepted in at most 0.5 % of the runs, whatever the distribution"
    promises = (
        Promise(
            "false alarm",
            0.0,
            "an advantage of ``effect`` is rejected in at most 1 % (normal differences)",
            1500,
        ),
        Promise("acceptance", 0.0, decides, 1500),
        Promise("false acceptance", rule.effect, same, 1500),
        Promise("power", rule.effect, decides, 1500),
    )
    if law != "normal":
        promises = (Promise("false acceptance", rule.effect, same, 1500),)
    return Scenario(
        rule,
        f"{m} seeds, {law} differences",
        "what is missing of the advantage, in deviations",
        0.0,
        rule.effect,
        promises,
        each(lambda rng, missing: rule.effect - missing + draw(rng, m)),
        curve=60,
        span=(-0.5, 1.25),
    )


def _monotone(m: int) -> Scenario:
    tolerance = 2 * math.sqrt(2 * math.log(m) + 3.3)
    rule = Monotone("rises", tolerance, why=WHY)

    # a level curve, the hardest of all that rise, whose last value drops; noise of deviation 1
    def draw(rng: np.random.Generator, larger: float) -> np.ndarray:
        values = rng.normal(size=m)
        values[-1] -= tolerance + larger
        return values

    return Scenario(
        rule,
        f"{m} values",
        "reversal beyond the tolerance, in deviations",
        -tolerance,
        3.3,
        (
            Promise("false alarm", -tolerance, "false alarms below 1 %"),
            Promise(
                "power",
                3.3,
                "A reversal that is larger by another 3.3 s is rejected with probability above 99 %",
            ),
        ),
        each(draw),
        span=(0.0, 1.5),
    )


def _normal(rng: np.random.Generator, m: int) -> np.ndarray:
    return rng.normal(size=m)


def _heavy(rng: np.random.Generator, m: int) -> np.ndarray:
    return rng.standard_t(2, size=m) - rng.standard_t(2, size=m)


SCENARIOS = (
    _interval(),
    _mean_power(),
    _skewed_mean(),
    _advantage("normal", _normal),
    _advantage("heavy-tailed", _heavy),
    _monotone(5),
    _monotone(100),
)
