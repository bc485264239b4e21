from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.thresholds import collapse_spread, half_point

Z = np.geomspace(0.1, 10, 15)


def curves(power):
    return {n: (Z * n**power, 1 / (1 + Z**-2)) for n in (100, 1000, 10000)}


def test_the_true_scale_collapses_exactly():
    assert collapse_spread(curves(0.5), lambda n: n**0.5) == pytest.approx(0, abs=1e-12)
    assert collapse_spread(curves(0.5), lambda n: n**0.4) > 0.05


def test_against_the_definition():
    # y = 1 and y = 3: mean 2, standard deviation 1, everywhere
    two = {"a": ([1, 10], [1, 1]), "b": ([1, 10], [3, 3])}
    assert collapse_spread(two, {"a": 1.0, "b": 1.0}) == pytest.approx(0.5)
    # zero against zero is agreement, not an error
    assert collapse_spread({"a": ([1, 2], [0, 0]), "b": ([1, 2], [0, 0])}, {"a": 1, "b": 1}) == 0.0


def test_only_the_common_stretch_counts():
    two = {"a": ([1, 10, 100], [1, 1, 9]), "b": ([1, 10], [1, 1])}
    assert collapse_spread(two, {"a": 1, "b": 1}) == pytest.approx(0)


def test_no_overlap_is_infinite():
    two = {"a": ([1, 2], [1, 1]), "b": ([3, 4], [1, 1])}
    assert collapse_spread(two, {"a": 1, "b": 1}) == math.inf
    assert collapse_spread(two, {"a": 1, "b": 1.5}) == math.inf
    assert collapse_spread(two, {"a": 1, "b": 2}) < 1e-12
    touching = {"a": ([1, 2], [1, 1]), "b": ([2, 4], [1, 1])}  # at exactly the same logarithm
    assert collapse_spread(touching, {"a": 1, "b": 1}) == math.inf


@given(st.floats(0.5, 20.0), st.floats(0.05, 5.0))
def test_half_point_of_a_logistic_curve(centre, level_shift):
    x = np.geomspace(0.1, 100, 60)
    level = 1 / (1 + level_shift**-1)
    rate = 1 / (1 + (x / centre) ** -3)
    expected = centre * level_shift ** (1 / 3)
    assert half_point(x, rate, level) == pytest.approx(expected, rel=0.01)
    assert half_point(x, 1 - rate, 1 - level) == pytest.approx(expected, rel=0.01)


def test_half_point_smooths_noise_and_takes_the_middle_of_a_plateau():
    assert half_point([1, 2, 4, 8, 16], [0, 0.1, 0.05, 1, 0.95]) == pytest.approx(
        4 * 2 ** ((0.5 - 0.075) / (0.975 - 0.075)), rel=1e-6
    )
    assert half_point([1, 2, 8, 16], [0, 0.5, 0.5, 1]) == pytest.approx(4)
    assert half_point([1, 4], [0, 1]) == pytest.approx(2)
    assert half_point([1, 4], [1, 0]) == pytest.approx(2)


@pytest.mark.parametrize("rate", [[0.6, 0.8, 1.0], [0.0, 0.1, 0.2], [0.5, 0.5, 0.5]])
def test_half_point_refuses_a_grid_without_the_threshold(rate):
    with pytest.raises(MeasurementError, match="crossing"):
        half_point([1, 2, 3], rate)


@pytest.mark.parametrize(
    ("x", "y"),
    [([0, 1], [1, 1]), ([2, 1], [1, 1]), ([1], [1]), ([1, 2], [1, -1]), ([1, 2], [1, np.nan]), ([1, 2], [1])],
)
def test_bad_curves(x, y):
    with pytest.raises(MeasurementError, match="expected"):
        collapse_spread({"a": (x, y), "b": ([1, 2], [1, 1])}, {"a": 1, "b": 1})
    with pytest.raises(MeasurementError, match="expected"):
        half_point(x, y)


def test_bad_scales():
    good = {"a": ([1, 2], [1, 1]), "b": ([1, 2], [1, 1])}
    with pytest.raises(MeasurementError, match="at least two"):
        collapse_spread({"a": ([1, 2], [1, 1])}, {"a": 1})
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(MeasurementError, match=r"scale\('a'\)"):
            collapse_spread(good, {"a": bad, "b": 1})
