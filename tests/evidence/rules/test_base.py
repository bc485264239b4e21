from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from touchstone.evidence import rules
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import encoded
from touchstone.evidence.rules import (
    AllCorrect,
    AllOf,
    CollapsesBetter,
    CountsMatch,
    EpsilonAtMost,
    ExponentAtMost,
    FailureRateAtLeast,
    FailureRateAtMost,
    GapAtMost,
    IntervalAbove,
    IntervalWithin,
    LinearIn,
    MeanWithin,
    Monotone,
    MuAtMost,
    NoGrowth,
    OrderAtLeast,
    RateMatches,
    RatioAtMost,
    RatioWithin,
    SameDistribution,
    SlopesDoNotRise,
    SlopeWithin,
)
from touchstone.evidence.rules.base import finite_values
from touchstone.evidence.series import Series

EVERY = [
    GapAtMost(1e-12, why="w"),
    RatioAtMost(why="w"),
    RatioWithin(0.9, 1, why="w"),
    ExponentAtMost(1, 0.1, why="w"),
    SlopeWithin(0, 1, why="w"),
    SlopesDoNotRise(0.02, last_at_most=1.15, start=2**2000, why="w"),
    CollapsesBetter(3, why="w"),
    AllCorrect(why="w"),
    AllOf({"a": GapAtMost(1, why="w")}),
    CountsMatch(0.1, why="w"),
    EpsilonAtMost(1, 1e-5, why="w"),
    MuAtMost(1, why="w"),
    FailureRateAtLeast(0.1, why="w"),
    FailureRateAtMost(0.1, why="w"),
    IntervalAbove(effect=1, why="w"),
    IntervalWithin(0, 1, why="w"),
    LinearIn("ln(1/ε)", slope_at_most=1.09, why="w"),
    MeanWithin(0, 1, why="w"),
    Monotone("rises", why="w"),
    NoGrowth(0.1, why="w"),
    OrderAtLeast(1.8, why="w"),
    RateMatches(0.1, why="w"),
    SameDistribution(0.1, why="w"),
]


def test_the_package_hands_on_every_rule_of_this_list():
    assert {type(rule).__name__ for rule in EVERY} <= set(rules.__all__)


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)
def test_frozen_and_described(rule):
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.why = "another"
    described = encoded(rule.described())
    assert set(described) == {"name", "says", "why", "parameters"}
    assert described["name"] == type(rule).__name__
    assert described["says"]
    assert "why" not in described["parameters"]


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)
@pytest.mark.parametrize("bad", [None, "text", [], np.asarray([]), {}, object(), math.nan, [1.0, math.nan]])
def test_no_rule_judges_what_is_no_measurement(rule, bad):
    with pytest.raises(MeasurementError):
        rule.judge(bad)


@pytest.mark.parametrize("make", [lambda why: GapAtMost(1, why=why), lambda why: AllCorrect(why=why)])
@pytest.mark.parametrize("why", ["", "  ", None, 3])
def test_the_reason_is_required(make, why):
    with pytest.raises(ValueError, match="why="):
        make(why)


def test_the_reason_has_no_default():
    with pytest.raises(TypeError, match="why"):
        GapAtMost(1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GapAtMost(0, why="w"),
        lambda: GapAtMost(math.nan, why="w"),
        lambda: GapAtMost("1", why="w"),
        lambda: GapAtMost(True, why="w"),
        lambda: RatioAtMost(0, why="w"),
        lambda: RatioAtMost(1, roundoff=-1, why="w"),
        lambda: RatioWithin(1, 1, why="w"),
        lambda: RatioWithin(2, 1, why="w"),
        lambda: ExponentAtMost(1, -0.1, why="w"),
        lambda: ExponentAtMost(math.inf, why="w"),
        lambda: ExponentAtMost(1, conf=1.0, why="w"),
        lambda: ExponentAtMost(1, conf=0, why="w"),
        lambda: ExponentAtMost(1, min_sizes=2, why="w"),
        lambda: ExponentAtMost(1, min_sizes=6.0, why="w"),
        lambda: ExponentAtMost(1, min_decades=0, why="w"),
        lambda: SlopeWithin(1, 0, why="w"),
        lambda: SlopesDoNotRise(-1, why="w"),
        lambda: SlopesDoNotRise(0.1, last_at_most=math.nan, why="w"),
        lambda: SlopesDoNotRise(0.1, start=0, why="w"),
        lambda: CollapsesBetter(1, why="w"),
        lambda: AllCorrect(margin_at_least=math.inf, why="w"),
        lambda: AllOf({}),
        lambda: AllOf({"a": 3}),
        lambda: AllOf({"": GapAtMost(1, why="w")}),
        lambda: AllOf([GapAtMost(1, why="w")]),
    ],
)
def test_bad_settings(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_finite_values_names_what_is_wrong():
    with pytest.raises(MeasurementError, match=r"got nan in 1 of 2"):
        finite_values([1.0, math.nan])
    with pytest.raises(MeasurementError, match="real numbers"):
        finite_values([1 + 2j])
    with pytest.raises(MeasurementError, match="expected"):
        finite_values([[1], [1, 2]])


def test_a_measurement_that_never_varies_is_trivial():
    rule = GapAtMost(1e-3, why="w")
    assert "all 3 measured values equal 2" in rule.triviality([2.0, 2.0, 2.0])
    assert rule.triviality([2.0, 2.1]) is None
    assert rule.triviality(2.0) is None  # one number cannot vary
    assert rule.triviality([2, 2, 2]) is None  # whole numbers may agree by themselves
    assert rule.triviality(np.asarray([2, 2, 2])) is None
    slope = SlopeWithin(0.5, 1, why="w")
    x = [10**k for k in range(1, 8)]
    assert "equal" in slope.triviality(Series(x, [3] * 7))
    assert slope.triviality(Series(x, x)) is None
    both = AllOf({"a": rule, "b": rule})
    assert "a: all" in both.triviality({"a": [2.0, 2.0], "b": [0.0, 0.0]})
    assert both.triviality({"a": [2.0, 2.0], "b": [3.0, 2.0]}) is None
