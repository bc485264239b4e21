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

from touchstone.evidence import means
from touchstone.evidence.means import Estimate
from touchstone.evidence.proportions import clopper_pearson
from touchstone.evidence.rules import comparison
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
FEW = 460  # no event among them bounds its rate by 1 %
ABOVE = 1.15  # few trials show a power of 99 % only a little above the effect that the docstring states

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


def within_design_rate(rule: Rule, draw: Draw, *kinds: str, trials: int) -> None:
    """No more than 1 %, as far as these trials tell: for rules designed for just that, and for slow ones."""
    seen = outcomes(rule, draw, trials)
    for kind in kinds:
        assert clopper_pearson(seen[kind], trials, 0.99, "lower")[0] <= 0.01, seen
        assert clopper_pearson(seen[kind], trials, 0.99, "upper")[1] <= 0.016, seen


# -- means and estimates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("law", "m"), [(stats.norm(), 1001), (stats.expon(), 1001)], ids=["normal", "long"])
def test_mean_at_either_limit(law, m):
    # above 1000 draws there is no bootstrap, which only widens: the t interval alone has to hold
    rng = np.random.default_rng(1)
    draws = law.rvs((MANY, m), random_state=rng)
    rows = iter(draws)
    rarely(
        MeanWithin(high=float(law.mean()), why="test"), lambda: next(rows), "rejects", "accepts", trials=MANY
    )
    rows = iter(draws)
    rarely(
        MeanWithin(low=float(law.mean()), why="test"), lambda: next(rows), "rejects", "accepts", trials=MANY
    )


@pytest.fixture
def no_bootstrap(monkeypatch):
    """Student's interval alone. The bootstrap only widens it, so that errors can only get rarer with it."""
    monkeypatch.setattr(means, "BOOTSTRAP_UP_TO", 0)


@pytest.mark.parametrize("m", [5, 30])
@pytest.mark.usefixtures("no_bootstrap")
def test_mean_of_few_normal_draws(m):
    rng = np.random.default_rng(m)
    rule = MeanWithin(high=0, why="test")
    within_design_rate(rule, lambda: rng.normal(size=m), "rejects", "accepts", trials=4000)


@pytest.mark.usefixtures("no_bootstrap")
def test_mean_of_skewed_draws_from_the_stated_number_on():
    rng = np.random.default_rng(1)
    draw = lambda: rng.gamma(4, size=400)  # noqa: E731  (skewness 1)
    rarely(MeanWithin(low=4, why="test"), draw, "rejects", "accepts", trials=MANY)


def test_mean_power():
    rng = np.random.default_rng(2)
    m = 30
    step = ABOVE * 6.5 / np.sqrt(m)
    rule = MeanWithin(-step, step, why="test")
    nearly_always(rule, lambda: rng.normal(size=m), "accepts", FEW)
    for sign in (-1, 1):
        nearly_always(rule, lambda sign=sign: rng.normal(size=m) + sign * 2 * step, "rejects", FEW)


def test_interval():
    rng = np.random.default_rng(3)
    half = float(stats.norm.ppf(0.995))

    def draw(truth: float):
        def measure():
            value = truth + rng.normal()
            return Estimate(value, (value - half, value + half), 0.99)

        return measure

    rule = IntervalWithin(0, 12, why="test")
    rarely(rule, draw(0), "rejects", "accepts", trials=MANY)
    nearly_always(rule, draw(6), "accepts")
    nearly_always(rule, draw(-6), "rejects")


# -- comparisons -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["normal", "exponential", "heavy", "discrete"])
@pytest.mark.usefixtures("no_bootstrap")
def test_a_against_a_is_not_accepted(law):
    rng = np.random.default_rng(4)
    draws = {
        "normal": lambda: rng.normal(size=8),
        "exponential": lambda: rng.exponential(size=8),
        "heavy": lambda: rng.standard_t(2, size=8),
        "discrete": lambda: rng.poisson(2, size=8).astype(float),
    }
    draw = draws[law]
    rule = IntervalAbove(effect=1e-3, why="test")
    within_design_rate(rule, lambda: Paired(draw(), draw()), "accepts", trials=1500)


