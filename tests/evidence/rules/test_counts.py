from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.counts import Counts, CountsMatch

P = np.array([0.5, 0.25, 0.125, 0.125])


def test_against_scipy():
    observed = np.random.default_rng(1).multinomial(4000, P)
    judged = CountsMatch(0.1, why="w").judge(Counts(observed, P))
    expected = stats.chisquare(observed, 4000 * P)
    assert judged.numbers["chi_square"] == pytest.approx(expected.statistic)
    assert judged.numbers["p_value"] == pytest.approx(expected.pvalue)
    assert judged.outcome == ("accepts" if expected.pvalue >= 0.005 else "rejects")


def test_deviation_is_what_the_docstring_says():
    off = P * np.array([0.9, 1.1, 1.1, 1.1])  # every probability off by 10 %
    judged = CountsMatch(0.1, why="w").judge(Counts(np.round(1e6 * off), P))
    assert off.sum() == pytest.approx(1)
    assert judged.numbers["deviation"] == pytest.approx(0.1)
    assert judged.outcome == "rejects"


def test_too_few_draws():
    with pytest.raises(MeasurementError, match="power of only"):
        CountsMatch(0.1, why="w").judge(Counts(np.round(1000 * P), P))
    with pytest.raises(MeasurementError, match="rarest"):
        CountsMatch(0.9, why="w").judge(Counts([20, 10, 5, 5, 0], [0.5, 0.25, 0.125, 0.1, 0.025]))


def test_the_power_is_the_least_over_the_alternatives():
    """Simulated where the normal law misleads most: a deviation up in one rare category."""
    rng = np.random.default_rng(2)
    for p, w, draws in [((0.97, 0.01, 0.01, 0.01), 0.25, 891), ((0.99, 0.01), 0.25, 726)]:
        rule, p = CountsMatch(w, why="w"), np.asarray(p)
        raised = p[-1] + w * np.sqrt(p[-1] * (1 - p[-1]))
        false = np.array([*p[:-1] * (1 - raised) / (1 - p[-1]), raised])
        assert np.sqrt(np.sum((false - p) ** 2 / p)) == pytest.approx(w)
        seen = rng.multinomial(draws, false, 3000)
        rejected = np.mean([rule.judge(Counts(row, p)).outcome == "rejects" for row in seen])
        assert 0.984 < rejected < 0.996  # 99.04 % by the formula, give or take three standard errors
        with pytest.raises(MeasurementError, match="power of only 98"):
            rule.judge(Counts(np.round(0.95 * draws * p), p))


def test_cells():
    good, bad = Counts(np.round(4000 * P), P), Counts(np.round(4000 * P[::-1]), P)
    judged = CountsMatch(0.2, why="w").judge({"r = 1": good, "r = 2": bad})
    assert judged.outcome == "rejects"
    assert judged.numbers["worst_at"] == "r = 2"


@pytest.mark.parametrize(
    "bad",
    [
        Counts([1, 2], [0.5, 0.6]),
        Counts([1, 2], [1.0, 0.0]),
        Counts([0, 0], [0.5, 0.5]),
        Counts([1.5, 2], [0.5, 0.5]),
        Counts([-1, 2], [0.5, 0.5]),
        Counts([5], [1.0]),
        Counts([1, 2, 3], [0.5, 0.5]),
        [1, 2],
    ],
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        CountsMatch(0.1, why="w").judge(bad)
