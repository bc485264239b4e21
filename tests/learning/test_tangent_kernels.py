"""Tangent kernels against the definitions: a network that is differentiated, scikit-learn, exact moments."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_jacobian
from touchstone.learning.tangent_kernels import (
    empirical_ntk,
    quadratic_network_ntk,
    quadratic_ntk,
    quadratic_ntk_changes,
    quadratic_ntk_derivative,
)

sizes = st.integers(1, 6)


@settings(max_examples=50, deadline=None)
@given(sizes, sizes, sizes, st.floats(0.1, 5), st.integers(0, 10**6))
def test_is_scikit_learns_polynomial_kernel(n, q, d, sigma, seed):
    rng = np.random.default_rng(seed)
    X, points = rng.normal(size=(n, d)), rng.normal(size=(q, d))
    # (sigma <x, y>)^2
    expected = polynomial_kernel(points, X, degree=2, gamma=sigma, coef0=0)
    np.testing.assert_allclose(quadratic_ntk(X, sigma, points), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(quadratic_ntk(X, sigma), quadratic_ntk(X, sigma, X), rtol=1e-14)


def test_sigma_is_one_by_default():
    X = np.asarray([[1.0, 2.0], [3.0, -1.0]])
    np.testing.assert_array_equal(quadratic_ntk(X), [[25.0, 1.0], [1.0, 100.0]])
    np.testing.assert_array_equal(quadratic_ntk_derivative(X, 0), [[10.0, 20.0], [6.0, -2.0]])


def network(W, signs, X):
    """The quadratic network of the module's head."""
    return 0.5 * (X @ W.T) ** 2 @ signs / math.sqrt(len(signs))


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, sizes, st.integers(1, 4), st.integers(0, 10**6))
def test_network_kernel_is_that_of_its_gradients(n, d, m, block, seed):
    rng = np.random.default_rng(seed)
    X, W = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    signs = np.where(rng.random(m) < 0.5, -1.0, 1.0)
    jacobian = complex_step_jacobian(lambda w: network(w.reshape(m, d), signs, X), W.ravel())
    expected = empirical_ntk(jacobian)
    close = {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(quadratic_network_ntk(X, W, block=block), expected, **close)
    np.testing.assert_allclose(empirical_ntk(jacobian.reshape(n, m, d)), expected, **close)
    explicit = np.asarray(
        [[sum(a * b for a, b in zip(p, q, strict=True)) for p in jacobian] for q in jacobian]
    )
    np.testing.assert_allclose(expected, explicit, **close)


def test_expectation_over_the_weights_is_the_wide_kernel():
    # with the weights +-sigma sqrt(d) e_i, each as likely, E w w^T is exactly sigma^2 I
    X, sigma = np.random.default_rng(1).normal(size=(4, 3)), 1.7
    W = sigma * math.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    np.testing.assert_allclose(quadratic_network_ntk(X, W), quadratic_ntk(X, sigma), rtol=1e-13)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.floats(0.2, 3), st.integers(0, 10**6))
def test_derivative(n, d, sigma, seed):
    rng = np.random.default_rng(seed)
    X, j = rng.normal(size=(n, d)), int(rng.integers(n))

    def half_change(x):
        # row j of the kernel as a function of x_j, with half the diagonal entry
        row = sigma**2 * (X @ x) ** 2
        row[j] = sigma**2 * (x @ x) ** 2 / 2
        return row

    expected = complex_step_jacobian(half_change, X[j])
    np.testing.assert_allclose(quadratic_ntk_derivative(X, j, sigma), expected, rtol=1e-11, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, st.floats(0.2, 3), st.integers(0, 10**6))
def test_changes(n, d, m, sigma, seed):
    rng = np.random.default_rng(seed)
    X, rows, moved = rng.normal(size=(n, d)), rng.integers(0, n, m), rng.normal(size=(m, d))
    got = quadratic_ntk_changes(X, rows, moved, sigma)
    assert got.shape == (m, n)
    for j, x, v in zip(rows, moved, got, strict=True):
        Y = X.copy()
        Y[j] = x
        expected = quadratic_ntk(Y, sigma) - quadratic_ntk(X, sigma)
        change = np.zeros((n, n))
        change[j, :] += v
        change[:, j] += v
        np.testing.assert_allclose(change, expected, atol=1e-11 * (1 + np.abs(expected).max()))


def test_small_changes_keep_their_digits():
    X = np.random.default_rng(0).normal(size=(4, 3))
    u = np.asarray([0.3, -0.2, 0.5])
    for size in (1e-6, 1e-12):
        moved = X[1] + size * u
        exact = moved - X[1]
        got = quadratic_ntk_changes(X, np.asarray([1]), moved[None, :], 1.5)[0]
        np.testing.assert_allclose(got, quadratic_ntk_derivative(X, 1, 1.5) @ exact, rtol=10 * size + 1e-13)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_rank_is_at_most_d_d_plus_one_over_two(d):
    bound = d * (d + 1) // 2
    for n in (bound, bound + 1, bound + 4):
        X = np.random.default_rng(n).normal(size=(n, d))
        assert np.linalg.matrix_rank(quadratic_ntk(X), rtol=1e-10) == min(n, bound)


