from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.distribution import Draws, SameDistribution


@given(st.integers(0, 2**32 - 1), st.integers(120, 300), st.integers(120, 300))
@settings(max_examples=25, deadline=None)
def test_distance_against_the_definition(seed, m, k):
    rng = np.random.default_rng(seed)
    a, b = np.round(rng.normal(size=m), 1), np.round(rng.normal(size=k), 1)
    grid = np.unique(np.concatenate([a, b]))
    distance = max(abs(np.mean(a <= t) - np.mean(b <= t)) for t in grid)
    judged = SameDistribution(0.6, why="w").judge(Draws(a, b))
    assert judged.numbers["distance"] == pytest.approx(distance)
    # the bound used for two samples is no tighter than the exact law: rejected means p below 1 %
    if judged.outcome == "rejects":
        assert stats.ks_2samp(a, b).pvalue <= 0.01


def test_one_sample_limit_is_the_exact_quantile():
    values = np.random.default_rng(1).random(1100)
    judged = SameDistribution(0.1, why="w").judge(Draws(values, stats.uniform.cdf))
    assert stats.kstwo.sf(judged.limit, 1100) == pytest.approx(0.01)
    assert judged.numbers["p_value"] == pytest.approx(stats.kstest(values, "uniform").pvalue)


@pytest.mark.parametrize(("draws", "enough"), [(1050, False), (1060, True)])
def test_draws_that_the_docstring_asks_for(draws, enough):
    values = np.random.default_rng(2).normal(size=draws)
    if enough:
        assert SameDistribution(0.1, why="w").judge(Draws(values, stats.norm.cdf)).outcome == "accepts"
    else:
        with pytest.raises(MeasurementError, match=r"to detect a distance of 0\.1"):
            SameDistribution(0.1, why="w").judge(Draws(values, stats.norm.cdf))


def test_two_samples_that_the_docstring_asks_for():
    a, b = np.random.default_rng(3).normal(size=(2, 3330))
    assert SameDistribution(0.1, why="w").judge(Draws(a, b)).outcome == "accepts"
    with pytest.raises(MeasurementError, match="detect"):
        SameDistribution(0.1, why="w").judge(Draws(a[:3200], b[:3200]))


def test_tolerance_for_a_law_that_holds_in_the_limit():
    near = np.random.default_rng(4).standard_t(4, size=100_000) / 2**0.5
    assert SameDistribution(0.1, why="w").judge(Draws(near, stats.norm.cdf)).outcome == "rejects"
    assert (
        SameDistribution(0.1, tolerance=0.06, why="w").judge(Draws(near, stats.norm.cdf)).outcome == "accepts"
    )


def test_cells_share_the_error():
    rng = np.random.default_rng(5)
    rows = {i: Draws(rng.normal(size=2000), stats.norm.cdf) for i in range(20)}
    rule = SameDistribution(0.1, why="w")
    assert rule.judge(rows).outcome == "accepts"
    assert rule.judge(rows).limit > rule.judge(rows[0]).limit
    assert (
        rule.judge(rows | {"t": Draws(rng.normal(size=2000) + 0.4, stats.norm.cdf)}).numbers["worst_at"]
        == "t"
    )


def test_trivial_draws():
    rule = SameDistribution(0.3, why="w")
    assert "all equal" in rule.triviality(Draws(np.zeros(500), stats.norm.cdf))
    assert rule.triviality(Draws(np.arange(500.0), stats.norm.cdf)) is None


@pytest.mark.parametrize(
    "bad",
    [
        Draws(np.arange(2000.0), lambda t: t),
        Draws(np.arange(2000.0), lambda t: -stats.norm.cdf(t) + 1),
        Draws(np.arange(2000.0), lambda t: 0.5),
        Draws(np.full(2000, np.nan), stats.norm.cdf),
        Draws(np.ones((40, 50)), stats.norm.cdf),
        Draws(np.arange(2000.0), "norm"),
        np.arange(2000.0),
    ],
)
def test_bad_measurements(bad):
    with pytest.raises(MeasurementError):
        SameDistribution(0.1, why="w").judge(bad)


@pytest.mark.parametrize("settings_", [{"detects": 0}, {"detects": 1}, {"detects": 0.1, "tolerance": 0.1}])
def test_bad_settings(settings_):
    with pytest.raises(ValueError, match="expected"):
        SameDistribution(**settings_, why="w")
