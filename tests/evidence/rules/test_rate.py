from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.rate import Frequency, RateMatches


@pytest.mark.parametrize("n", [50, 1000])
@pytest.mark.parametrize("p", [0.0, 0.02, 0.5, 1.0])
def test_false_alarms_and_power_exactly(n, p):
    tolerance = 2.6 / np.sqrt(n)
    rule, k = RateMatches(tolerance, why="w"), np.arange(n + 1)

    def outcomes(predicted):
        return np.array([rule.judge(Frequency(int(i), n, predicted)).outcome for i in k])

    mass = stats.binom.pmf(k, n, p)
    right = outcomes(p)
    assert mass[right == "rejects"].sum() <= 0.01
    assert mass[right == "accepts"].sum() >= 0.99
    for predicted in (p - 2 * tolerance, p + 2 * tolerance):
        if 0 <= predicted <= 1:
            assert mass[outcomes(predicted) == "rejects"].sum() >= 0.99


def test_true_cells_share_their_error():
    rng = np.random.default_rng(1)
    rule, p = RateMatches(0.08, why="w"), np.linspace(0.05, 0.95, 20)
    seen = [
        rule.judge(
            {i: Frequency(int(rng.binomial(4000, q)), 4000, float(q)) for i, q in enumerate(p)}
        ).outcome
        for _ in range(60)
    ]
    assert set(seen) == {"accepts"}


def test_too_few_trials_never_accept():
    assert RateMatches(0.05, why="w").judge(Frequency(5, 10, 0.5)).outcome == "straddles"


def test_worst_cell_is_named():
    judged = RateMatches(0.1, why="w").judge({"a": Frequency(500, 1000, 0.5), "b": Frequency(900, 1000, 0.5)})
    assert judged.outcome == "rejects"
    assert judged.numbers["worst_at"] == "b"
    assert judged.numbers["deviation"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    "bad",
    [
        Frequency(1, 0, 0.5),
        Frequency(3, 2, 0.5),
        Frequency(1, 2, 1.5),
        Frequency(1, 2, float("nan")),
        Frequency(0.5, 2, 0.5),
        3,
    ],
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        RateMatches(0.1, why="w").judge(bad)
