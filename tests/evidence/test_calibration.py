"""Each rule's false alarms (at most 1 %) and power (at least 99 %) on synthetic data, as its docstring says.

Rates are judged by the one-sided 99 % Clopper–Pearson ends, never by the point estimate. The numbers of
trials are chosen so that a rule at its design rate (0.5 % false alarms at the limit itself) passes with room.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from touchstone.evidence.gaps import relative_gap
from touchstone.evidence.rules import (
    AllCorrect,
    AllOf,
    Collapse,
    CollapsesBetter,
    Decisions,
    ExponentAtMost,
    GapAtMost,
    RatioAtMost,
    RatioWithin,
    SlopesDoNotRise,
    SlopeWithin,
)
from touchstone.evidence.series import Series
from touchstone.evidence.thresholds import collapse_spread
from touchstone.evidence.tolerances import rounding_error

MANY = 6000  # at a true rate of 0.5 % the upper end stays below 1 % with probability 0.999
SOME = 1000  # no event among them bounds its rate by 0.46 %


def at_most(count: int, trials: int) -> float:
    return stats.binomtest(count, trials, alternative="less").proportion_ci(0.99).high


def at_least(count: int, trials: int) -> float:
    return stats.binomtest(count, trials, alternative="greater").proportion_ci(0.99).low


def outcomes(rule, draw, trials: int) -> Counter:
    return Counter(rule.judge(draw()).outcome for _ in range(trials))


def noisy_powers(rng, exponent: float, noise: float = 0.05, sizes: int = 6, decades: float = 1.5):
    x = np.geomspace(10, 10 * 10**decades, sizes)
    return lambda: Series(x, x**exponent * np.exp(noise * rng.standard_normal(sizes)))


def test_the_yardstick_itself():
    assert at_most(0, 100) == pytest.approx(1 - 0.01 ** (1 / 100))
    assert at_least(100, 100) == pytest.approx(0.01 ** (1 / 100))
    assert at_most(30, MANY) < 0.01 < at_most(60, MANY)


# -- exponents and slopes --------------------------------------------------------------------------------


def test_exponent_at_the_limit_is_rarely_rejected_and_as_rarely_accepted():
    rng = np.random.default_rng(11)
    seen = outcomes(ExponentAtMost(1, slack=0.1, why="test"), noisy_powers(rng, 1.1), MANY)
    assert at_most(seen["rejects"], MANY) <= 0.01
    assert at_most(seen["accepts"], MANY) <= 0.01


def test_exponent_power():
    rng = np.random.default_rng(12)
    rule = ExponentAtMost(1, slack=0.1, why="test")
    false = outcomes(rule, noisy_powers(rng, 1.3), SOME)
    assert at_least(false["rejects"], SOME) >= 0.99
    true = outcomes(rule, noisy_powers(rng, 0.9), SOME)
    assert at_least(true["accepts"], SOME) >= 0.99


@pytest.mark.parametrize("end", [0.5, 0.9])
def test_slope_at_either_end_is_rarely_rejected_and_as_rarely_accepted(end):
    rng = np.random.default_rng(int(100 * end))
    seen = outcomes(SlopeWithin(0.5, 0.9, why="test"), noisy_powers(rng, end), MANY)
    assert at_most(seen["rejects"], MANY) <= 0.01
    assert at_most(seen["accepts"], MANY) <= 0.01


def test_slope_power():
    rng = np.random.default_rng(13)
    rule = SlopeWithin(0.5, 0.9, why="test")
    for false in (0.3, 1.1):
        assert at_least(outcomes(rule, noisy_powers(rng, false), SOME)["rejects"], SOME) >= 0.99
    assert at_least(outcomes(rule, noisy_powers(rng, 0.7), SOME)["accepts"], SOME) >= 0.99


@pytest.mark.parametrize("sizes", [6, 10, 24])
def test_falling_slopes(sizes):
    rng = np.random.default_rng(sizes)
    tolerance = 0.05
    log_x = np.linspace(1.0, 1.0 + 0.7 * (sizes - 1), sizes)
    noise = tolerance * 0.7 / 6  # the jitter that the docstring calls harmless
    rule = SlopesDoNotRise(tolerance, why="test")

    def series(slopes):
        log_y = np.concatenate([[0.0], np.cumsum(slopes * np.diff(log_x))])
        return lambda: Series(np.exp(log_x), np.exp(log_y + noise * rng.standard_normal(sizes)))

    level, climb = np.ones(sizes - 1), np.linspace(0, 5 * tolerance, sizes - 1)
    assert at_most(outcomes(rule, series(level), SOME)["rejects"], SOME) <= 0.01
    assert at_most(outcomes(rule, series(level - climb), SOME)["rejects"], SOME) <= 0.01
    assert at_least(outcomes(rule, series(level + climb), SOME)["rejects"], SOME) >= 0.99


# -- bounds, identities, reductions ----------------------------------------------------------------------

FAILURE = 1 - 0.01 ** (1 / 20)  # the smallest failure rate that 20 trials find with probability 99 %


def test_ratio_rule():
    rng = np.random.default_rng(14)
    rule = RatioAtMost(1, roundoff=1e-9, why="test")

    def draw(failing: float):
        # a bound that is attained up to rounding, and broken by one per mille in a share of the trials
        return lambda: 1 - np.abs(1e-10 * rng.standard_normal(20)) + 1e-3 * (rng.random(20) < failing)

    assert at_most(outcomes(rule, draw(0.0), SOME)["rejects"], SOME) <= 0.01
    # at exactly 99 % no number of trials shows "at least 99 %": a little above the stated effect
    assert at_least(outcomes(rule, draw(FAILURE + 0.06), SOME)["rejects"], SOME) >= 0.99
    share = outcomes(rule, draw(FAILURE), MANY)["rejects"] / MANY
    assert share == pytest.approx(0.99, abs=4 * np.sqrt(0.99 * 0.01 / MANY))


def test_ratio_within():
    rng = np.random.default_rng(15)
    rule = RatioWithin(0.99, 1.0, why="test")
    inside = outcomes(rule, lambda: rng.uniform(0.99, 1.0, 20), SOME)
    assert at_most(inside["rejects"], SOME) <= 0.01
    for factor in (0.98, 1.02):
        outside = outcomes(rule, lambda factor=factor: factor * rng.uniform(0.99, 1.0, 20), SOME)
        assert at_least(outside["rejects"], SOME) >= 0.99


@pytest.mark.parametrize("condition", [1.0, 1e3])
def test_gap_rule_on_rounded_sums(condition):
    rng = np.random.default_rng(16)
    n = 200
    # one product and n - 1 sums: a chain of n rounded operations; two more where the terms were rounded
    tolerance = condition * rounding_error(n + 2, "float32")
    rule = GapAtMost(tolerance, why="test")

    def draw(altered: float):
        def measure():
            x, y = rng.uniform(0.5, 1.5, (2, n))
            if condition > 1:  # cancelling terms: sum |x y| / |sum x y| is the condition number
                y[1::2] = -y[::2] * x[::2] / x[1::2]
                positive = float(np.abs(x * y).sum())
                y[0] += 2 * positive / condition / x[0]
            x, y = (v.astype(np.float32).astype(np.float64) for v in (x, y))
            exact = float(np.dot(x, y))
            total = np.float32(0)
            for term in (x.astype(np.float32) * y.astype(np.float32)).tolist():
                total = np.float32(total + np.float32(term))
            return relative_gap(float(total) + altered * exact, exact)

        return measure

    trials = 500  # no event among them bounds its rate by 0.92 %
    assert at_most(outcomes(rule, draw(0.0), trials)["rejects"], trials) <= 0.01
    assert at_least(outcomes(rule, draw(2.1 * tolerance), trials)["rejects"], trials) >= 0.99


def test_all_correct():
    rng = np.random.default_rng(17)
    rule = AllCorrect(why="test")
    truth = np.arange(20) % 2 == 0

    def draw(failing: float):
        return lambda: Decisions(truth ^ (rng.random(20) < failing), truth)

    assert at_most(outcomes(rule, draw(0.0), SOME)["rejects"], SOME) <= 0.01
    assert at_least(outcomes(rule, draw(FAILURE + 0.06), SOME)["rejects"], SOME) >= 0.99
    share = outcomes(rule, draw(FAILURE), MANY)["rejects"] / MANY
    assert share == pytest.approx(0.99, abs=4 * np.sqrt(0.99 * 0.01 / MANY))


# -- collapse --------------------------------------------------------------------------------------------


def test_collapse():
    rng = np.random.default_rng(18)
    rule = CollapsesBetter(3, why="test")
    sizes = (1e2, 1e4, 1e6)
    z = np.geomspace(0.1, 10, 12)
    rivals = (0.25, 0.75)

    def draw(claimed: float, others: tuple[float, ...]):
        def measure():
            curves = {
                n: (z * n**0.5, z * np.exp(0.05 * rng.standard_normal(len(z)))) for n in sizes
            }  # truth: the scale is the root of n
            spread = {p: collapse_spread(curves, lambda n, p=p: n**p) for p in (claimed, *others)}
            return Collapse(spread[claimed], {f"n^{p:g}": spread[p] for p in others})

        return measure

    true = outcomes(rule, draw(0.5, rivals), SOME)
    assert at_most(true["rejects"], SOME) <= 0.01
    assert at_least(true["accepts"], SOME) >= 0.99
    false = outcomes(rule, draw(0.25, (0.5, 0.75)), SOME)
    assert at_least(false["rejects"], SOME) >= 0.99


# -- several at once -------------------------------------------------------------------------------------


def test_all_of():
    rng = np.random.default_rng(19)
    part = ExponentAtMost(1, slack=0.1, why="test")
    rule = AllOf({"first": part, "second": part})

    def draw(one: float, other: float):
        first, second = noisy_powers(rng, one), noisy_powers(rng, other)
        return lambda: {"first": first(), "second": second()}

    true = outcomes(rule, draw(0.9, 0.9), SOME)
    assert at_most(true["rejects"], SOME) <= 0.01
    assert at_least(true["accepts"], SOME) >= 0.985  # twice a part's share of straddles
    for false in (draw(1.3, 0.9), draw(0.9, 1.3)):
        assert at_least(outcomes(rule, false, SOME)["rejects"], SOME) >= 0.99
    # at the limit in both parts the rates add, and only the sum is promised
    both = outcomes(rule, draw(1.1, 1.1), MANY)
    assert both["rejects"] / MANY == pytest.approx(1 - 0.995**2, abs=4 * np.sqrt(0.01 * 0.99 / MANY))
