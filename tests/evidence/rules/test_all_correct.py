from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules import AllCorrect, Decisions

TRUTH = [True, False, True, False]


def test_every_single_error_counts():
    rule = AllCorrect(why="w")
    assert rule.judge(Decisions(TRUTH, TRUTH)).outcome == "accepts"
    for i in range(4):
        answers = list(TRUTH)
        answers[i] = not answers[i]
        judged = rule.judge(Decisions(answers, TRUTH))
        assert judged.outcome == "rejects"
        assert judged.numbers == {
            "right": 3,
            "instances": 4,
            "wrong_on_yes": int(TRUTH[i]),
            "wrong_on_no": int(not TRUTH[i]),
        }
    assert rule.judge(Decisions(np.zeros(4, bool), TRUTH)).numbers["wrong_on_yes"] == 2


def test_margins():
    free, bound = AllCorrect(why="w"), AllCorrect(margin_at_least=-1e-9, why="w")
    fine = Decisions(TRUTH, TRUTH, margins=[0.1, 0.0, 0.3, -1e-10])
    short = Decisions(TRUTH, TRUTH, margins=[0.1, 0.0, 0.3, -1e-8])
    assert free.judge(short).outcome == "accepts"
    assert free.judge(short).numbers["least_margin"] == -1e-8
    assert bound.judge(fine).outcome == "accepts"
    assert bound.judge(short).outcome == "rejects"
    wrong = Decisions([True] * 4, TRUTH, margins=[1, 1, 1, 1])
    assert bound.judge(wrong).outcome == "rejects"


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (TRUTH, "expected Decisions"),
        (Decisions(TRUTH, [True] * 4), "all 4 are yes"),
        (Decisions(TRUTH, [False] * 4), "all 4 are no"),
        (Decisions(TRUTH[:2], TRUTH), "one for each truth"),
        (Decisions([1, 0, 1, 0], TRUTH), "answers of dtype"),
        (Decisions(TRUTH, [1.0, 0.0, 1.0, 0.0]), "truth of dtype"),
        (Decisions([], []), "expected"),
        (Decisions(TRUTH, TRUTH, margins=[1.0]), "margins of length 1"),
        (Decisions(TRUTH, TRUTH, margins=[1, 1, 1, np.nan]), "margins"),
    ],
)
def test_refusals(measurement, message):
    with pytest.raises(MeasurementError, match=message):
        AllCorrect(why="w").judge(measurement)


def test_a_limit_for_margins_needs_margins():
    with pytest.raises(MeasurementError, match="margins=None"):
        AllCorrect(margin_at_least=0, why="w").judge(Decisions(TRUTH, TRUTH))


def test_one_answer_to_everything_is_not_trivial():
    assert AllCorrect(why="w").triviality(Decisions([False] * 4, TRUTH)) is None