@pytest.mark.usefixtures("no_bootstrap")
def test_an_advantage_of_the_effect_is_not_rejected(monkeypatch):
    monkeypatch.setattr(comparison, "sign_flip_p_value", lambda differences: 1.0)  # has no part in rejecting
    rng = np.random.default_rng(5)
    rarely(IntervalAbove(effect=1, why="test"), lambda: 1 + rng.normal(size=10), "rejects", trials=MANY)


def test_comparison_power():
    m, effect = 10, ABOVE * 2.8
    rng = np.random.default_rng(m)
    rule = IntervalAbove(effect=effect, why="test")
    nearly_always(rule, lambda: effect + rng.normal(size=m), "accepts", FEW)
    # A against A: acceptances have their own test above, and are the only way not to be rejected
    rarely(rule, lambda: rng.normal(size=m), "straddles", trials=FEW)


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


@pytest.mark.usefixtures("no_bootstrap")
def test_common_growth_and_growth_over_seeds():
    rng = np.random.default_rng(6)
    rule = NoGrowth(0.1, why="test")
    one = ratios(rng, 0.1, 6, 1.5)
    within_design_rate(rule, lambda: {k: one() for k in range(3)}, "rejects", "accepts", trials=2000)

    # each seed has a slope of its own, so that its points lie on a line that is not the truth
    def seeds():
        return [ratios(rng, 0.1 + 0.05 * rng.normal(), 6, 1.5, 0.01)() for _ in range(5)]

    within_design_rate(rule, seeds, "rejects", "accepts", trials=2000)


X = np.linspace(1, 10, 16)


def noisy(rng, curve: np.ndarray, noise: float) -> Draw:
    rise = curve[-1] - curve[0]
    return lambda: Points(X, curve + noise * rise * rng.normal(size=len(X)))


def test_line():
    rng = np.random.default_rng(7)
    rule = LinearIn("x", slope_at_most=1, why="test")
    within_design_rate(rule, noisy(rng, X, 0.02), "rejects", trials=2000)
    within_design_rate(rule, noisy(rng, X, 0.01), "rejects", "accepts", trials=2000)
    nearly_always(rule, noisy(rng, 0.9 * X, 0.01), "accepts")
    for false in (1.1 * X, 0.1 * X**2, np.sqrt(X), np.log(X)):
        nearly_always(rule, noisy(rng, false, 0.01), "rejects", FEW)


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
    within_design_rate(rule, lambda: Draws(rng.normal(size=m), stats.norm.cdf), "rejects", trials=4000)
    shift = 2 * stats.norm.ppf(0.5 + 0.15)  # puts the distribution functions 0.3 apart
    nearly_always(rule, lambda: Draws(rng.normal(size=m) + shift, stats.norm.cdf), "rejects")
    widened = stats.uniform(-0.5, 2.5)  # uniform on [-1/2, 2] against [0, 1]: 0.4 apart
    nearly_always(rule, lambda: Draws(widened.rvs(m, random_state=rng), stats.uniform.cdf), "rejects")


@pytest.mark.parametrize("sizes", [(370, 370), (250, 1000)])
def test_two_samples(sizes):
    rng = np.random.default_rng(11)
    m, k = sizes
    rule = SameDistribution(0.3, why="test")
    draw = lambda: Draws(rng.exponential(size=m), rng.exponential(size=k))  # noqa: E731
    within_design_rate(rule, draw, "rejects", trials=3000)
    shift = 2 * stats.norm.ppf(0.5 + 0.15)
    nearly_always(rule, lambda: Draws(rng.normal(size=m) + shift, rng.normal(size=k)), "rejects")


def test_counts():
    rng = np.random.default_rng(12)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    rule = CountsMatch(0.2, why="test")
    m = 1000
    within_design_rate(rule, lambda: Counts(rng.multinomial(m, p), p), "rejects", trials=MANY)
    for signs in ([1, -1, -1, 1], [1, -1, 1, -1]):
        tilt = np.array(signs) / np.sqrt(4 * p)
        tilt -= np.sum(p * tilt)
        tilt /= np.sqrt(np.sum(p * tilt**2))  # the weighted mean square of the relative deviations is 1
        false = p * (1 + 0.2 * tilt)
        nearly_always(rule, lambda false=false: Counts(rng.multinomial(m, false), p), "rejects", SOME)
