from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.mean import MeanWithin


def test_three_ways():
    values = np.array([0.9, 1.0, 1.1, 1.0, 0.95, 1.05])
    assert MeanWithin(0.8, 1.2, why="w").judge(values).outcome == "accepts"
    assert MeanWithin(None, 1.2, why="w").judge(values).outcome == "accepts"
    assert MeanWithin(1.0, None, why="w").judge(values).outcome == "straddles"
    assert MeanWithin(1.2, None, why="w").judge(values).outcome == "rejects"
    judged = MeanWithin(None, 0.5, why="w").judge(values)
    assert judged.outcome == "rejects"
    assert judged.limit == (-np.inf, 0.5)
    assert judged.numbers["mean"] == pytest.approx(1)
    assert judged.numbers["standard_error"] == pytest.approx(values.std(ddof=1) / np.sqrt(6))


def test_too_few_draws_do_not_accept():
    rng = np.random.default_rng(1)
    assert MeanWithin(-0.1, 0.1, why="w").judge(rng.normal(size=50)).outcome == "straddles"
    assert MeanWithin(-0.1, 0.1, why="w").judge(rng.normal(size=50_000)).outcome == "accepts"


def test_cells_widen_one_another_and_the_worst_is_named():
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(8, 400))
    rule = MeanWithin(-1, 1, why="w")
    alone, among = rule.judge(draws[0]), rule.judge({f"d = {i}": row for i, row in enumerate(draws)})
    assert among.outcome == "accepts"
    assert among.interval[1] - among.interval[0] > alone.interval[1] - alone.interval[0]
    shifted = rule.judge({"good": draws[0], "bad": draws[1] + 3})
    assert shifted.outcome == "rejects"
    assert shifted.numbers["worst_at"] == "bad"


@pytest.mark.parametrize(
    "bad", [[1.0, 2.0], [[1.0, 2.0, 3.0]], [1, 2, np.inf], 1.0, {"a": [1.0]}, [True, False, True]]
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        MeanWithin(0, 1, why="w").judge(bad)


@pytest.mark.parametrize("limits", [{}, {"low": 1, "high": 1}, {"low": np.nan}, {"high": np.inf}])
def test_bad_limits(limits):
    with pytest.raises(ValueError, match="expected"):
        MeanWithin(**limits, why="w")


def test_a_control_that_does_not_vary_is_trivial():
    rule = MeanWithin(None, 1, why="w")
    assert rule.judge(np.full(5, 2.0)).outcome == "rejects"
    assert "equal 2" in rule.triviality(np.full(5, 2.0))
    assert rule.triviality(np.array([2.0, 3.0, 2.5])) is None
