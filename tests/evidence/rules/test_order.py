from __future__ import annotations

import math

import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.order import OrderAtLeast


def newton(a: float, x: float) -> list[float]:
    """Errors of Newton's method for the square root of ``a``."""
    errors = []
    for _ in range(8):
        errors.append(abs(x - math.sqrt(a)))
        x = (x + a / x) / 2
    return errors


STARTS = [2.1, 2.3, 1.8, 1.7, 2.4]


def test_newton_is_quadratic_and_not_cubic():
    runs = [newton(4, x) for x in STARTS]
    assert OrderAtLeast(1.8, why="w").judge(runs).outcome == "accepts"
    assert OrderAtLeast(2.5, why="w").judge(runs).outcome == "rejects"


def test_a_linear_method_is_not_quadratic():
    runs = [[x * 0.5**k for k in range(30)] for x in STARTS]
    judged = OrderAtLeast(1.8, why="w").judge(runs)
    assert judged.outcome == "rejects"
    assert judged.numbers["order"] == pytest.approx(1)
    assert OrderAtLeast(0.99, why="w").judge(runs).outcome == "accepts"


def test_one_short_run_does_not_decide():
    assert OrderAtLeast(1.8, why="w").judge([1e-1, 1e-2, 1e-4]).outcome == "straddles"


def test_the_law_may_begin_late():
    slow_start = [
        [1.0, 0.9, 0.8, 0.7, 0.3 * s, (0.3 * s) ** 2, (0.3 * s) ** 4, (0.3 * s) ** 8] for s in (0.8, 0.9, 1.0)
    ]
    assert OrderAtLeast(1.9, why="w").judge(slow_start).outcome == "straddles"
    assert OrderAtLeast(1.9, below=0.31, why="w").judge(slow_start).outcome == "accepts"


@pytest.mark.parametrize("bad", [[], [1.0, 0.5], [[1.0, math.nan, 0.1]], [1.0, 1.0, 1.0], 3.0, None])
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        OrderAtLeast(1.8, why="w").judge(bad)


@pytest.mark.parametrize(
    "settings", [{"order": 0}, {"order": 2, "below": 0}, {"order": 2, "floor": -1}, {"order": 2, "scale": 0}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="expected"):
        OrderAtLeast(**settings, why="w")
