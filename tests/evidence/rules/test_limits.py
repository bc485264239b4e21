from __future__ import annotations

import math

import pytest

from touchstone.evidence.rules.limits import beyond, inside, limits_of, require_limits, within


@pytest.mark.parametrize(
    ("interval", "low", "high", "outcome"),
    [
        ((1, 2), 0, 3, "accepts"),
        ((1, 2), 1, 2, "accepts"),
        ((1, 2), 1.5, 3, "straddles"),
        ((1, 2), 0, 1.5, "straddles"),
        ((0, 9), 1, 2, "straddles"),
        ((1, 2), 3, 4, "rejects"),
        ((1, 2), -1, 0, "rejects"),
        ((1, 2), None, 2, "accepts"),
        ((1, 2), None, 0, "rejects"),
        ((1, 2), 1, None, "accepts"),
        ((1, 2), 3, None, "rejects"),
        ((1, 2), 1.5, None, "straddles"),
    ],
)
def test_inside(interval, low, high, outcome):
    assert inside(interval, low, high) == outcome


def test_how_far_beyond():
    assert beyond((0.7, 1.1), 0, 1) == pytest.approx(0.1)
    assert beyond((0.4, 0.6), 0, 1) == pytest.approx(-0.4)
    assert beyond((0.4, 0.6), None, 1) == pytest.approx(-0.4)
    assert beyond((0.4, 0.6), 0.5, None) == pytest.approx(0.1)


def test_words_and_ends():
    assert within(0, 1) == "lies between 0 and 1"
    assert within(None, 1) == "lies at or below 1"
    assert within(-1, None) == "lies at or above −1"
    assert limits_of(None, 1) == (-math.inf, 1)
    assert limits_of(0, None) == (0, math.inf)


@pytest.mark.parametrize(
    ("low", "high"), [(None, None), (1, 1), (2, 1), (math.nan, None), (None, math.inf), ("0", 1)]
)
def test_no_range(low, high):
    with pytest.raises(ValueError, match="expected"):
        require_limits(low, high)
