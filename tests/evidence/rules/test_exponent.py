from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import ExponentAtMost
from touchstone.evidence.series import Series

N = [2**k for k in range(8, 18)]


def test_exact_powers():
    square = Series(N, [n * n for n in N])
    assert ExponentAtMost(2, why="w").judge(square).outcome == "accepts"
    assert ExponentAtMost(1.99, why="w").judge(square).outcome == "rejects"
    judged = ExponentAtMost(1, slack=0.15, why="w").judge(square)
    assert judged.outcome == "rejects"
    assert judged.limit == 1.15
    assert judged.numbers["slope"] == pytest.approx(2)
    assert judged.numbers["sizes"] == len(N)
    low, high = judged.interval
    assert low <= 2 <= high


def test_sizes_that_no_float_holds():
    n = [2 ** (20 * 2**j) for j in range(10)]
    assert ExponentAtMost(1, slack=0.15, why="w").judge(Series(n, [x**2 for x in n])).outcome == "rejects"
    near = Series(n, [x * x.bit_length() ** 2 for x in n])
    assert ExponentAtMost(1, slack=0.15, why="w").judge(near).outcome == "accepts"


def test_a_bend_straddles_where_one_exponent_does_not_tell():
    n = np.geomspace(10, 1e4, 8)
    bent = Series(n, n + 0.02 * n**2)
    fit = ExponentAtMost(1.0, why="w").judge(bent)
    middle = fit.numbers["slope"]
    assert ExponentAtMost(middle, why="w").judge(bent).outcome == "straddles"


def test_too_short_to_tell():
    rule = ExponentAtMost(1, why="w")
    with pytest.raises(MeasurementError, match="5 sizes: expected at least 6"):
        rule.judge(Series(N[:5], N[:5]))
    narrow = np.linspace(100, 200, 8)
    with pytest.raises(MeasurementError, match=r"decades: expected at least 1\.5"):
        rule.judge(Series(narrow, narrow))
    exactly = np.geomspace(10, 10 * 10**1.5, 6)  # the limits themselves are enough
    assert rule.judge(Series(exactly, exactly)).outcome == "accepts"
    assert ExponentAtMost(1, min_sizes=3, min_decades=0.2, why="w").judge(Series(narrow, narrow)).outcome == (
        "accepts"
    )
    with pytest.raises(MeasurementError, match="expected a Series"):
        rule.judge((N, N))
