"""Grover's law against the full state vector, and call counts against a search written down item by item."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from touchstone.arrays import to_host
from touchstone.counting.array import count
from touchstone.quantum.grover import find_all_queries, search_queries, state, success_probability


@pytest.mark.parametrize(("n", "t"), [(1, 1), (2, 1), (7, 3), (64, 0), (64, 1), (64, 64), (100, 99)])
def test_state_vector_follows_the_law(xp, n, t):
    marked = np.zeros(n, dtype=bool)
    marked[:t] = True
    for j in (0, 1, 2, 5):
        amplitudes = to_host(state(xp.asarray(marked), j))
        assert amplitudes.shape == (n,)
        np.testing.assert_allclose(np.sum(amplitudes**2), 1, rtol=1e-13)
        np.testing.assert_allclose(
            np.sum(amplitudes[marked] ** 2), success_probability(j, t, n), rtol=1e-12, atol=1e-13
        )


def test_one_of_four_is_found_in_one_iteration():
    assert success_probability(1, 1, 4) == pytest.approx(1, abs=1e-15)
    assert success_probability(0, 1, 4) == pytest.approx(0.25, abs=1e-15)
    np.testing.assert_allclose(success_probability(np.array([0, 1]), 1, 4), [0.25, 1])


def test_an_oracle_that_marks_nothing_leaves_the_state_alone():
    marked = np.arange(16) < 3
    np.testing.assert_allclose(state(marked, 5, oracle=lambda x: x), np.full(16, 0.25), rtol=1e-14)


def test_cost_of_an_iteration():
    import touchstone.counting.namespace as counting

    def operations(j):
        marked = counting.asarray(np.arange(50) < 2)
        with count() as costs:
            state(marked, j)
        return costs.operations

    # sign times amplitude, the mean (n additions), twice the mean, n differences
    assert operations(7) - operations(6) == operations(2) - operations(1)
    assert 3 * 50 <= operations(3) - operations(2) <= 3 * 50 + 3


def slow_search(n, t, rng, budget):
    """The same, one run at a time with a state vector."""
    marked = np.zeros(n, dtype=bool)
    marked[:t] = True
    limit, calls = 1.0, 0
    while True:
        j = int(rng.integers(0, math.ceil(limit)))
        if calls + j + 1 > budget:
            return calls, False
        calls += j + 1
        p = np.abs(state(marked, j)) ** 2
        if marked[rng.choice(n, p=p / p.sum())]:
            return calls, True
        limit = min(1.2 * limit, math.sqrt(n))


@pytest.mark.parametrize(("n", "t", "budget"), [(16, 1, 1000), (64, 3, 24), (50, 7, 5)])
def test_search_has_the_law_of_the_slow_one(n, t, budget):
    rng = np.random.default_rng(1)
    slow = [slow_search(n, t, rng, budget) for _ in range(1500)]
    calls, found = search_queries(n, t, rng, 40_000, budget=budget)
    assert calls.shape == found.shape == (40_000,)
    a, b = np.array([c for c, _ in slow]), calls
    # means agree within 4 standard errors, success rates by an exact test: one run in 10^4 would fail
    assert abs(a.mean() - b.mean()) <= 4 * math.sqrt(a.var() / a.size + b.var() / b.size)
    assert binomtest(sum(f for _, f in slow), len(slow), found.mean() - 1e-12).pvalue > 1e-4
    assert np.all(calls <= budget)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 100))
def test_without_a_budget_every_search_succeeds(n, t, seed):
    calls, found = search_queries(n, min(t, n), np.random.default_rng(seed), 5)
    assert np.all(found)
    assert np.all(calls >= 1)


def test_when_all_are_marked_one_call_does():
    calls, found = search_queries(9, [9, 9], np.random.default_rng(0), 100)
    assert calls.shape == (2, 100)
    assert np.all(calls == 1)
    assert np.all(found)


def test_nothing_marked_takes_at_most_the_budget_and_finds_nothing():
    calls, found = search_queries(100, 0, np.random.default_rng(0), 200, budget=90)
    assert not np.any(found)
    # the range of j ends at 10, so that at most nine calls are left over
    assert np.all((calls > 80) & (calls <= 90))


def test_range_of_iterations_ends_at_the_root_of_n():
    """Long after the start j is uniform on 0 .. 9 at n = 100: 5.5 calls a trial, on average."""
    calls, _ = search_queries(100, 0, np.random.default_rng(0), 4000, budget=2000)
    # 1.2^t passes 10 in the thirteenth trial; until then fewer calls: about 40 for 13 trials instead of 71
    trials = 13 + (calls.mean() - 40) / 5.5
    few, _ = search_queries(100, 0, np.random.default_rng(1), 4000, budget=1000)
    assert trials - (13 + (few.mean() - 40) / 5.5) == pytest.approx(1000 / 5.5, rel=0.01)


def test_expected_calls_are_of_the_order_of_the_theorem():
    for n, t in [(2**12, 1), (2**16, 4), (2**20, 64)]:
        calls, _ = search_queries(n, t, np.random.default_rng(0), 2000)
        assert 1.0 < calls.mean() / math.sqrt(n / t) < 4.5


def test_find_all_finds_all_and_pays_for_it():
    n, k = 2**12, 10
    result = find_all_queries(n, k, np.random.default_rng(0), 500)
    assert result.search.shape == result.found.shape == (500,)
    assert np.mean(result.found == k) > 0.99
    assert np.all(result.certification == math.ceil(9 * math.sqrt(n)))
    np.testing.assert_array_equal(result.calls, result.search + result.certification)
    alone = sum(search_queries(n, t, np.random.default_rng(t), 2000)[0].mean() for t in range(1, k + 1))
    assert result.search.mean() == pytest.approx(alone, rel=0.05)


def test_a_small_budget_misses_rows_and_a_second_round_helps():
    n = 2**12
    once, twice = (
        find_all_queries(n, 3, np.random.default_rng(0), 4000, budget=1.5, rounds=r) for r in (1, 2)
    )
    assert np.mean(once.found < 3) > 0.1
    assert np.mean(twice.found < 3) < 0.6 * np.mean(once.found < 3)
    assert np.all(once.certification == 96)
    assert np.all(twice.certification == 192)
    # a list that ends early pays for no later stage
    assert np.all(once.search[once.found == 0] == 0)


def test_one_round_is_one_search():
    result = find_all_queries(2**10, 1, np.random.default_rng(0), 500, budget=0.5)
    calls, success = search_queries(2**10, np.array([1]), np.random.default_rng(0), 500, budget=16)
    assert 0 < np.mean(success) < 0.9
    np.testing.assert_array_equal(result.found, success[0])
    np.testing.assert_array_equal(result.search, np.where(success, calls, 0)[0])


def test_nothing_to_find_is_certified():
    result = find_all_queries(100, 0, np.random.default_rng(0), 3)
    assert list(result.search) == [0, 0, 0]
    assert list(result.certification) == [90, 90, 90]
    assert list(result.found) == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: success_probability(-1, 1, 4), "j=-1"),
        (lambda r: success_probability(1, 5, 4), "marked=5"),
        (lambda r: success_probability(1, -1, 4), "marked=-1"),
        (lambda r: success_probability(1, 0, 0), "n=0"),
        (lambda r: state(np.ones((2, 2), dtype=bool), 1), "booleans"),
        (lambda r: state(np.ones(3), 1), "booleans"),
        (lambda r: state(np.ones(3, dtype=bool), -1), "j=-1"),
        (lambda r: search_queries(4, 0, r, 2), "without a budget"),
        (lambda r: search_queries(4, 1, r, 0), "runs=0"),
        (lambda r: search_queries(4, 1, r, 2, budget=0), "budget=0"),
        (lambda r: search_queries(4, 9, r, 2), "marked=9"),
        (lambda r: find_all_queries(4, 5, r, 2), "marked=5"),
        (lambda r: find_all_queries(4, 1, r, 2, rounds=0), "rounds=0"),
        (lambda r: find_all_queries(4, 1, r, 2, budget=-1), "budget=-1"),
        (lambda r: find_all_queries(4, 1.5, r, 2), "k=1.5"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))
