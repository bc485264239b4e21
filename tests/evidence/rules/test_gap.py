from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import GapAtMost


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