def test_on_every_library(xp):
    rng = np.random.default_rng(0)
    X, W, P = (rng.normal(size=s) for s in [(5, 3), (7, 3), (2, 3)])
    x, w, p = (xp.asarray(a) for a in (X, W, P))
    for got, expected in [
        (quadratic_ntk(x, 2.0), quadratic_ntk(X, 2.0)),
        (quadratic_ntk(x, 2.0, p), quadratic_ntk(X, 2.0, P)),
        (quadratic_network_ntk(x, w, block=3), quadratic_network_ntk(X, W)),
        (quadratic_ntk_derivative(x, 2, 2.0), quadratic_ntk_derivative(X, 2, 2.0)),
        (
            quadratic_ntk_changes(x, xp.asarray(np.asarray([1, 4])), p, 2.0),
            quadratic_ntk_changes(X, np.asarray([1, 4]), P, 2.0),
        ),
        (empirical_ntk(xp.reshape(w, (7, 3, 1))), W @ W.T),
    ]:
        np.testing.assert_allclose(to_host(got), expected, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_keeps_the_dtype(dtype):
    X = np.ones((3, 2), dtype=dtype)
    assert {f(X).dtype for f in (quadratic_ntk, empirical_ntk)} == {np.dtype(dtype)}
    assert quadratic_network_ntk(X, X).dtype == quadratic_ntk_derivative(X, 0).dtype == np.dtype(dtype)


def test_counts():
    n, d, m, q, block = 5, 3, 7, 2, 3

    def make_rows(make):
        return shape_only(q, dtype="int64") if make is shape_only else counted(np.asarray([0, 1]))

    def costs(make, run):
        with count() as costs:
            run(make)
        return costs.numbers()

    runs = {
        lambda make: quadratic_ntk(make(n, d), 2.0, make(q, d)): q * n * d,
        lambda make: quadratic_network_ntk(make(n, d), make(m, d), block=block): m * n * (n + d) + n * n * d,
        lambda make: quadratic_ntk_derivative(make(n, d), 1): n * d,
        lambda make: quadratic_ntk_changes(make(n, d), make_rows(make), make(q, d)): 2 * q * n * d,
        lambda make: empirical_ntk(make(n, d, q)): n * n * d * q,
    }
    for run, products in runs.items():
        numbers = costs(shape_only, run)
        assert numbers == costs(lambda *s: counted(np.ones(s)), run)
        assert numbers["multiply_adds"] == products
    assert costs(shape_only, next(iter(runs)))["arithmetic"] == 2 * q * n


def test_zero_and_huge():
    assert np.all(quadratic_ntk(np.zeros((3, 2))) == 0)
    with np.errstate(over="ignore"):
        assert np.isinf(quadratic_ntk(np.full((1, 1), 1e200))[0, 0])
    assert np.isnan(quadratic_ntk(np.full((1, 1), np.nan))[0, 0])


@pytest.mark.parametrize("sigma", [0, -1, math.nan, math.inf])
def test_sigma(sigma):
    X = np.ones((2, 2))
    for call in (
        lambda: quadratic_ntk(X, sigma),
        lambda: quadratic_ntk_derivative(X, 0, sigma),
        lambda: quadratic_ntk_changes(X, np.asarray([0]), X[:1], sigma),
    ):
        with pytest.raises(ValueError, match="sigma="):
            call()


def test_shapes():
    X = np.ones((3, 2))
    for call, words in [
        (lambda: quadratic_ntk(np.ones(3)), "X of shape"),
        (lambda: quadratic_ntk(X, 1.0, np.ones((2, 3))), "points of shape .* rows of 2 entries"),
        (lambda: quadratic_ntk(X, 1.0, np.ones(2)), "points of shape"),
        (lambda: quadratic_network_ntk(np.ones((2, 2, 2)), X), "X of shape"),
        (lambda: quadratic_network_ntk(X, np.ones((4, 3))), "W of shape"),
        (lambda: quadratic_network_ntk(X, np.ones((0, 2))), "at least one neuron"),
        (lambda: quadratic_ntk_derivative(np.ones(3), 0), "X of shape"),
        (lambda: quadratic_ntk_changes(np.ones(3), np.asarray([0]), X), "X of shape"),
        (lambda: quadratic_ntk_changes(X, np.asarray([0]), np.ones((1, 3))), "moved of shape"),
        (lambda: quadratic_ntk_changes(X, np.asarray([0]), X), "rows of shape"),
        (lambda: quadratic_ntk_changes(X, np.asarray([[0]]), X[:1]), "rows of shape"),
        (lambda: empirical_ntk(np.ones(3)), "jacobian of shape"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()
    for j in (-1, 3):
        with pytest.raises(IndexError, match="j="):
            quadratic_ntk_derivative(X, j)
