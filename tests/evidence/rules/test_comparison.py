from __future__ import annotations

import math

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.comparison import IntervalAbove, Paired


def test_outcomes():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 20))
    rule = IntervalAbove(effect=2, why="w")
    assert rule.judge(Paired(a + 3, b)).outcome == "accepts"
    assert rule.judge(Paired(b, a + 3)).outcome == "rejects"
    assert rule.judge(Paired(a, b)).outcome == "rejects"
    assert IntervalAbove(effect=0.1, why="w").judge(Paired(a, b)).outcome == "straddles"
    judged = rule.judge(a - b)
    assert judged.numbers["mean"] == pytest.approx(np.mean(a - b))
    assert judged.numbers["pairs"] == 20


def test_factors_are_compared_by_logarithms():
    rng = np.random.default_rng(2)
    error = np.exp(rng.normal(size=15))
    pairs = Paired(3 * error * np.exp(0.05 * rng.normal(size=15)), error, ratio=True)
    assert np.allclose(pairs.differences, math.log(3), atol=0.3)
    assert IntervalAbove(math.log(2), why="w").judge(pairs).outcome == "accepts"
    assert IntervalAbove(math.log(4), why="w").judge(pairs).outcome == "rejects"
    with pytest.raises(MeasurementError, match="positive"):
        IntervalAbove(math.log(2), why="w").judge(Paired([0.0] * 9, [1.0] * 9, ratio=True))


def test_outliers_alone_do_not_convince_the_permutation_test():
    differences = np.array([0.0] * 6 + [1.0, 1.0])
    judged = IntervalAbove(effect=5, why="w").judge(differences)
    assert judged.numbers["p_value"] == pytest.approx(1 / 4)
    assert judged.outcome == "rejects"


def test_a_against_itself_on_the_same_seeds_has_measured_nothing():
    a = np.random.default_rng(3).normal(size=12)
    rule = IntervalAbove(effect=1, why="w")
    assert rule.judge(Paired(a, a)).outcome == "rejects"
    assert "equal 0" in rule.triviality(Paired(a, a))


@pytest.mark.parametrize("m", [1, 7])
def test_too_few_pairs(m):
    with pytest.raises(MeasurementError, match="expected at least 8"):
        IntervalAbove(effect=1, why="w").judge(np.arange(m, dtype=float))


def test_lower_confidence_takes_fewer_pairs():
    assert IntervalAbove(effect=1, conf=0.9, why="w").judge(np.arange(5.0) + 9).outcome == "accepts"


@pytest.mark.parametrize(
    "bad",
    [
        Paired([1.0] * 9, [1.0] * 8),
        Paired(np.ones((3, 3)), np.ones((3, 3))),
        {"a": [1.0] * 9},
        np.ones((3, 3)),
        [np.nan] * 9,
    ],
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        IntervalAbove(effect=1, why="w").judge(bad)


@pytest.mark.parametrize("settings", [{}, {"limit": -1, "effect": 0.5}, {"effect": -1}, {"limit": np.nan}])
def test_a_rule_that_could_not_reject_a_against_a_is_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        IntervalAbove(**settings, why="w")
