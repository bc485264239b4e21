from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.evidence.proportions import (
    clopper_pearson,
    least_excess,
    least_trials_to_certify,
    least_trials_to_exceed,
    power_of_excess,
)


def tail(n: int, p: float, least: int) -> float:
    """P(at least ``least`` events), summed term by term."""
    return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(least, n + 1))


@given(st.integers(1, 60), st.data(), st.floats(0.8, 0.999))
@settings(max_examples=60)
def test_ends_solve_their_equations(n, data, conf):
    k = data.draw(st.integers(0, n))
    low, one = clopper_pearson(k, n, conf, "lower")
    zero, high = clopper_pearson(k, n, conf, "upper")
    assert (zero, one) == (0, 1)
    # at the lower end as many events or more have probability 1 - conf, at the upper as many or fewer
    assert low == 0 if k == 0 else tail(n, low, k) == pytest.approx(1 - conf, rel=1e-6)
    assert high == 1 if k == n else 1 - tail(n, high, k + 1) == pytest.approx(1 - conf, rel=1e-6)
    both = clopper_pearson(k, n, conf)
    reference = stats.binomtest(k, n).proportion_ci(conf, "exact")
    assert both == pytest.approx((reference.low, reference.high), abs=1e-9)
    assert both[0] <= low <= k / n <= high <= both[1]


def test_numbers_known_by_hand():
    assert clopper_pearson(0, 60, 0.99, "upper")[1] == pytest.approx(1 - 0.01 ** (1 / 60))
    assert clopper_pearson(7, 7, 0.99, "lower")[0] == pytest.approx(0.01 ** (1 / 7))
    assert least_trials_to_certify(0.1) == 44
    assert least_trials_to_certify(1 - 0.01 ** (1 / 50)) == 50


@given(st.integers(1, 80), st.floats(0.01, 0.9))
def test_least_excess_is_least(n, p):
    k = least_excess(n, p)
    assert tail(n, p, k) <= 0.01 * (1 + 1e-9)
    assert tail(n, p, k - 1) > 0.01 * (1 - 1e-9)


@given(st.floats(0.005, 0.6), st.floats(0.1, 0.9))
@settings(max_examples=30, deadline=None)
def test_enough_trials_are_enough_and_nearly_least(p, share):
    q = p + share * (1 - p)
    n = least_trials_to_exceed(p, q)
    assert power_of_excess(n, p, q) >= 0.99
    assert n == 1 or power_of_excess(max(1, int(0.8 * n) - 1), p, q) < 0.999
    if n < 900:  # beyond, the plain sum overflows
        assert power_of_excess(n, p, q) == pytest.approx(tail(n, q, least_excess(n, p)), abs=1e-9)


@pytest.mark.parametrize(("events", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_bad_counts(events, trials):
    with pytest.raises(ValueError, match="events"):
        clopper_pearson(events, trials)


def test_bad_side():
    with pytest.raises(ValueError, match="side"):
        clopper_pearson(1, 5, side="left")
    assert np.all(np.diff([clopper_pearson(k, 9)[0] for k in range(10)]) > 0)
