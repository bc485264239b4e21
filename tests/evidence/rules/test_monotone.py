from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.monotone import Monotone

rows = hnp.arrays(float, st.integers(3, 8), elements=st.floats(-3, 3))


@given(rows, st.floats(0, 2))
def test_against_all_pairs(row, tolerance):
    drop = max(a - b for a, b in itertools.combinations(row.tolist(), 2))
    rising = Monotone("rises", tolerance, why="w").judge(row)
    assert rising.outcome == ("accepts" if drop <= tolerance else "rejects")
    assert rising.numbers["reversal"] == max(drop, 0)
    assert Monotone("falls", tolerance, why="w").judge(-row).outcome == rising.outcome


def test_a_level_curve_does_not_move():
    level = np.ones(5)
    assert Monotone("rises", why="w").judge(level).outcome == "accepts"
    assert Monotone("rises", by_at_least=0.1, why="w").judge(level).outcome == "rejects"
    assert Monotone("falls", by_at_least=0.1, why="w").judge([3, 2, 2.9, 1]).outcome == "rejects"
    assert Monotone("falls", 1, by_at_least=1.5, why="w").judge([3, 2, 2.9, 1]).outcome == "accepts"
    assert "equal" in Monotone("rises", why="w").triviality(level)


def test_cells():
    judged = Monotone("rises", 0.1, why="w").judge({"β = 1": [1, 2, 3], "β = 2": [1, 3, 2, 4]})
    assert judged.outcome == "rejects"
    assert judged.numbers == {"reversal": 1, "moves_by": 2, "points": 3, "cells": 2, "worst_at": "β = 2"}


@pytest.mark.parametrize("bad", [[1, 2], [[1, 2, 3]], [1, 2, np.nan], 3, {}, {"a": [1]}])
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        Monotone("rises", why="w").judge(bad)


@pytest.mark.parametrize("settings", [{"direction": "up"}, {"direction": "rises", "tolerance": -1}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="expected"):
        Monotone(**settings, why="w")
