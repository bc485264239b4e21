"""Symmetric powers against full tensor powers and powers of inner products, on every kind of array."""

import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.monomials import monomial_plan, symmetric_power


def tensor_power(x, degree):
    """All d^degree products of entries."""
    return reduce(np.kron, [x] * degree, np.ones(1))


@settings(deadline=None, max_examples=60)
@given(n=st.integers(0, 5), d=st.integers(1, 5), degree=st.integers(0, 5), seed=st.integers(0, 99))
def test_inner_products_are_powers(n, d, degree, seed):
    rng = stream(seed)
    Q, K = rng.standard_normal((n, d)), rng.standard_normal((4, d))
    features = symmetric_power(Q, degree)
    assert features.shape == (n, math.comb(d + degree - 1, degree))
    products = features @ symmetric_power(K, degree).T
    full = np.array([tensor_power(q, degree) for q in Q]).reshape(n, d**degree)
    expected = full @ np.array([tensor_power(k, degree) for k in K]).T
    # a weighted sum of D products, each within a few roundings of at most (|q| |k|)^degree
    size = np.outer(np.linalg.norm(Q, axis=1), np.linalg.norm(K, axis=1)) ** degree
    assert np.all(np.abs(products - expected) <= 1e-13 * size)
    assert np.all(np.abs(products - (Q @ K.T) ** degree) <= 1e-13 * size)


def test_weights_in_the_order_of_the_plan():
    # x², xy, y² with weights 1, √2, 1
    assert symmetric_power(np.array([[2.0, 3.0]]), 2).tolist() == [[4.0, math.sqrt(2) * 6, 9.0]]
    plan = monomial_plan(3, 3)
    X = stream(1).uniform(1, 2, (4, 3))
    exponents = plan.exponents[plan.starts[3] :]
    weights = [math.sqrt(math.factorial(3) / math.prod(map(math.factorial, a))) for a in exponents.tolist()]
    expected = np.prod(X[:, None, :] ** exponents[None, :, :], axis=2) * weights
    np.testing.assert_allclose(symmetric_power(X, 3), expected, rtol=1e-14)


def test_on_every_library(xp):
    X = stream(2).standard_normal((5, 4))
    got = symmetric_power(xp.asarray(X), 3)
    assert got.dtype == xp.float64
    np.testing.assert_allclose(to_host(got), symmetric_power(X, 3), rtol=1e-15)
    assert symmetric_power(xp.asarray(X, dtype=xp.float32), 2).dtype == xp.float32


@pytest.mark.parametrize(("n", "d", "degree"), [(1, 1, 1), (7, 3, 2), (5, 4, 3)])
def test_counts(n, d, degree):
    with count() as executed:
        symmetric_power(counted(np.ones((n, d))), degree)
    with count() as shapes:
        assert symmetric_power(shape_only(n, d), degree).shape == (n, math.comb(d + degree - 1, degree))
    built = sum(math.comb(d + t - 1, t) for t in range(1, degree + 1))
    assert executed.arithmetic == n * (built + math.comb(d + degree - 1, degree))
    for name in ("multiply_adds", "arithmetic", "transcendentals", "comparisons"):
        assert getattr(shapes, name) == getattr(executed, name)


def test_sizes_no_memory_holds():
    assert symmetric_power(shape_only(2**200, 80), 60).shape == (2**200, math.comb(139, 60))


def test_nan_stays_in_its_row():
    features = symmetric_power(np.array([[np.nan, 1.0], [2.0, 0.0]]), 2)
    assert np.isnan(features[0]).tolist() == [True, True, False]
    assert features[1].tolist() == [4.0, 0.0, 0.0]


def test_bad_inputs_are_named():
    for shape in [(3,), (3, 0), (3, 2, 1)]:
        with pytest.raises(ValueError, match=r"expected \(n, d\) with d >= 1"):
            symmetric_power(np.zeros(shape), 2)
    for degree in (-1, 1.5, True):
        with pytest.raises(ValueError, match="degree="):
            symmetric_power(np.zeros((3, 2)), degree)
