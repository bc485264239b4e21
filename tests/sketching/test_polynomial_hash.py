"""Polynomial hashes against exact arithmetic of Python integers, and their independence by enumeration."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.sketching import polynomial_hash as module
from touchstone.sketching.polynomial_hash import PRIME, PolynomialHash, checked_items, polynomial_hash

EDGES = [0, 1, 2, PRIME - 2, PRIME - 1, 1 << 30, (1 << 30) - 1, 12345]


def rng(seed=0):
    return np.random.default_rng(seed)


def reference(coefficients, buckets, item):
    value = sum(c * item**i for i, c in enumerate(coefficients)) % PRIME
    return value * buckets // 2**31


def test_the_field_is_a_prime_field():
    assert PRIME == 2**31 - 1
    assert all(PRIME % d for d in range(2, 46341))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, PRIME - 1), min_size=1, max_size=6),
    st.integers(1, 2**31),
    st.lists(st.integers(0, PRIME - 1), min_size=1, max_size=20),
)
def test_is_the_polynomial(coefficients, buckets, items):
    items = items + EDGES
    other = [(7 * c + 1) % PRIME for c in coefficients]
    keys = PolynomialHash(np.array([coefficients, other]).T, buckets).keys(np.array(items))
    assert keys.tolist() == [[reference(c, buckets, x) for x in items] for c in (coefficients, other)]


def test_the_largest_coefficients_do_not_overflow():
    for c in (PRIME - 1, PRIME - 2, 1, 0):
        coefficients = [c] * 5
        keys = PolynomialHash(np.array([coefficients]).T, 2**31).keys(np.array(EDGES))
        assert keys.tolist()[0] == [reference(coefficients, 2**31, x) for x in EDGES]


def test_draws_are_the_coefficients():
    h = polynomial_hash(4, 10, rng(3), 5)
    np.testing.assert_array_equal(h.coefficients, rng(3).integers(0, PRIME, (4, 5)))
    assert h.coefficients.dtype == np.int64
    assert h.buckets == 10
    assert polynomial_hash(4, 10, rng(3)).coefficients.shape == (4, 1)


def test_on_every_library(xp):
    h = polynomial_hash(3, 1000, rng(1), 2)
    expected = [[reference(c.tolist(), 1000, x) for x in EDGES] for c in h.coefficients.T]
    for dtype in (xp.int64, xp.int32, xp.uint32):
        keys = h.keys(xp.asarray(EDGES, dtype=dtype))
        assert keys.dtype == xp.int64
        assert to_host(keys).tolist() == expected


@pytest.mark.parametrize("independence", [1, 2, 3])
def test_independence_by_enumeration(monkeypatch, independence):
    """Over all polynomials of a small field, the residues of k items take every value equally often."""
    monkeypatch.setattr(module, "PRIME", 7)
    monkeypatch.setattr(module, "BITS", 3)
    items = np.array([0, 1, 3, 6])[:independence]
    seen = Counter(
        tuple(PolynomialHash(np.array([c]).T, 8).keys_of(items)[0].tolist())
        for c in itertools.product(range(7), repeat=independence)
    )
    assert len(seen) == 7**independence
    assert set(seen.values()) == {1}


def test_four_items_are_independent_and_uniform():
    """Buckets of four fixed items over many hashes: 2^4 cells, each as likely."""
    items = np.array([0, 1, 2, 10**6])
    draws = polynomial_hash(4, 2, rng(8), 4000).keys(items)
    cells = np.bincount(draws @ [1, 2, 4, 8], minlength=16)
    assert stats.chisquare(cells).pvalue > 1e-6  # a right hash fails one seed in a million


def test_pairwise_is_not_threewise():
    """Degree 1: the residues of 0, 1 and 2 lie on a line, so that the third follows from the others."""
    c = polynomial_hash(2, 2**31, rng(9), 20).coefficients
    first, second, third = (np.array([int(a) + int(b) * x for a, b in c.T]) % PRIME for x in (0, 1, 2))
    assert not np.any((2 * second - first - third) % PRIME)


def test_buckets_are_filled_evenly():
    keys = polynomial_hash(2, 37, rng(2)).keys(np.arange(200_000))[0]
    assert keys.min() == 0
    assert keys.max() == 36
    assert np.bincount(keys).std() / np.bincount(keys).mean() < 0.05


def test_one_bucket_and_no_items():
    assert polynomial_hash(2, 1, rng()).keys(np.arange(5)).tolist() == [[0] * 5]
    empty = polynomial_hash(2, 5, rng()).keys(np.arange(0))
    assert (empty.shape, empty.dtype) == ((1, 0), np.int64)


def test_counts():
    h = polynomial_hash(4, 100, rng(), 3)
    with count() as with_data:
        h.keys(counted(np.arange(50)))
    with count() as without:
        h.keys(shape_only(50, dtype="int64"))
    assert with_data.numbers() == without.numbers()
    assert with_data.arithmetic == 50 * 3 * (5 * 3 + 2)


def test_items_are_widened_once():
    items = np.arange(5)
    assert checked_items(items) is items
    assert checked_items(items.astype(np.int16)).dtype == np.int64


def test_bad_input():
    for items in (np.array([-1]), np.array([0, PRIME]), np.array([2**40])):
        with pytest.raises(ValueError, match=r"items from .* to .*: expected integers in \[0, 2147483647\)"):
            polynomial_hash(2, 5, rng()).keys(items)
    with pytest.raises(TypeError, match="items of dtype float64: expected integers"):
        polynomial_hash(2, 5, rng()).keys(np.ones(3))
    with pytest.raises(ValueError, match=r"items of shape \(1, 3\): expected one axis"):
        polynomial_hash(2, 5, rng()).keys(np.zeros((1, 3), dtype=int))
    for name in ("independence", "buckets", "functions"):
        for bad in (0, -1, 2.0, True):
            with pytest.raises(ValueError, match=rf"{name}=.*: expected an integer >= 1"):
                polynomial_hash(**{"independence": 2, "buckets": 5, "rng": rng(), name: bad})
    with pytest.raises(ValueError, match="buckets=2147483649: expected at most 2147483648"):
        polynomial_hash(2, 2**31 + 1, rng())
    assert polynomial_hash(np.int64(2), np.int64(2**31), rng()).buckets == 2**31
    with pytest.raises(TypeError, match="rng=1: expected a NumPy random generator"):
        polynomial_hash(2, 5, 1)
