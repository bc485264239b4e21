from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import SlopesDoNotRise, SlopeWithin
from touchstone.evidence.series import Series

N = [2 ** (20 * 2**j) for j in range(10)]


def dense(n, d=32):
    """Exact multiply-adds and exponentials of dense attention."""
    return 2 * n * n * d + 2 * n * n


def test_slope_within():
    n = np.geomspace(10, 1e4, 8)
    rule = SlopeWithin(0.48, 0.52, why="w")
    assert rule.judge(Series(n, n**0.5)).outcome == "accepts"
    assert rule.judge(Series(n, n**0.52)).outcome == "accepts"
    assert rule.judge(Series(n, n**0.53)).outcome == "rejects"
    assert rule.judge(Series(n, n**0.47)).outcome == "rejects"
    wavy = Series(n, n**0.5 * np.exp(0.3 * np.asarray([1, -1, 1, -1, -1, 1, -1, 1])))
    assert rule.judge(wavy).outcome == "straddles"
    assert rule.judge(Series(n, n**0.5)).limit == (0.48, 0.52)


def test_the_best_falling_fit_by_brute_force():
    """The residual of isotonic regression against all ways to cut the slopes into level stretches."""

    def best(slopes):
        m, least, fitted = len(slopes), np.inf, None
        for cuts in itertools.product([False, True], repeat=m - 1):
            edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), m]
            levels = np.concatenate(
                [np.full(b - a, np.mean(slopes[a:b])) for a, b in itertools.pairwise(edges)]
            )
            error = float(np.sum((slopes - levels) ** 2))
            if np.all(np.diff(levels) <= 1e-12) and error < least - 1e-15:
                least, fitted = error, levels
        return float(np.max(np.abs(slopes - fitted)))

    rng = np.random.default_rng(0)
    x = np.exp(np.arange(8.0))
    for _ in range(30):
        slopes = rng.uniform(0.5, 1.5, 7)
        series = Series(x, np.exp(np.concatenate([[0.0], np.cumsum(slopes)])))
        rise = SlopesDoNotRise(0.1, why="w").judge(series).numbers["rise"]
        assert rise == pytest.approx(best(slopes), abs=1e-9)


@given(st.floats(0.001, 0.2), st.floats(0, 3))
def test_a_single_rise_is_caught_from_twice_the_tolerance_on(tolerance, factor):
    # five slopes of 1, then one higher: the falling fit averages all, the last one stands out most
    slopes = np.asarray([1.0, 1.0, 1.0, 1.0, 1.0, 1.0 + factor * tolerance])
    series = Series(np.exp(np.arange(7.0)), np.exp(np.concatenate([[0], np.cumsum(slopes)])))
    outcome = SlopesDoNotRise(tolerance, why="w").judge(series).outcome
    if factor > 2.001:
        assert outcome == "rejects"
    if factor < 0.999:
        assert outcome == "accepts"


def test_almost_linear_counts_are_accepted_and_dense_ones_rejected_by_the_caps():
    near = Series(N, [n * n.bit_length() ** 3 for n in N])
    quadratic = Series(N, [dense(n) for n in N])
    plain = SlopesDoNotRise(0.02, why="w")
    assert plain.judge(near).outcome == "accepts"
    assert plain.judge(quadratic).outcome == "accepts"  # level slopes do not rise: a cap must say no
    for caps in ({"last_at_most": 1.15}, {"all_at_most": 1.9}):
        assert SlopesDoNotRise(0.02, **caps, why="w").judge(quadratic).outcome == "rejects"
        assert SlopesDoNotRise(0.02, **caps, why="w").judge(near).outcome == "accepts"
    judged = SlopesDoNotRise(0.02, last_at_most=1.15, why="w").judge(quadratic)
    assert judged.numbers["last_slope"] == pytest.approx(2, abs=1e-6)
    assert judged.limit == {"rise": 0.02, "last slope": 1.15}
    assert "the last is above 1.15" in judged.sentence


def test_the_caps_look_at_their_own_slopes():
    slopes = np.asarray([1.8, 1.6, 1.4, 1.2, 1.1, 1.0])
    series = Series(np.exp(np.arange(7.0)), np.exp(np.concatenate([[0], np.cumsum(slopes)])))
    assert SlopesDoNotRise(0.02, last_at_most=1.0, why="w").judge(series).outcome == "accepts"
    assert SlopesDoNotRise(0.02, last_at_most=0.99, why="w").judge(series).outcome == "rejects"
    assert SlopesDoNotRise(0.02, all_at_most=1.8, why="w").judge(series).outcome == "accepts"
    assert SlopesDoNotRise(0.02, all_at_most=1.79, why="w").judge(series).outcome == "rejects"


def test_rising_slopes_are_rejected_and_start_leaves_out_the_small_sizes():
    # n plus a thousandth of n^2: slopes climb from 1 to 2
    x = [10**k for k in range(1, 10)]
    rising = Series(x, [n + n * n // 1000 + 1 for n in x])
    assert SlopesDoNotRise(0.02, why="w").judge(rising).outcome == "rejects"
    bumpy = Series([1, 2, *x], [5, 6, *[10**6 * n for n in x]])
    assert SlopesDoNotRise(0.02, why="w").judge(bumpy).outcome == "rejects"
    assert SlopesDoNotRise(0.02, start=10, why="w").judge(bumpy).outcome == "accepts"
    huge = SlopesDoNotRise(0.02, start=2**40, why="w").judge(Series(N, N))
    assert huge.numbers["sizes"] == len(N) - 1


def test_too_short_after_the_start():
    with pytest.raises(MeasurementError, match="4 sizes: expected at least 6"):
        SlopesDoNotRise(0.02, start=2**1280, why="w").judge(Series(N, N))
    with pytest.raises(MeasurementError, match="no size from"):
        SlopesDoNotRise(0.02, start=2**20480, why="w").judge(Series(N, N))
