from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit, local_slopes, loglog_fit


@given(
    st.floats(-3, 3),
    st.floats(-5, 5),
    st.integers(3, 12),
    st.integers(0, 2**31),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_agrees_with_scipy(slope, intercept, points, seed, conf):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.1, 2, points))
    y = intercept + slope * x + 0.1 * rng.standard_normal(points)
    fit, reference = linear_fit(x, y, conf), stats.linregress(x, y)
    half = stats.t.ppf(0.5 + conf / 2, points - 2) * reference.stderr
    assert fit.slope == pytest.approx(reference.slope, rel=1e-9, abs=1e-9)
    assert fit.intercept == pytest.approx(reference.intercept, rel=1e-9, abs=1e-9)
    assert fit.interval == pytest.approx((reference.slope - half, reference.slope + half), rel=1e-7, abs=1e-9)
    assert fit.r2 == pytest.approx(reference.rvalue**2, abs=1e-9)
    assert fit.residual == pytest.approx(np.max(np.abs(y - fit.intercept - fit.slope * x)), rel=1e-6)
    assert (fit.conf, fit.points) == (conf, points)


def test_exact_powers_of_huge_sizes():
    n = [2 ** (20 * 2**j) for j in range(10)]
    fit = loglog_fit(n, [3 * x**2 for x in n])
    assert fit.slope == pytest.approx(2, abs=1e-12)
    assert fit.residual == 0.0
    low, high = fit.interval
    assert low < 2 < high  # the rounding of the logarithms is not mistaken for certainty
    assert high - low < 1e-11


def test_a_bend_without_noise_widens_the_interval():
    n = np.geomspace(10, 1e4, 8)
    assert np.diff(loglog_fit(n, n * np.log(n)).interval) > 0.02


def test_constant_values_have_slope_zero():
    fit = linear_fit([1, 2, 3, 4], [5, 5, 5, 5])
    assert (fit.slope, fit.r2, fit.residual) == (0.0, 1.0, 0.0)


def test_local_slopes():
    n = [2**k for k in (20, 30, 100, 5000)]
    assert local_slopes(n, [x**3 for x in n]) == pytest.approx([3, 3, 3], rel=1e-13)
    assert local_slopes([1, 10, 100], [1, 10, 1000]) == pytest.approx([1, 2])


def test_grouped_interval_covers_and_grows_with_shared_noise():
    rng = np.random.default_rng(5)
    x = np.geomspace(1, 100, 6)
    seeds = 8
    groups = np.repeat(np.arange(seeds), len(x))
    inside = 0
    trials = 150
    for _ in range(trials):
        tilt = 0.1 * rng.standard_normal(seeds)[:, None]  # each seed has an exponent of its own
        y = x ** (1 + tilt) * np.exp(0.02 * rng.standard_normal((seeds, len(x))))
        fit = loglog_fit(np.tile(x, seeds), y.ravel(), groups=list(groups), rng=rng)
        inside += fit.interval[0] <= 1 <= fit.interval[1]
    # nominal 95 %: 150 trials put the upper 99 % end of the coverage below 90 % if it were really 80 %
    assert stats.binomtest(inside, trials, alternative="less").proportion_ci(0.99).high >= 0.95
    assert stats.binomtest(inside, trials, alternative="greater").proportion_ci(0.99).low >= 0.85


def test_groups_with_their_own_seed_reproduce():
    x, y = np.tile([1.0, 2, 4], 5), np.random.default_rng(0).uniform(1, 2, 15)
    groups = [i // 3 for i in range(15)]
    fits = [loglog_fit(x, y, groups=groups, rng=np.random.default_rng(3)) for _ in range(2)]
    assert fits[0] == fits[1]
    assert fits[0].slope == loglog_fit(x, y).slope


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2], "at least 3"),
        ([1, 2, 3], [1, 2], "shapes"),
        ([1, 1, 1], [1, 2, 3], "at least two different"),
        ([1, 2, np.nan], [1, 2, 3], r"x\[2\]"),
        ([1, 2, 3], [1, np.inf, 3], r"y\[1\]"),
    ],
)
def test_refusals(x, y, message):
    with pytest.raises(MeasurementError, match=message):
        linear_fit(x, y)


def test_loglog_refuses_zero_and_bad_options():
    with pytest.raises(MeasurementError, match=r"y\[0\]=0"):
        loglog_fit([1, 2, 3], [0, 1, 2])
    with pytest.raises(ValueError, match=r"conf=1\.0"):
        loglog_fit([1, 2, 3], [1, 2, 3], 1.0)
    with pytest.raises(ValueError, match="rng=None"):
        loglog_fit([1, 2, 3], [1, 2, 3], groups=[0, 1, 2])
    rng = np.random.default_rng(0)
    with pytest.raises(MeasurementError, match="at least 5"):
        loglog_fit([1, 2, 3], [1, 2, 3], groups=[0, 1, 2], rng=rng)
    with pytest.raises(ValueError, match="groups of length 2"):
        loglog_fit([1, 2, 3], [1, 2, 3], groups=[0, 1], rng=rng)
    with pytest.raises(MeasurementError, match="increase"):
        local_slopes([2, 1, 3], [1, 1, 1])
