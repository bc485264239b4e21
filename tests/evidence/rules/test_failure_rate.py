from __future__ import annotations

import bisect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.proportions import clopper_pearson
from touchstone.evidence.rules.failure_rate import FailureRateAtLeast, FailureRateAtMost, Trials


@given(st.integers(44, 300), st.data())
@settings(max_examples=50, deadline=None)
def test_against_the_plain_definition(n, data):
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n, 0.99, "lower")[0], clopper_pearson(k, n, 0.99, "upper")[1]
    compatible = FailureRateAtMost(0.1, why="w").judge(Trials(k, n))
    assert compatible.outcome == ("accepts" if low <= 0.1 else "rejects")
    certified = FailureRateAtMost(0.1, certify=True, why="w").judge(Trials(k, n))
    assert certified.outcome == ("accepts" if high <= 0.1 else "rejects" if low > 0.1 else "straddles")
    exceeded = FailureRateAtLeast(0.1, why="w").judge(Trials(k, n))
    assert exceeded.outcome == ("accepts" if low > 0.1 else "rejects" if high < 0.1 else "straddles")
    assert compatible.interval == certified.interval == exceeded.interval == (low, high)
    assert compatible.numbers["rate"] == k / n


@pytest.mark.parametrize("delta", [0.003, 0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("cells", [1, 12])
def test_false_alarms_and_power_exactly(delta, cells):
    """No simulation: the probabilities of all outcomes summed, over a range of numbers of trials."""
    rule = FailureRateAtMost(delta, why="w")
    judged = 0
    for n in np.unique(np.geomspace(1, 1500, 25).astype(int)).tolist():
        parts = {str(i): Trials(0, n) for i in range(cells)}
        try:
            rule.judge(parts)
        except MeasurementError:
            continue  # too few trials to decide
        judged += 1
        # one cell fails k times, the others never: the least k that rejects
        k = bisect.bisect_left(
            range(n),
            True,
            key=lambda k, n=n, parts=parts: rule.judge(parts | {"0": Trials(k, n)}).outcome == "rejects",
        )
        assert cells * stats.binom.sf(k - 1, n, delta) <= 0.01 * (1 + 1e-9)
        assert stats.binom.sf(k - 1, n, rule.effect) >= 0.99
    assert judged > 0


@pytest.mark.parametrize("delta", [0.02, 0.1, 0.5])
def test_certified_and_exceeded_err_in_at_most_one_percent(delta):
    certified, exceeded = FailureRateAtMost(delta, certify=True, why="w"), FailureRateAtLeast(delta, why="w")
    for n in (300, 777):
        k = np.arange(n + 1)
        mass = stats.binom.pmf(k, n, delta)
        for rule in (certified, exceeded):
            outcomes = np.array([rule.judge(Trials(int(i), n)).outcome for i in k])
            assert mass[outcomes == "accepts"].sum() <= 0.01 * (1 + 1e-9)
            assert mass[outcomes == "rejects"].sum() <= 0.01 * (1 + 1e-9)


def test_power_that_the_docstring_states():
    rule, k = FailureRateAtLeast(0.1, why="w"), np.arange(201)
    outcomes = np.array([rule.judge(Trials(int(i), 200)).outcome for i in k])
    assert stats.binom.pmf(k, 200, 0.22)[outcomes == "accepts"].sum() >= 0.99
    assert stats.binom.pmf(k, 200, 0.02)[outcomes == "rejects"].sum() >= 0.99


def test_as_the_papers_use_it():
    # 60 draws certify 0.1 without a failure and not with one; 20 structures at 0.01 allow two failures
    assert FailureRateAtMost(0.1, certify=True, why="w").judge(Trials(0, 60)).outcome == "accepts"
    assert FailureRateAtMost(0.1, certify=True, why="w").judge(Trials(1, 60)).outcome == "straddles"
    assert FailureRateAtMost(0.01, why="w").judge(Trials(2, 20)).outcome == "accepts"
    assert FailureRateAtMost(0.01, why="w").judge(Trials(3, 20)).outcome == "rejects"


def test_booleans_and_cells():
    rule = FailureRateAtMost(0.05, certify=True, why="w")
    assert rule.judge(np.zeros((10, 20), dtype=bool)).numbers["trials"] == 200
    judged = rule.judge({"n = 8": Trials(0, 100), "n = 16": Trials(40, 100)})
    assert judged.outcome == "rejects"
    assert judged.numbers["worst_at"] == "n = 16"
    assert judged.numbers["cells"] == 2
    assert "40 of 100 trials fail at n = 16" in judged.sentence
    least = FailureRateAtLeast(0.1, why="w").judge({8: Trials(90, 100), 16: Trials(0, 100)})
    assert least.outcome == "rejects"
    assert least.numbers["worst_at"] == "16"


def test_a_rejecting_cell_needs_more_when_there_are_many():
    alone = FailureRateAtMost(0.05, why="w").judge(Trials(12, 100))
    among = FailureRateAtMost(0.05, why="w").judge({i: Trials(12 if i == 0 else 5, 100) for i in range(30)})
    assert (alone.outcome, among.outcome) == ("rejects", "accepts")


def test_too_few_trials_are_an_error():
    for rule, trials, fault in (
        (FailureRateAtMost(0.1, certify=True, why="w"), Trials(0, 43), "expected at least 44"),
        (FailureRateAtMost(0.1, why="w"), Trials(3, 10), "a failure rate of 0.55 would not be told from 0.1"),
        (FailureRateAtMost(0.1, detects=0.2, why="w"), Trials(0, 100), "0.2 would not be told"),
        (FailureRateAtLeast(0.1, why="w"), Trials(20, 20), "expected at least 44"),
        (FailureRateAtLeast(0.9, why="w"), Trials(20, 20), "expected at least 44"),
    ):
        with pytest.raises(MeasurementError, match=fault):
            rule.judge(trials)
        with pytest.raises(MeasurementError, match=f"n = 8: .*{fault}"):
            rule.judge({"n = 8": trials})


@pytest.mark.parametrize(
    "bad",
    [
        Trials(-1, 90),
        Trials(91, 90),
        Trials(0, 0),
        Trials(1.0, 90),
        Trials(True, 90),
        np.zeros(90),
        [0, 1],
        None,
    ],
)
def test_bad_measurements(bad):
    for rule in (FailureRateAtMost(0.1, why="w"), FailureRateAtLeast(0.1, why="w")):
        with pytest.raises(MeasurementError):
            rule.judge(bad)


@pytest.mark.parametrize(
    "settings_",
    [
        {"delta": 0},
        {"delta": 1},
        {"delta": 0.1, "detects": 0.1},
        {"delta": 0.1, "detects": 1.5},
        {"delta": 0.1, "conf": 1},
    ],
)
def test_bad_settings(settings_):
    with pytest.raises(ValueError, match="expected"):
        FailureRateAtMost(**settings_, why="w")


def test_certify_takes_no_effect():
    with pytest.raises(ValueError, match="detects"):
        FailureRateAtMost(0.1, certify=True, detects=0.4, why="w")
