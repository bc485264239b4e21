from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import GapAtMost, tolerance_from_conditioning


def test_limit_is_included():
    rule = GapAtMost(0.5, why="w")
    assert rule.judge(0.5).outcome == "accepts"
    assert rule.judge(np.nextafter(0.5, 1)).outcome == "rejects"
    judged = rule.judge([[0.1, 0.7], [0.2, 0.0]])
    assert judged.outcome == "rejects"
    assert judged.numbers == {"largest_gap": 0.7, "gaps": 4}
    assert judged.limit == 0.5
    assert judged.sentence == "the largest of 4 gaps is 0.7 (limit 0.5)"


def test_negative_gaps_are_an_error():
    with pytest.raises(MeasurementError, match=r"gap -0\.1"):
        GapAtMost(1, why="w").judge([-0.1, 0.2])


def test_tolerance():
    u = 2.0**-53
    assert tolerance_from_conditioning(1, "float64", 1) == pytest.approx(u, rel=1e-12)
    assert tolerance_from_conditioning(10, np.float64, 100) == pytest.approx(1000 * u, rel=1e-12)
    assert tolerance_from_conditioning(1, "complex64", 3) == pytest.approx(3 * 2.0**-24, rel=1e-6)
    k = 2**20  # gamma, not k u: in float16 and float32 the difference is seen
    assert tolerance_from_conditioning(1, "float32", k) == pytest.approx(k * 2.0**-24 / (1 - k * 2.0**-24))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.5, "float64", 1), "condition="),
        ((np.inf, "float64", 1), "condition="),
        ((1, "float64", 0), "operations=0"),
        ((1, "int64", 1), "dtype="),
        ((1, "nonsense", 1), "dtype="),
        ((1, "float16", 2**11), "operations=2048"),
    ],
)
def test_tolerance_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        tolerance_from_conditioning(*arguments)
