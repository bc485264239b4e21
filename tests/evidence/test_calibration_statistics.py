"""False alarms (at most 1 %) and power (at least 99 %) of the rules that rest on statistics.

As in the calibration of the scaling rules: rates are judged by the one-sided 99 % Clopper–Pearson ends. The
binomial rules are calibrated exactly, outcome by outcome, beside their own tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from touchstone.evidence.means import Estimate
from touchstone.evidence.proportions import clopper_pearson
from touchstone.evidence.rules.base import Rule
from touchstone.evidence.rules.comparison import IntervalAbove, Paired
from touchstone.evidence.rules.counts import Counts, CountsMatch
from touchstone.evidence.rules.distribution import Draws, SameDistribution
from touchstone.evidence.rules.growth import NoGrowth
from touchstone.evidence.rules.interval import IntervalWithin
from touchstone.evidence.rules.linear import LinearIn, Points
from touchstone.evidence.rules.mean import MeanWithin
from touchstone.evidence.rules.monotone import Monotone
from touchstone.evidence.rules.order import OrderAtLeast
from touchstone.evidence.series import Series

MANY = 6000  # a true rate of 0.5 % keeps its upper end below 1 % with probability 0.999
SOME = 1000  # no event among them bounds its rate by 0.46 %

Draw = Callable[[], Any]


def outcomes(rule: Rule, draw: Draw, trials: int) -> Counter:
    return Counter(rule.judge(draw()).outcome for _ in range(trials))


def rarely(rule: Rule, draw: Draw, *kinds: str, trials: int = SOME) -> None:
    """Each of these outcomes has a probability of at most 1 %, certified."""
    seen = outcomes(rule, draw, trials)
    for kind in kinds:
        assert clopper_pearson(seen[kind], trials, 0.99, "upper")[1] <= 0.01, seen


def nearly_always(rule: Rule, draw: Draw, kind: str, trials: int = SOME) -> None:
    seen = outcomes(rule, draw, trials)
    assert clopper_pearson(seen[kind], trials, 0.99, "lower")[0] >= 0.99, seen


# -- means and estimates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "m"), [(stats.norm(), 1001), (stats.gamma(4), 1001), (stats.expon(), 1001)], ids=["normal", "skewed", "long"]
)
def test_mean_at_either_limit(law, m):
    # above 1000 draws there is no bootstrap, which only widens: the t interval alone has to hold
    rng = np.random.default_rng(1)
    draws = law.rvs((MANY, m), random_state=rng)
    rows = iter(draws)
    rarely(MeanWithin(high=float(law.mean()), why="test"), lambda: next(rows), "rejects", "accepts", trials=MANY)
    rows = iter(draws)
    rarely(MeanWithin(low=float(law.mean()), why="test"), lambda: next(rows), "rejects", "accepts", trials=MANY)


@pytest.mark.parametrize("m", [5, 30])
def test_mean_of_few_normal_draws(m):
    rng = np.random.default_rng(m)
    rarely(MeanWithin(high=0, why="test"), lambda: rng.normal(size=m), "rejects", "accepts", trials=2000)


@pytest.mark.parametrize("shape", [4.0, 1.0])
def test_mean_of_skewed_draws_from_the_stated_number_on(shape):
    rng = np.random.default_rng(int(shape))
    m = 100 if shape == 4 else 400  # skewness 2 / sqrt(shape): 1 and 2
    rarely(MeanWithin(low=shape, why="test"), lambda: rng.gamma(shape, size=m), "rejects", trials=1500)


def test_mean_power():
    rng = np.random.default_rng(2)
    m = 30
    step = 5.5 / np.sqrt(m)
    rule = MeanWithin(-step, step, why="test")
    nearly_always(rule, lambda: rng.normal(size=m), "accepts")
    for sign in (-1, 1):
        nearly_always(rule, lambda sign=sign: rng.normal(size=m) + sign * 2 * step, "rejects")


def test_interval():
    rng = np.random.default_rng(3)
    half = float(stats.norm.ppf(0.995))

    def draw(truth: float):
        def measure():
            value = truth + rng.normal()
            return Estimate(value, (value - half, value + half), 0.99)

        return measure

    rule = IntervalWithin(0, 10.4, why="test")
    rarely(rule, draw(0), "rejects", "accepts", trials=MANY)
    nearly_always(rule, draw(5.2), "accepts")
    nearly_always(rule, draw(-5.2), "rejects")


# -- comparisons -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["normal", "exponential", "heavy", "discrete"])
def test_a_against_a_is_not_accepted(law):
    rng = np.random.default_rng(4)
    draws = {
        "normal": lambda: rng.normal(size=10),
        "exponential": lambda: rng.exponential(size=10),
        "heavy": lambda: rng.standard_t(2, size=10),
        "discrete": lambda: rng.poisson(2, size=10).astype(float),
    }
    draw = draws[law]
    rarely(IntervalAbove(effect=1e-3, why="test"), lambda: Paired(draw(), draw()), "accepts", trials=SOME)


def test_an_advantage_of_the_effect_is_not_rejected():
    rng = np.random.default_rng(5)
    rarely(IntervalAbove(effect=1, why="test"), lambda: 1 + rng.normal(size=10), "rejects", trials=2000)


@pytest.mark.parametrize(("m", "effect", "trials"), [(10, 2.4, SOME), (20, 1.4, 600)])
def test_comparison_power(m, effect, trials):
    rng = np.random.default_rng(m)
    rule = IntervalAbove(effect=effect, why="test")
    nearly_always(rule, lambda: effect + rng.normal(size=m), "accepts", trials)
    nearly_always(rule, lambda: rng.normal(size=m), "rejects", trials)


# -- growth and rates ------------------------------------------------------------------------------------


def ratios(rng, exponent: float, sizes: int, decades: float, noise: float = 0.03) -> Draw:
    x = np.geomspace(10, 10 * 10**decades, sizes)
    return lambda: Series(x, x**exponent * np.exp(noise * rng.normal(size=sizes)))


@pytest.mark.parametrize(("slack", "sizes", "decades"), [(0.15, 6, 1.5), (0.05, 10, 3.0)])
def test_growth(slack, sizes, decades):
    rng = np.random.default_rng(sizes)
    rule = NoGrowth(slack, why="test")
    rarely(rule, ratios(rng, slack, sizes, decades), "rejects", "accepts", trials=MANY)
    nearly_always(rule, ratios(rng, 0, sizes, decades), "accepts")
    nearly_always(rule, ratios(rng, 2 * slack, sizes, decades), "rejects")


def test_common_growth_and_growth_over_seeds():
    rng = np.random.default_rng(6)
    rule = NoGrowth(0.1, why="test")
    one = ratios(rng, 0.1, 6, 1.5)
    rarely(rule, lambda: {k: one() for k in range(3)}, "rejects", "accepts", trials=3000)

    # each seed has a slope of its own, so that its points lie on a line that is not the truth
    def seeds():
        return [ratios(rng, 0.1 + 0.05 * rng.normal(), 6, 1.5, 0.01)() for _ in range(8)]

    rarely(rule, seeds, "rejects", "accepts", trials=SOME)


X = np.linspace(1, 10, 16)


def noisy(rng, curve: np.ndarray, noise: float) -> Draw:
    rise = curve[-1] - curve[0]
    return lambda: Points(X, curve + noise * rise * rng.normal(size=len(X)))


def test_line():
    rng = np.random.default_rng(7)
    rule = LinearIn("x", slope_at_most=1, why="test")
    rarely(rule, noisy(rng, X, 0.02), "rejects", trials=MANY)
    rarely(rule, noisy(rng, X, 0.01), "rejects", "accepts", trials=MANY)
    nearly_always(rule, noisy(rng, 0.9 * X, 0.01), "accepts")
    for false in (1.1 * X, 0.1 * X**2, np.sqrt(X), np.log(X)):
        nearly_always(rule, noisy(rng, false, 0.01), "rejects")


def test_rounded_iterations():
    rng = np.random.default_rng(8)
    rule = LinearIn("x", why="test")

    def draw(curve: np.ndarray) -> Draw:
        scaled = 30 * (curve - curve[0]) / (curve[-1] - curve[0])
        return lambda: Points(X, np.ceil(scaled + 3 * rng.random()))

    nearly_always(rule, draw(X), "accepts")
    for false in (X**2, np.sqrt(X), np.log(X)):
        nearly_always(rule, draw(false), "rejects")


def test_order():
    rng = np.random.default_rng(9)

    def draw(order: float, constant: float) -> Draw:
        def run() -> list[float]:
            errors = [0.1 * rng.uniform(0.5, 1)]
            while errors[-1] > 1e-15 and len(errors) < 40:
                errors.append(constant * errors[-1] ** order * float(np.exp(0.1 * rng.normal())))
            return errors

        return lambda: [run() for _ in range(5)]

    rule = OrderAtLeast(1.8, why="test")
    for constant in (0.5, 2):
        quadratic = draw(2, constant)
        rarely(rule, quadratic, "rejects")
        nearly_always(rule, quadratic, "accepts")
    for linear in (0.3, 0.8):
        rarely(rule, draw(1, linear), "accepts")
        nearly_always(rule, draw(1, linear), "rejects", 600)


@pytest.mark.parametrize("m", [5, 20, 100])
def test_monotone(m):
    rng = np.random.default_rng(m)
    tolerance = 2 * np.sqrt(2 * np.log(m) + 3.3)
    rule = Monotone("rises", float(tolerance), why="test")
    rarely(rule, lambda: rng.normal(size=m), "rejects", trials=3000)  # level: the hardest monotone curve
    reversal = np.zeros(m)
    reversal[-1] = -(tolerance + 3.3)
    nearly_always(rule, lambda: reversal + rng.normal(size=m), "rejects")


# -- distributions ---------------------------------------------------------------------------------------


def test_law():
    rng = np.random.default_rng(10)
    rule = SameDistribution(0.3, why="test")
    m = 120
    rarely(rule, lambda: Draws(rng.normal(size=m), stats.norm.cdf), "rejects", trials=2 * MANY)
    shift = 2 * stats.norm.ppf(0.5 + 0.15)  # puts the distribution functions 0.3 apart
    nearly_always(rule, lambda: Draws(rng.normal(size=m) + shift, stats.norm.cdf), "rejects")
    widened = stats.uniform(-0.5, 2.5)  # uniform on [-1/2, 2] against [0, 1]: 0.4 apart
    nearly_always(rule, lambda: Draws(widened.rvs(m, random_state=rng), stats.uniform.cdf), "rejects")


@pytest.mark.parametrize("sizes", [(370, 370), (250, 1000)])
def test_two_samples(sizes):
    rng = np.random.default_rng(11)
    m, k = sizes
    rule = SameDistribution(0.3, why="test")
    rarely(rule, lambda: Draws(rng.exponential(size=m), rng.exponential(size=k)), "rejects", trials=2500)
    shift = 2 * stats.norm.ppf(0.5 + 0.15)
    nearly_always(rule, lambda: Draws(rng.normal(size=m) + shift, rng.normal(size=k)), "rejects")


def test_counts():
    rng = np.random.default_rng(12)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    rule = CountsMatch(0.2, why="test")
    m = 700
    seen = outcomes(rule, lambda: Counts(rng.multinomial(m, p), p), 4 * MANY)
    # designed for 1 % and not below it: compatible with that, as far as 24 000 runs can tell
    assert clopper_pearson(seen["rejects"], 4 * MANY, 0.99, "lower")[0] <= 0.01
    assert seen["rejects"] / (4 * MANY) <= 0.012
    for signs in ([1, -1, -1, 1], [1, -1, 1, -1]):
        tilt = np.array(signs) * np.sqrt(1 / p / 4)  # a weighted mean square of 1
        tilt -= np.sum(p * tilt)
        tilt /= np.sqrt(np.sum(p * tilt**2))
        false = p * (1 + 0.21 * tilt)
        nearly_always(rule, lambda false=false: Counts(rng.multinomial(m, false), p), "rejects", 2000)
