from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import RatioAtMost, Ratios, RatioWithin

ratios = hnp.arrays(float, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(0, 3))


@given(ratios, st.floats(0.1, 2))
def test_against_plain_python(values, limit):
    judged = RatioAtMost(limit, why="w").judge(values)
    assert (judged.outcome == "accepts") == all(v <= limit for v in values.ravel().tolist())
    assert judged.numbers == {"largest_ratio": values.max(), "ratios": values.size}


@given(ratios, st.floats(0, 1), st.floats(0.1, 2))
def test_within_against_plain_python(values, low, width):
    judged = RatioWithin(low, low + width, why="w").judge(values)
    assert (judged.outcome == "accepts") == all(low <= v <= low + width for v in values.ravel().tolist())


def test_allowance_for_rounding():
    assert RatioAtMost(1, why="w").judge(1 + 1e-12).outcome == "rejects"
    assert RatioAtMost(1, roundoff=1e-9, why="w").judge(1 + 1e-12).outcome == "accepts"
    # an allowance an entry: only the entry that it was derived for may use it
    n = np.asarray([2**8, 2**12])
    rule = RatioAtMost(1, why="w")
    allowed = 1e-9 * n
    inside = rule.judge(Ratios(1 + 0.9 * allowed, allowed))
    assert inside.outcome == "accepts"
    swapped = rule.judge(Ratios(1 + 0.9 * allowed[::-1], allowed))
    assert swapped.outcome == "rejects"
    assert swapped.numbers["largest_ratio"] == 1 + 0.9 * allowed[1]
    assert swapped.numbers["roundoff_allowed"] == allowed[0]
    # rows of n against columns of seeds
    assert rule.judge(Ratios(np.ones((2, 3)), allowed[:, None])).outcome == "accepts"
    assert RatioWithin(0.99, 1, why="w").judge(Ratios([1 + 1e-10, 0.99 - 1e-10], 1e-9)).outcome == "accepts"
    assert RatioWithin(0.99, 1, why="w").judge(Ratios([0.99 - 1e-8], 1e-9)).outcome == "rejects"


def test_an_open_end():
    least = RatioWithin(low=0.9, why="w")
    assert least.judge([0.9, 5.0]).outcome == "accepts"
    assert least.judge([0.89, 5.0]).outcome == "rejects"
    assert least.judge([0.89]).limit == (0.9, np.inf)
    assert "at or above 0.9" in least.judge([0.89]).sentence
    assert RatioWithin(high=-1, why="w").judge([-3.0, -1.0]).outcome == "accepts"
    assert RatioWithin(low=0, why="w").judge(Ratios([-1e-13], 1e-12)).outcome == "accepts"
    with pytest.raises(MeasurementError, match="round-off allowance"):
        least.judge(Ratios([0.5], 0.9))
    with pytest.raises(ValueError, match="at least one limit"):
        RatioWithin(why="w")


def test_an_allowance_as_large_as_the_limit_is_an_error():
    with pytest.raises(MeasurementError, match="round-off allowance"):
        RatioAtMost(1, why="w").judge(Ratios([0.5], 1.0))
    with pytest.raises(MeasurementError, match="round-off allowance"):
        RatioWithin(0.99, 1, why="w").judge(Ratios([0.5], 0.01))
    with pytest.raises(MeasurementError, match="broadcasts"):
        RatioAtMost(1, why="w").judge(Ratios([0.5, 0.5], [0.1, 0.1, 0.1]))
    with pytest.raises(MeasurementError, match="roundoff"):
        RatioAtMost(1, why="w").judge(Ratios([0.5], -0.1))


def test_labels_tell_where_it_was_worst():
    judged = RatioAtMost(1, why="w").judge({"n = 256": [0.5, 0.7], "n = 1024": Ratios([0.9, 0.1]), "x": 0.2})
    assert judged.numbers == {"largest_ratio": 0.9, "ratios": 5, "worst_at": "n = 1024"}
    assert RatioWithin(0, 0.8, why="w").judge({"a": 0.5, "b": 0.9}).numbers["worst_at"] == "b"


def test_signs():
    with pytest.raises(MeasurementError, match=r"ratio -0\.5"):
        RatioAtMost(1, why="w").judge([-0.5])
    assert RatioWithin(-1, 1, why="w").judge([-0.5]).outcome == "accepts"


def test_infinite_ratios_are_an_error():
    with pytest.raises(MeasurementError, match="inf"):
        RatioAtMost(1, why="w").judge([np.inf])
