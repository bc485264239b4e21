from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.means import mean_interval, sign_flip_p_value

draws = hnp.arrays(float, st.integers(3, 12), elements=st.integers(-20, 20).map(float))


@given(draws, st.floats(0.5, 0.99))
@settings(max_examples=30, deadline=None)
def test_interval_holds_student_s_and_is_repeatable(values, conf):
    found = mean_interval(values, conf)
    assert found == mean_interval(values, conf)
    assert found.value == pytest.approx(values.mean())
    half = stats.t.ppf(0.5 + conf / 2, len(values) - 1) * stats.sem(values)
    low, high = found.interval
    assert low <= values.mean() - half * (1 - 1e-12)
    assert high >= values.mean() + half * (1 - 1e-12)
    # the bootstrap never leaves the data
    assert low >= min(values.min(), values.mean() - half) - 1e-9
    assert high <= max(values.max(), values.mean() + half) + 1e-9


def test_long_tail_is_followed():
    values = np.random.default_rng(3).exponential(size=40) ** 2
    low, high = mean_interval(values, 0.99).interval
    half = stats.t.ppf(0.995, 39) * stats.sem(values)
    assert high > values.mean() + 1.1 * half
    assert low == pytest.approx(values.mean() - half)


def test_equal_draws_keep_the_width_of_their_rounding():
    low, high = mean_interval(np.full(5, 0.1)).interval
    assert low < 0.1 < high
    assert high - low < 1e-14
    assert mean_interval(np.zeros(5)).interval == (0, 0)


def test_many_draws_need_no_bootstrap():
    values = np.random.default_rng(4).normal(size=5000)
    found = mean_interval(values, 0.99)
    assert found.interval[1] - found.value == pytest.approx(stats.t.ppf(0.995, 4999) * stats.sem(values))


def test_two_draws_have_no_spread_to_speak_of():
    with pytest.raises(MeasurementError, match="2 draws"):
        mean_interval(np.array([1.0, 2.0]))


@given(hnp.arrays(float, st.integers(2, 7), elements=st.integers(-9, 9).map(float)))
@settings(max_examples=30, deadline=None)
def test_p_value_counts_signs(differences):
    m = len(differences)
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=m)
    ]
    assert sign_flip_p_value(differences) == pytest.approx(sum(s >= sum(differences) for s in sums) / 2**m)


def test_p_value_of_many_pairs_is_near_the_normal_one():
    differences = np.random.default_rng(5).normal(size=60) + 0.3
    expected = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert sign_flip_p_value(differences) == pytest.approx(
        expected, abs=4 * math.sqrt(expected / 9999) + 2e-3
    )
