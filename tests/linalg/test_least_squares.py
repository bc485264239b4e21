"""Least squares against SciPy and scikit-learn, and by what defines it: the normal equations."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from touchstone.arrays import to_host
from touchstone.counting.array import count
from touchstone.counting.shapes import shape_only
from touchstone.linalg.least_squares import least_squares


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 3), st.integers(0, 10**6))
def test_is_the_shortest_minimiser(m, d, rank, seed):
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(m, d)), rng.normal(size=m)
    if rank:  # fewer directions than columns
        A = A[:, : min(rank, d)] @ rng.normal(size=(min(rank, d), d))
    want = scipy.linalg.lstsq(A, b, cond=1e-10)[0]
    got = least_squares(A, b, rtol=1e-10)
    # relative to the size of the pseudo-inverse's part in the error
    scale = np.linalg.norm(scipy.linalg.pinv(A, rtol=1e-10), 2) * np.linalg.norm(b)
    np.testing.assert_allclose(got, want, atol=1e-8 * scale * max(1, scale))


@given(st.integers(2, 9), st.integers(1, 4), st.floats(1e-3, 10), st.integers(0, 10**6))
def test_with_weights_and_a_ridge_it_solves_the_normal_equations(m, d, ridge, seed):
    rng = np.random.default_rng(seed)
    A, b, w = rng.normal(size=(m, d)), rng.normal(size=(m, 2)), rng.uniform(0, 3, m)
    x = least_squares(A, b, w, ridge=ridge)
    assert x.shape == (d, 2)
    np.testing.assert_allclose(A.T @ (w[:, None] * (A @ x - b)) + ridge * x, 0, atol=1e-11)
    referee = Ridge(alpha=ridge, fit_intercept=False, solver="svd").fit(A, b, sample_weight=w)
    np.testing.assert_allclose(x, np.reshape(referee.coef_, (2, d)).T, atol=1e-9)


def test_a_row_of_weight_two_stands_for_two_rows():
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(6, 3)), rng.normal(size=6)
    twice = least_squares(np.concatenate([A, A[:1]]), np.append(b, b[0]))
    weights = np.array([2.0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(least_squares(A, b, weights), twice, rtol=1e-12)


def test_ill_conditioned_columns_keep_their_digits():
    """κ = 1e7: the normal equations would have lost fourteen digits."""
    rng = np.random.default_rng(0)
    U, V = np.linalg.qr(rng.normal(size=(40, 5)))[0], np.linalg.qr(rng.normal(size=(5, 5)))[0]
    A = (U * np.logspace(0, -7, 5)) @ V.T
    x = rng.normal(size=5)
    np.testing.assert_allclose(least_squares(A, A @ x), x, rtol=0, atol=1e-7)


def test_on_every_library(xp):
    rng = np.random.default_rng(0)
    A, b, w = rng.normal(size=(7, 3)), rng.normal(size=7), rng.uniform(1, 2, 7)
    got = least_squares(xp.asarray(A), xp.asarray(b), xp.asarray(w), ridge=0.5)
    want = np.linalg.solve(A.T @ (w[:, None] * A) + 0.5 * np.eye(3), A.T @ (w * b))
    np.testing.assert_allclose(to_host(got), want, rtol=1e-12)


def test_shapes_alone_cost_the_same():
    def cost(make):
        with count() as costs:
            least_squares(make(9, 4), make(9), ridge=0.1)
        return costs.operations

    import touchstone.counting.namespace as counting

    rng = np.random.default_rng(0)
    assert cost(lambda *s: counting.asarray(rng.normal(size=s))) == cost(shape_only)


def test_zero_columns_get_zero():
    A = np.array([[1.0, 0.0], [2.0, 0.0]])
    np.testing.assert_allclose(least_squares(A, np.array([1.0, 2.0])), [1, 0], atol=1e-15)
    np.testing.assert_array_equal(least_squares(0 * A, np.array([1.0, 2.0])), [0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"A": np.ones(3)}, "A of shape"),
        ({"A": np.ones((0, 2))}, "A of shape"),
        ({"A": np.ones((3, 0))}, "A of shape"),
        ({"b": np.ones(4)}, "b of shape"),
        ({"weights": np.ones(2)}, "weights of shape"),
        ({"weights": np.array([1.0, -1.0, 1.0])}, "weights down to -1"),
        ({"ridge": -1.0}, "ridge=-1"),
        ({"rtol": 1.0}, "rtol=1"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        least_squares(**({"A": np.ones((3, 2)), "b": np.ones(3)} | arguments))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="A of dtype"):
        least_squares(np.ones((3, 2), dtype=int), np.ones(3))


def test_without_a_tolerance_all_directions_count():
    A = np.diag([1.0, 1e-14])
    np.testing.assert_allclose(least_squares(A, np.ones(2), rtol=0), [1, 1e14])
    np.testing.assert_allclose(least_squares(A, np.ones(2)), [1, 0], atol=1e-12)
