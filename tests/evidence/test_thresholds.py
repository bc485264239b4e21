from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.rules import IntervalWithin
from touchstone.evidence.series import Series
from touchstone.evidence.thresholds import Thresholds, collapse_spread, half_bracket, half_point

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
    with pytest.raises(MeasurementError, match="expected"):
        half_bracket(x, y, rising=True)


def test_bad_scales():
    good = {"a": ([1, 2], [1, 1]), "b": ([1, 2], [1, 1])}
    with pytest.raises(MeasurementError, match="at least two"):
        collapse_spread({"a": ([1, 2], [1, 1])}, {"a": 1})
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(MeasurementError, match=r"scale\('a'\)"):
            collapse_spread(good, {"a": bad, "b": 1})


# -- thresholds outside their grids --------------------------------------------------------------------------


@given(st.floats(0.01, 1000.0))
def test_a_bracket_holds_the_threshold_wherever_it_is(centre):
    """A logistic curve on a grid from 1 to 10: its middle inside, below or above."""
    x = np.geomspace(1, 10, 20)
    rate = 1 / (1 + (x / centre) ** -3)
    for bracket in (half_bracket(x, rate, rising=True), half_bracket(x, 1 - rate, rising=False)):
        low, high = bracket
        assert low <= centre * 1.02
        assert centre <= high * 1.02
        assert (low == high) == (1 <= centre <= 10)
    if 1 <= centre <= 10:
        assert half_bracket(x, rate, rising=True)[0] == half_point(x, rate)


def test_the_side_follows_from_the_direction_that_was_stated():
    noise = [2.0, 2.2, 1.9]  # all above the level: no direction to be seen
    assert half_bracket([1, 2, 4], noise, 1.5, rising=False) == (4, math.inf)
    assert half_bracket([1, 2, 4], noise, 1.5, rising=True) == (0, 1)
    assert half_bracket([1, 2, 4], [1.0, 1.1, 0.9], 1.5, rising=False) == (0, 1)
    assert half_bracket([1, 2, 4], [1.0, 1.1, 0.9], 1.5, rising=True) == (4, math.inf)
    assert half_bracket([1, 2], [1.5, 1.5], 1.5, rising=True) == (0, math.inf)
    # a curve that goes the other way has no crossing of the kind
    assert half_bracket([1, 2], [3, 0], 1.5, rising=True) == (0, math.inf)


def test_a_level_reached_at_an_end_is_held_by_the_grid():
    assert half_bracket([1, 4], [0, 0.5], rising=True) == (4, 4)
    assert half_bracket([1, 4], [0.5, 1], rising=True) == (1, 1)
    with pytest.raises(ValueError, match="level=nan"):
        half_bracket([1, 2], [0, 1], math.nan, rising=True)


SIZES = [2.0**i for i in range(9, 17)]


def known(values):
    return [(v, v) for v in values]


def test_known_thresholds_give_the_fit_of_their_logarithms():
    y = [n**0.4 * (1 + 0.1 * (i % 2)) for i, n in enumerate(SIZES)]
    found = Thresholds(SIZES, known(y))
    fit, series = linear_fit(np.log(SIZES), np.log(y), 0.99), Series(SIZES, y)
    assert found.exponent().value == pytest.approx(fit.slope)
    assert found.exponent().interval == pytest.approx(fit.interval)
    assert found.exponent(0.9).conf == 0.9
    np.testing.assert_allclose(found.log_x, series.log_x)
    np.testing.assert_allclose(found.nearest, y)
    assert found.known.all()
    steeper = found.scaled(np.array(SIZES) ** 0.25)
    assert steeper.exponent().value == pytest.approx(fit.slope + 0.25)


@pytest.mark.parametrize("outside", [(0.0, 3.0), (3.0, math.inf)])
@pytest.mark.parametrize("at", range(len(SIZES)))
def test_one_unknown_threshold_of_an_even_grid_leaves_the_exponent_undecided(at, outside):
    brackets = known(n**0.4 for n in SIZES)
    brackets[at] = outside
    found = Thresholds(SIZES, brackets)
    assert found.exponent().interval == (-math.inf, math.inf)
    assert found.nearest[at] == 3.0
    assert found.known.tolist() == [i != at for i in range(len(SIZES))]
    assert "1 outside" in repr(found)
    scaled = found.scaled([2.0] * len(SIZES))
    assert scaled.exponent().interval == (-math.inf, math.inf)
    assert scaled.nearest[at] == 6.0
    for low, high in ((None, 0.5), (0.3, 0.5), (0.3, None)):
        assert IntervalWithin(low, high, why="any").judge(found.exponent()).outcome == "straddles"


@pytest.mark.parametrize(("bound", "power", "side"), [((1e8, math.inf), 3, 0), ((0, 1e-8), -3, 1)])
def test_a_bound_decides_where_a_size_stands_alone(bound, power, side):
    """Seven sizes close together and one far away, whose threshold no small power allows."""
    sizes = [1, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1000.0]
    brackets = [*known([1, 1.01, 1, 1.01, 1, 1.01, 1]), bound]
    estimate = Thresholds(sizes, brackets).exponent()
    assert math.isfinite(estimate.interval[side])
    assert math.isinf(estimate.interval[1 - side])
    assert estimate.interval[0] <= estimate.value <= estimate.interval[1]
    limits = (None, 1.0) if power > 0 else (-1.0, None)
    assert IntervalWithin(*limits, why="any").judge(estimate).outcome == "rejects"
    assert IntervalWithin(*limits[::-1], why="any").judge(estimate).outcome == "accepts"


@given(
    st.lists(
        st.tuples(st.floats(-2, 2), st.sampled_from(["known", "below", "above"])), min_size=7, max_size=7
    ),
    st.lists(st.floats(0, 30), min_size=7, max_size=7),
    st.floats(4, 400),
)
def test_the_interval_covers_that_of_every_possible_set(points, further, last):
    x = np.exp([0, 0.1, 0.2, 0.3, 0.4, 0.5, last / 10 + 3])
    brackets, y = [], []
    for (log_y, kind), more in zip(points, further, strict=True):
        value = math.exp(log_y)
        brackets.append({"known": (value, value), "below": (0, value), "above": (value, math.inf)}[kind])
        y.append(log_y + {"known": 0, "below": -more, "above": more}[kind])
    low, high = Thresholds(x, brackets).exponent(min_decades=1).interval
    fit = linear_fit(np.log(x), y, 0.99)
    assert low <= fit.interval[0] + 1e-9
    assert fit.interval[1] <= high + 1e-9


def test_bad_thresholds():
    for bad in ((1, 2), (2, 1), (0, 0), (math.inf, math.inf), (0, math.inf), (math.nan, math.nan), (-1, -1)):
        with pytest.raises(MeasurementError, match="expected"):
            Thresholds([1, 2], [(1, 1), bad])
    with pytest.raises(MeasurementError, match="lengths"):
        Thresholds([1, 2], [(1, 1)])
    with pytest.raises(MeasurementError, match="strictly increase"):
        Thresholds([2, 1], [(1, 1), (1, 1)])
    short = Thresholds(SIZES[:5], known(SIZES[:5]))
    with pytest.raises(MeasurementError, match="5 sizes: expected at least 6"):
        short.exponent()
    with pytest.raises(MeasurementError, match=r"decades: expected at least 1\.5"):
        short.exponent(min_sizes=5)
    assert short.exponent(min_sizes=5, min_decades=1).value == pytest.approx(1)
