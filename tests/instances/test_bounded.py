"""Bounded instances: within the bound, extremes attained where promised, the same numbers everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.instances.bounded import bounded_entries


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 7),
    B=st.floats(0, 1e6),
    planted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_entries_keep_the_bound_and_planting_attains_it(n, d, B, planted, seed):
    Q, K, V = bounded_entries(n, d, B, stream(seed), planted=planted)
    assert Q.shape == K.shape == V.shape == (n, d)
    for x in (Q, K, V):
        assert x.dtype == np.float64
        assert np.abs(x).max() <= B
    if planted:
        logits = Q @ K.T
        assert logits.max() == pytest.approx(d * B**2, rel=1e-14)
        if n > 1:
            assert logits.min() == pytest.approx(-d * B**2, rel=1e-14)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (4, 2), (9, 3), (16, 4), (100, 4)])
def test_all_sign_patterns_are_planted_when_they_fit(n, d):
    Q, K, _ = bounded_entries(n, d, 1.5, stream(3))
    for x in (Q, K):
        head = x[: 2**d]
        assert np.all(np.abs(head) == 1.5)
        assert len(np.unique(head, axis=0)) == 2**d
        assert np.all(np.abs(x[2**d :]) < 1.5)
    np.testing.assert_array_equal(Q[: 2**d], K[: 2**d])


@pytest.mark.parametrize(("n", "d"), [(15, 4), (8, 4), (3, 2), (100, 5), (2, 60)])
def test_two_rows_are_planted_otherwise(n, d):
    Q, K, _ = bounded_entries(n, d, 2.0, stream(4))
    for x in (Q, K):
        np.testing.assert_array_equal(x[:2], [[2.0] * d, [-2.0] * d])
        assert np.all(np.abs(x[2:]) < 2.0)


def test_a_single_row_holds_the_upper_extreme():
    Q, K, _ = bounded_entries(1, 3, 2.0, stream(5))
    np.testing.assert_array_equal(Q, [[2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(K, [[2.0, 2.0, 2.0]])


def test_planting_changes_only_the_first_rows_of_queries_and_keys():
    plain = bounded_entries(50, 4, 1.0, stream(6), planted=False)
    planted = bounded_entries(50, 4, 1.0, stream(6), planted=True)
    for x, y in zip(plain[:2], planted[:2], strict=True):
        np.testing.assert_array_equal(x[16:], y[16:])
        assert np.all(np.abs(x[:16]) < 1)
    np.testing.assert_array_equal(plain[2], planted[2])


def test_entries_are_uniform_and_independent():
    n, B = 20_000, 3.0
    Q, K, V = bounded_entries(n, 2, B, stream(7), planted=False)
    entries = np.concatenate([Q, K, V], axis=1)
    # six standard deviations: a false alarm once in 10^8 or so over these 6 + 21 numbers
    sigma = B / np.sqrt(3)
    assert np.all(np.abs(entries.mean(axis=0)) <= 6 * sigma / np.sqrt(n))
    covariance = entries.T @ entries / n
    fourth = B**4 * (1 / 5 - 1 / 9)  # the variance of a squared entry; of a product it is sigma^4 = B^4 / 9
    limit = 6 * np.sqrt(max(fourth, sigma**4) / n)
    np.testing.assert_allclose(covariance, sigma**2 * np.eye(6), rtol=0, atol=limit)


def test_same_seed_same_numbers_in_every_library(xp):
    expected = bounded_entries(20, 3, 1.25, stream(8))
    for x, y in zip(bounded_entries(20, 3, 1.25, stream(8), like=xp), expected, strict=True):
        assert x.dtype == xp.float64
        np.testing.assert_array_equal(to_host(x), y)
    narrow = bounded_entries(20, 3, 1.25, stream(8), like=xp.zeros(1, dtype=xp.float32))
    for x, y in zip(narrow, expected, strict=True):
        assert x.dtype == xp.float32
        np.testing.assert_array_equal(to_host(x), y.astype(np.float32))


def test_bound_zero_gives_zeros():
    for x in bounded_entries(5, 2, 0, stream(9)):
        np.testing.assert_array_equal(x, np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("n", "d", "B", "message"),
    [
        (0, 2, 1.0, r"n=0: expected an integer >= 1"),
        (2, 0, 1.0, r"d=0: expected an integer >= 1"),
        (2, 2, -1.0, r"B=-1\.0: expected a finite number >= 0"),
        (2, 2, float("nan"), r"B=nan"),
        (2, 2, float("inf"), r"B=inf"),
    ],
)
def test_bad_input_is_named(n, d, B, message):
    with pytest.raises(ValueError, match=message):
        bounded_entries(n, d, B, stream(0))
