from __future__ import annotations

import itertools

import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.cells import at, cells, combined, shared_confidence


def test_one_or_many():
    assert cells(3, float) == {"": 3.0}
    assert cells({8: 1, "x": 2}, float) == {"8": 1.0, "x": 2.0}
    with pytest.raises(MeasurementError, match="empty"):
        cells({}, float)
    with pytest.raises(MeasurementError, match="two cells are called '1'"):
        cells({1: 0, "1": 0}, float)

    def refuse(value):
        raise MeasurementError("too small")

    with pytest.raises(MeasurementError, match="n = 8: too small"):
        cells({"n = 8": 1}, refuse)
    assert (at(""), at("n = 8")) == ("", " at n = 8")


def test_combined_is_as_all_of_would_say():
    for outcomes in itertools.product(("accepts", "rejects", "straddles"), repeat=3):
        expected = "straddles"
        if "rejects" in outcomes:
            expected = "rejects"
        elif set(outcomes) == {"accepts"}:
            expected = "accepts"
        assert combined(outcomes) == expected


def test_errors_are_shared():
    assert shared_confidence(0.99, 1) == pytest.approx(0.99)
    assert shared_confidence(0.99, 20) == pytest.approx(0.9995)
