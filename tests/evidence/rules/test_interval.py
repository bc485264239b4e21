from __future__ import annotations

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit, loglog_fit
from touchstone.evidence.means import Estimate
from touchstone.evidence.rules.interval import IntervalWithin


def test_estimates_and_fits():
    rule = IntervalWithin(0.9, 1.1, why="w")
    assert rule.judge(Estimate(1.0, (0.95, 1.05), 0.99)).outcome == "accepts"
    assert rule.judge(Estimate(1.0, (0.85, 1.05), 0.999)).outcome == "straddles"
    assert rule.judge(Estimate(1.3, (1.2, 1.4), 0.99)).outcome == "rejects"
    x = np.arange(1.0, 9)
    assert rule.judge(linear_fit(x, 1.01 * x + 3, 0.99)).outcome == "accepts"
    seeds = np.repeat(np.arange(8), 5)
    n = np.tile(2.0 ** np.arange(4, 9), 8)
    y = n**-0.5 * np.exp(0.05 * np.random.default_rng(1).normal(size=40))
    fit = loglog_fit(n, y, 0.99, groups=seeds, rng=np.random.default_rng(2))
    assert IntervalWithin(-0.6, -0.4, why="w").judge(fit).outcome == "accepts"
    assert IntervalWithin(high=-0.6, why="w").judge(fit).outcome == "rejects"


def test_cells():
    judged = IntervalWithin(0, 1, why="w").judge(
        {"n": Estimate(0.5, (0.4, 0.6), 0.99), "d": Estimate(0.9, (0.7, 1.1), 0.99)}
    )
    assert judged.outcome == "straddles"
    assert judged.numbers["worst_at"] == "d"


def test_an_interval_at_too_low_a_confidence_is_an_error():
    x = np.arange(1.0, 9)
    with pytest.raises(MeasurementError, match=r"confidence 0\.95"):
        IntervalWithin(0, 1, why="w").judge(linear_fit(x, x))
    assert IntervalWithin(0, 2, conf=0.95, why="w").judge(linear_fit(x, x)).outcome == "accepts"


@pytest.mark.parametrize(
    "bad",
    [
        Estimate(1, (2, 3), 0.99),
        Estimate(np.nan, (0, 1), 0.99),
        Estimate(0, (np.nan, 1), 0.99),
        (0, 1),
        {},
        1.0,
    ],
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        IntervalWithin(0, 1, why="w").judge(bad)
