from __future__ import annotations

import math

import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import Collapse, CollapsesBetter

RULE = CollapsesBetter(3, why="w")


@pytest.mark.parametrize(
    ("spread", "rivals", "outcome"),
    [
        (0.25, {"a": 0.75, "b": 0.9}, "accepts"),
        (0.25, {"a": 0.74, "b": 0.9}, "straddles"),
        (0.1, {"a": 0.1, "b": 0.9}, "straddles"),
        (0.1, {"a": 0.09, "b": 0.9}, "rejects"),
        (0.25, {"a": math.inf, "b": 0.75}, "accepts"),
        (math.inf, {"a": 0.1}, "rejects"),
        (0.0, {"a": 0.1}, "accepts"),
        (0.0, {"a": 0.0}, "straddles"),
    ],
)
def test_zones(spread, rivals, outcome):
    assert RULE.judge(Collapse(spread, rivals)).outcome == outcome


def test_numbers():
    judged = RULE.judge(Collapse(0.1, {"a": 0.9, "b": 0.4}))
    assert judged.numbers["closest_rival"] == "b"
    assert judged.numbers["advantage"] == pytest.approx(4)
    assert judged.limit == 3
    assert RULE.judge(Collapse(0.0, {"a": 0.1})).numbers["advantage"] == math.inf


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (0.1, "expected a Collapse"),
        (Collapse(0.1, {}), "at least one rival"),
        (Collapse(0.1, [0.3]), "mapping"),
        (Collapse(math.nan, {"a": 0.3}), "spread=nan"),
        (Collapse(-0.1, {"a": 0.3}), ">= 0"),
        (Collapse(0.1, {"a": math.nan}), r"rivals\['a'\]"),
        (Collapse(0.1, {"a": "0.3"}), "expected a number"),
        (Collapse(0.1, {"a": math.inf, "b": math.inf}), "overlap"),
    ],
)
def test_refusals(measurement, message):
    with pytest.raises(MeasurementError, match=message):
        RULE.judge(measurement)
