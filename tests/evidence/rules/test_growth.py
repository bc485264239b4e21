from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.exponent import ExponentAtMost
from touchstone.evidence.rules.growth import NoGrowth
from touchstone.evidence.series import Series

N = 2.0 ** np.arange(4, 12)


def noisy(exponent: float, seed: int, noise: float = 0.03) -> Series:
    return Series(N, N**exponent * np.exp(noise * np.random.default_rng(seed).normal(size=len(N))))


def test_a_single_series_is_an_exponent_of_zero():
    for exponent in (-0.5, 0.0, 0.1, 0.3):
        one = NoGrowth(0.1, why="w").judge(noisy(exponent, 1))
        other = ExponentAtMost(0, slack=0.1, why="w").judge(noisy(exponent, 1))
        assert (one.outcome, one.interval) == (other.outcome, other.interval)


def test_several_curves_share_a_slope_and_not_a_constant():
    rule = NoGrowth(0.1, why="w")
    flat = {k: Series(N, 10.0**k * np.asarray(noisy(0, k).y)) for k in range(4)}
    assert rule.judge(flat).outcome == "accepts"
    assert (
        rule.judge({k: Series(N, 10.0**k * np.asarray(noisy(0.5, k).y)) for k in range(4)}).outcome
        == "rejects"
    )
    assert rule.judge(flat).numbers["curves"] == 4
    # curves that do not agree widen the interval until it does not decide
    assert rule.judge({0: noisy(-2, 1), 1: noisy(2, 2)}).outcome == "straddles"


def test_seeds():
    rule = NoGrowth(0.1, why="w")
    assert rule.judge([noisy(0, s) for s in range(6)]).outcome == "accepts"
    assert rule.judge([noisy(0.4, s) for s in range(6)]).outcome == "rejects"
    # a slope of its own for each seed: the points are many, the seeds are few
    assert rule.judge([noisy(0.3 * (-1) ** s, s) for s in range(6)]).outcome == "straddles"
    with pytest.raises(MeasurementError, match="4 seeds"):
        rule.judge([noisy(0, s) for s in range(4)])


def test_noise_cannot_hide_growth():
    rough = [noisy(0, s, noise=1.0) for s in range(40)]
    assert not any(NoGrowth(0.05, why="w").judge(each).outcome == "accepts" for each in rough)


def test_exact_counts_of_any_size():
    n = [2**k for k in range(1000, 5000, 500)]
    assert NoGrowth(0.01, why="w").judge(Series(n, [7] * 8)).outcome == "accepts"
    assert NoGrowth(0.01, why="w").judge(Series(n, n)).outcome == "rejects"
    assert "equal" in NoGrowth(0.01, why="w").triviality(Series(n, [7] * 8))


@pytest.mark.parametrize("bad", [Series([1, 2, 3], [1, 2, 3]), {"a": [1, 2]}, {}, [1.0] * 6, None])
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        NoGrowth(0.1, why="w").judge(bad)


def test_no_slack_is_no_rule():
    with pytest.raises(ValueError, match="slack"):
        NoGrowth(0, why="w")
