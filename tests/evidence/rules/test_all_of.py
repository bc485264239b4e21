from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import AllOf, GapAtMost, Judgement, Rule


@dataclass(frozen=True)
class Echo(Rule):
    """Judges a measurement to be what it says."""

    says = "what the measurement says"

    def judge(self, measurement):
        return Judgement(measurement, {"echo": measurement}, None, measurement)


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product(["accepts", "rejects", "straddles"], repeat=2))
)
def test_truth_table(first, second):
    rule = AllOf({"a": Echo(why="w"), "b": Echo(why="w")})
    judged = rule.judge({"a": first, "b": second})
    if "rejects" in (first, second):
        assert judged.outcome == "rejects"
    elif first == second == "accepts":
        assert judged.outcome == "accepts"
    else:
        assert judged.outcome == "straddles"
    assert judged.numbers == {
        "a": {"outcome": first, "echo": first},
        "b": {"outcome": second, "echo": second},
    }
    assert list(judged.parts) == ["a", "b"]


def test_names_have_to_match():
    rule = AllOf({"a": GapAtMost(1, why="w"), "b": GapAtMost(1, why="w")})
    for bad in ({"a": 0.1}, {"a": 0.1, "b": 0.1, "c": 0.1}, {"a": 0.1, "c": 0.1}):
        with pytest.raises(MeasurementError, match="expected \\['a', 'b'\\]"):
            rule.judge(bad)
    with pytest.raises(MeasurementError, match="b: measurement: expected finite"):
        rule.judge({"a": 0.1, "b": float("nan")})


def test_the_parts_are_fixed_at_the_start():
    parts = {"a": GapAtMost(1, why="w")}
    rule = AllOf(parts)
    parts["b"] = GapAtMost(2, why="w")
    assert list(rule.rules) == ["a"]
    with pytest.raises(TypeError):
        rule.rules["b"] = GapAtMost(2, why="w")
    assert rule.described()["parameters"]["a"]["why"] == "w"


def test_nested():
    inner = AllOf({"x": GapAtMost(1, why="w")})
    outer = AllOf({"in": inner, "out": GapAtMost(1, why="w")})
    assert outer.judge({"in": {"x": 0.5}, "out": 0.5}).outcome == "accepts"
    assert outer.judge({"in": {"x": 1.5}, "out": 0.5}).outcome == "rejects"
