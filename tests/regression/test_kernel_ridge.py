"""Kernel ridge regression against scikit-learn and against ridge regression in the features."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.regression.kernel_ridge import kernel_ridge

sizes = st.integers(1, 6)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, st.integers(0, 3), st.floats(0.01, 100), st.integers(0, 10**6))
def test_is_scikit_learns(n, d, q, c, ridge, seed):
    rng = np.random.default_rng(seed)
    X, P = rng.normal(size=(n, d)), rng.normal(size=(q, d))
    y = rng.normal(size=(n, c) if c else n)
    H, K = (X @ X.T) ** 2, (P @ X.T) ** 2
    expected = KernelRidge(alpha=ridge, kernel="precomputed").fit(H, y).predict(K)
    got = kernel_ridge(H, K, y, ridge)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-8)
    one = kernel_ridge(H, K[0], y, ridge)
    assert np.shape(one) == expected.shape[1:]
    np.testing.assert_allclose(one, expected[0], rtol=1e-7, atol=1e-8)


def test_is_ridge_regression_in_the_features():
    rng = np.random.default_rng(0)
    X, P, y = rng.normal(size=(8, 3)), rng.normal(size=(4, 3)), rng.normal(size=8)
    expected = Ridge(alpha=0.7, fit_intercept=False).fit(X, y).predict(P)
    np.testing.assert_allclose(kernel_ridge(X @ X.T, P @ X.T, y, 0.7), expected, rtol=1e-11)


def test_no_ridge_interpolates_and_a_huge_one_gives_zero():
    rng = np.random.default_rng(0)
    G, y = rng.normal(size=(5, 9)), rng.normal(size=5)
    H = G @ G.T
    np.testing.assert_allclose(kernel_ridge(H, H, y, 0), y, rtol=1e-9)
    np.testing.assert_allclose(kernel_ridge(H, H, y, 1e30), H @ y / 1e30, rtol=1e-12)


@pytest.mark.parametrize("columns", [None, 3])
@pytest.mark.parametrize("row", [False, True])
def test_stacks_of_kernels(columns, row):
    rng = np.random.default_rng(0)
    G = rng.normal(size=(2, 3, 4, 6))
    H = G @ np.swapaxes(G, -1, -2)
    K = rng.normal(size=4 if row else (5, 4))
    y = rng.normal(size=4 if columns is None else (4, columns))
    got = kernel_ridge(H, K, y, 0.3)
    each = [[kernel_ridge(H[i, j], K, y, 0.3) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(got, each, rtol=1e-12)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("columns", [None, 2])
@pytest.mark.parametrize("row", [False, True])
def test_on_every_library(xp, stacked, columns, row):
    rng = np.random.default_rng(0)
    G = rng.normal(size=(2, 4, 6) if stacked else (4, 6))
    H = G @ np.swapaxes(G, -1, -2)
    K = rng.normal(size=4 if row else (3, 4))
    y = rng.normal(size=4 if columns is None else (4, columns))
    got = kernel_ridge(*(xp.asarray(x) for x in (H, K, y)), 0.3)
    np.testing.assert_allclose(to_host(got), kernel_ridge(H, K, y, 0.3), rtol=1e-12)


def test_counts():
    n, q, c = 4, 3, 2

    def costs(make):
        with count() as costs:
            kernel_ridge(make(n, n), make(q, n), make(n, c), 0.5)
        return costs.numbers()

    numbers = costs(shape_only)
    assert numbers == costs(lambda *s: counted(np.ones(s)))
    lu = n * (n - 1) * (2 * n - 1) // 6
    assert numbers["multiply_adds"] == lu + c * n * (n - 1) + q * n * c


def test_keeps_float32():
    one = np.ones((2, 2), dtype=np.float32)
    assert kernel_ridge(one, one, one[0], 0.5).dtype == np.float32


def test_arguments():
    H, K, y = np.eye(3), np.ones((2, 3)), np.ones(3)
    for bad, words in [
        ((np.ones(3), K, y, 1), "H of shape"),
        ((np.ones((3, 2)), K, y, 1), "H of shape"),
        ((H, np.ones((2, 4)), y, 1), "k of shape"),
        ((H, np.ones((1, 2, 3)), y, 1), "k of shape"),
        ((H, K, np.ones(2), 1), "y of shape"),
        ((H, K, np.ones((3, 1, 1)), 1), "y of shape"),
        ((H, K, y, -1e-9), "ridge="),
        ((H, K, y, math.nan), "ridge="),
        ((H, K, y, math.inf), "ridge="),
    ]:
        with pytest.raises(ValueError, match=words):
            kernel_ridge(*bad)
