"""Scenarios of the scaling rules: powers of a size with multiplicative noise, and curves that collapse."""

from __future__ import annotations

import numpy as np

from touchstone.evidence.calibration.scenario import Promise, Scenario, each
from touchstone.evidence.rules.collapse import Collapse, CollapsesBetter
from touchstone.evidence.rules.exponent import ExponentAtMost
from touchstone.evidence.rules.growth import NoGrowth
from touchstone.evidence.rules.slopes import SlopesDoNotRise, SlopeWithin
from touchstone.evidence.series import Series
from touchstone.evidence.thresholds import collapse_spread

WHY = "calibration"


def noisy_power(
    rng: np.random.Generator, exponent: float, noise: float, sizes: int = 6, decades: float = 1.5
) -> Series:
    """x^exponent over ``decades``, each value off by a factor of about 1 ± ``noise``."""
    x = np.geomspace(10, 10 * 10**decades, sizes)
    return Series(x, x**exponent * np.exp(noise * rng.standard_normal(sizes)))


def _slope_within(end: str) -> Scenario:
    rule = SlopeWithin(0.5, 0.9, why=WHY)
    limit, sign = (rule.high, 1) if end == "upper" else (rule.low, -1)
    return Scenario(
        rule,
        f"{end} end, 6 sizes, noise 5 %",
        f"slope beyond the {end} end",
        0.0,
        0.2,
        (
            Promise("false alarm", 0.0, "a slope inside is rejected in at most 0.5 % of the runs"),
            Promise("false acceptance", 0.0, "one outside accepted in at most 0.5 %"),
            Promise("power", 0.2, "reject a slope of 0.2 beyond either end with probability above 99 %"),
        ),
        each(lambda rng, beyond: noisy_power(rng, limit + sign * beyond, 0.05)),
    )


def _falling_slopes(sizes: int) -> Scenario:
    rule = SlopesDoNotRise(0.05, why=WHY)
    step = 0.7
    log_x = 1.0 + step * np.arange(sizes)
    jitter = rule.tolerance * step / 6

    def draw(rng: np.random.Generator, climb: float) -> Series:
        slopes = 1 + np.linspace(0, climb * rule.tolerance, sizes - 1)
        log_y = np.concatenate([[0.0], np.cumsum(slopes * step)])
        return Series(np.exp(log_x), np.exp(log_y + jitter * rng.standard_normal(sizes)))

    return Scenario(
        rule,
        f"{sizes} sizes, the allowed jitter",
        "climb of the slopes, in tolerances",
        0.0,
        5.0,
        (
            Promise(
                "false alarm",
                0.0,
                "Jitter of standard deviation s in log y stays harmless (false alarms below 1 %) up to s = "
                "tolerance · h / 6",
            ),
            Promise(
                "power",
                5.0,
                "slopes that climb by 5 ``tolerance`` in all are rejected with probability above 99 %",
            ),
        ),
        each(draw),
    )


FLAT = "A ratio whose true slope is ``slack`` or less is rejected in at most 0.5 % of the runs"
STEEP = "a steeper one accepted in at most 0.5 %"


def _no_growth(slack: float, sizes: int, decades: float, words: str) -> Scenario:
    rule = NoGrowth(slack, why=WHY)
    return Scenario(
        rule,
        f"{sizes} sizes, noise 3 %",
        "growth of the ratio, in slacks",
        1.0,
        2.0,
        (
            Promise("false alarm", 1.0, FLAT),
            Promise("false acceptance", 1.0, STEEP),
            Promise("acceptance", 0.0, words),
            Promise("power", 2.0, words),
        ),
        each(lambda rng, growth: noisy_power(rng, growth * slack, 0.03, sizes, decades)),
    )


def _common_growth() -> Scenario:
    rule = NoGrowth(0.1, why=WHY)

    def draw(rng: np.random.Generator, growth: float) -> dict[int, Series]:
        return {label: noisy_power(rng, growth * rule.slack, 0.03) for label in range(3)}

    return Scenario(
        rule,
        "3 labels, noise 3 %",
        "growth of the ratio, in slacks",
        1.0,
        2.0,
        (Promise("false alarm", 1.0, FLAT), Promise("false acceptance", 1.0, STEEP)),
        each(draw),
    )


def _growth_over_seeds() -> Scenario:
    rule = NoGrowth(0.1, why=WHY)

    # each seed has a slope of its own, so that its points lie on a line that is not the truth
    def draw(rng: np.random.Generator, growth: float) -> list[Series]:
        return [noisy_power(rng, growth * rule.slack + 0.05 * rng.normal(), 0.01) for _ in range(8)]

    return Scenario(
        rule,
        "8 seeds, a slope each",
        "growth of the ratio, in slacks",
        1.0,
        2.0,
        (Promise("false alarm", 1.0, FLAT, 3000), Promise("false acceptance", 1.0, STEEP, 3000)),
        each(draw),
        curve=100,
    )


def _collapse() -> Scenario:
    rule = CollapsesBetter(3, why=WHY)
    z = np.geomspace(0.1, 10, 12)
    claimed, rivals = 0.5, (0.25, 0.75)

    # the claim stays, the world moves: the true scale is n^(claimed + off)
    def draw(rng: np.random.Generator, off: float) -> Collapse:
        curves = {
            n: (z * n ** (claimed + off), z * np.exp(0.05 * rng.standard_normal(len(z))))
            for n in (1e2, 1e4, 1e6)
        }
        spread = {p: collapse_spread(curves, lambda n, p=p: n**p) for p in (claimed, *rivals)}
        return Collapse(spread[claimed], {f"n^{p:g}": spread[p] for p in rivals})

    words = (
        "tells x-scales whose exponents of the size differ by 1/4: the true one is rejected in fewer than 1 "
        "% of the runs and accepted in more than 99 %, a false one rejected in more than 99 %"
    )
    return Scenario(
        rule,
        "3 sizes over 4 decades, noise 5 %",
        "exponent of the true scale off the claimed one",
        0.0,
        0.25,
        tuple(
            Promise(kind, at, words, 5000)
            for kind, at in (("false alarm", 0.0), ("acceptance", 0.0), ("power", 0.25))
        ),
        each(draw),
        span=(0.0, 1.25),
    )


SCENARIOS = (
    Scenario(
        ExponentAtMost(1, slack=0.1, why=WHY),
        "6 sizes over 1.5 decades, noise 5 %",
        "exponent above the limit",
        0.0,
        0.2,
        (
            Promise("false alarm", 0.0, "an exponent at the limit itself is rejected in 0.5 % of the runs"),
            Promise("false acceptance", 0.0, "one above it is accepted in at most 0.5 %"),
            Promise("power", 0.2, "reject an exponent of 0.2 above the limit with probability above 99 %"),
        ),
        each(lambda rng, excess: noisy_power(rng, 1.1 + excess, 0.05)),
    ),
    _slope_within("upper"),
    _slope_within("lower"),
    _falling_slopes(6),
    _falling_slopes(24),
    _no_growth(
        0.15,
        6,
        1.5,
        "With six sizes over 1.5 decades and noise of 3 % in each value, a flat ratio is accepted and one "
        "that grows like x^(2 ``slack``) rejected with probability above 99 % from ``slack`` = 0.15 on",
    ),
    _no_growth(
        0.05,
        10,
        3.0,
        "a flat ratio is accepted and one that grows like x^(2 ``slack``) rejected with probability above "
        "99 % from ``slack`` = 0.15 on; with ten sizes over 3 decades from ``slack`` = 0.05 on",
    ),
    _common_growth(),
    _growth_over_seeds(),
    _collapse(),
)
