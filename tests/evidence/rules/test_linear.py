from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.rules.linear import LinearIn, Points

X = np.linspace(1, 10, 16)


def judged(y, **parameters):
    return LinearIn("x", **parameters, why="w").judge(Points(X, y))


def test_shapes():
    assert judged(3 * X + 5).outcome == "accepts"
    assert judged(-3 * X + 5).outcome == "accepts"
    for curve in (np.sqrt(X), X**2, np.log(X), X**1.5, np.exp(X / 4)):
        assert judged(curve).outcome == "rejects"
    assert judged(np.full(16, 4.0)).outcome == "accepts"


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-0.5, 0.5))
@settings(max_examples=40)
def test_bend_of_a_parabola(offset, slope, sag):
    y = offset + slope * X + sag * X**2
    found = judged(y, r2=None, bend=1.0)
    line = linear_fit(X, y)
    # the parabola's chord over its middle, and the rise of the fitted line
    middle = offset + slope * 5.5 + sag * 5.5**2
    chord = (y[0] + y[-1]) / 2
    if abs(line.slope) > 1e-3:
        assert found.numbers["bend"] == pytest.approx((chord - middle) / abs(9 * line.slope), abs=1e-6)


def test_bends_of_the_docstring():
    assert judged(np.sqrt(X)).numbers["bend"] == pytest.approx(-0.12, abs=0.01)
    assert judged(X**2).numbers["bend"] == pytest.approx(0.20, abs=0.01)


def test_slope_limits():
    assert judged(X, slope_at_most=1.1).outcome == "accepts"
    assert judged(X, slope_at_most=0.9).outcome == "rejects"
    assert judged(X, slope_at_least=0.9, slope_at_most=1.1).outcome == "accepts"
    assert judged(X, slope_at_least=1.1).outcome == "rejects"
    noisy = X + np.where(np.arange(16) % 2, 1.0, -1.0)
    assert judged(noisy, slope_at_most=1.0, r2=None, bend=None).outcome == "straddles"


def test_no_trend():
    flat = 5 + 0.01 * np.cos(40 * X)
    assert judged(flat, slope_at_most=0.02, r2=None, bend=None).outcome == "accepts"
    assert judged(flat, slope_at_most=0.02).outcome == "rejects"  # a flat line explains nothing of its noise


def test_upper_bound_takes_a_quadratic_phase():
    newton = 2 + 2 * np.log2(X + 1)
    assert judged(newton, slope_at_most=1.1).outcome == "rejects"
    assert judged(newton, slope_at_most=1.1, upper_bound=True).outcome == "accepts"
    assert judged(X**2 / 10, slope_at_most=1.2, upper_bound=True).outcome == "rejects"
    # two to five steps: their rounding is nothing beside the twenty that the bound allows
    points = Points.of_steps([0.3 ** (2**k) for k in range(7)], 10.0 ** -np.arange(1, 9, 0.5))
    assert set(points.y) == {2, 3, 4, 5}
    bound = LinearIn("ln 1/ε", slope_at_most=1.09, upper_bound=True, why="w")
    assert bound.judge(points).outcome == "accepts"


def test_never_reached_rejects():
    y = X.copy()
    y[-2:] = math.inf
    found = judged(y)
    assert found.outcome == "rejects"
    assert "2 of 16 points were never reached" in found.sentence
    rule = LinearIn("x", why="w")
    assert rule.triviality(Points(X, np.full(16, math.inf))) is None
    assert "equal" in rule.triviality(Points(X, np.full(16, 3.0)))


def test_steps_of_runs():
    eps = 10.0 ** -np.arange(1, 9, 0.5)
    halving = [2.0**-k for k in range(40)]
    points = Points.of_steps(halving, eps)
    assert points.y.tolist() == [math.ceil(math.log2(1 / e)) for e in eps]
    assert (
        LinearIn("ln 1/ε", slope_at_least=1.3, slope_at_most=1.6, why="w").judge(points).outcome == "accepts"
    )
    both = Points.of_steps([halving, [10 * e for e in halving]], eps)
    assert both.y.tolist() == points.y.tolist() * 2
    absolute = Points.of_steps([[10 * e for e in halving]], [1e-1], relative=False)
    assert absolute.y.tolist() == [math.ceil(math.log2(100))]
    stalled = Points.of_steps([1.0, 0.5, 0.6, 0.05, 0.05], [1.0, 0.5, 0.1, 0.01])
    assert stalled.y.tolist() == [0, 1, 3, math.inf]


@pytest.mark.parametrize("runs", [[], [[1.0, math.nan]], [[0.0, 0.0]], [[-1.0]], [[math.inf, 1.0]], [[]]])
def test_bad_runs(runs):
    with pytest.raises(MeasurementError):
        Points.of_steps(runs, [0.1])


@pytest.mark.parametrize(
    "bad",
    [
        Points([1, 2, 3], [1, 2, 3]),
        Points([1] * 9, range(9)),
        Points(X, X[:5]),
        Points(X, np.full(16, np.nan)),
        Points(X, np.full(16, -np.inf)),
        Points(np.full(16, np.inf), X),
        X,
    ],
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        LinearIn("x", why="w").judge(bad)


@pytest.mark.parametrize(
    "settings_",
    [
        {"variable": ""},
        {"variable": "x", "r2": None, "bend": None},
        {"variable": "x", "r2": 1.5},
        {"variable": "x", "bend": 0},
        {"variable": "x", "slope_at_least": 2, "slope_at_most": 1},
        {"variable": "x", "min_points": 3},
    ],
)
def test_bad_settings(settings_):
    with pytest.raises(ValueError, match="expected"):
        LinearIn(**settings_, why="w")
