"""The scores of A(x), the loss and their derivatives, against sources that know nothing of the formulas."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import as_array_like, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient, complex_step_jacobian
from touchstone.evidence.high_precision import as_floats, precise_gradient, precise_hessian, precise_jacobian
from touchstone.evidence.symbolic import symbolic_gradient, symbolic_hessian
from touchstone.regression.leverage_inversion import (
    leverage_curvature,
    leverage_loss,
    leverage_loss_value,
    leverage_map,
)


def instance(n, d, seed=0):
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(n, d)) / d**0.5, -1.5 - rng.uniform(size=n)
    return A, b, 0.2 * rng.normal(size=d), rng.uniform(size=n), rng.uniform(size=n)


def slow_scores(A, b, x):
    """By the definition, in ordinary arithmetic of any kind (mpmath, SymPy): Cramer's rule, d <= 2."""
    rows = [
        [a / (sum(c * y for c, y in zip(row, x, strict=True)) - t) for a in row]
        for row, t in zip(A, b, strict=True)
    ]
    if len(x) == 1:
        total = sum(a * a for (a,) in rows)
        return [a * a / total for (a,) in rows]
    p, q, r = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    return [(r * u * u - 2 * q * u * v + p * v * v) / (p * r - q * q) for u, v in rows]


def slow_loss(A, b, x, target, w):
    half = 1 / mpmath.mpf(2) if isinstance(x[0], mpmath.mpf) else 1 / 2
    fit = sum((s - t) ** 2 for s, t in zip(slow_scores(A, b, x), target, strict=True))
    size = sum(
        (v * sum(c * y for c, y in zip(row, x, strict=True))) ** 2 for row, v in zip(A, w, strict=True)
    )
    return half * (fit + size)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 8), st.booleans(), st.integers(0, 10**6))
def test_derivatives_are_the_complex_step(d, more, regularised, seed):
    A, b, x, target, w = instance(d + more, d, seed)
    w = w if regularised else None
    loss, gradient, hessian = leverage_loss(A, b, x, target, w)
    scores, jacobian = leverage_map(A, b, x)
    size = np.max(np.abs(jacobian)) ** 2 + np.max(np.abs(hessian))
    assert loss == pytest.approx(float(leverage_loss_value(A, b, x, target, w)), rel=1e-13)
    step = complex_step_gradient(lambda x: leverage_loss_value(A, b, x, target, w), x, check=False)
    np.testing.assert_allclose(gradient, step, atol=1e-11 * size)
    step = complex_step_jacobian(lambda x: leverage_loss(A, b, x, target, w)[1], x, check=False)
    np.testing.assert_allclose(hessian, step, atol=1e-11 * size)
    step = complex_step_jacobian(lambda x: leverage_map(A, b, x)[0], x, check=False)
    np.testing.assert_allclose(jacobian, step, atol=1e-11 * size)
    assert scores.shape == (d + more,)


def test_fifty_digits():
    A, b, x, target, w = instance(5, 2)
    loss, gradient, hessian = leverage_loss(A, b, x, target, w)
    scores, jacobian = leverage_map(A, b, x)

    def exact(x):
        return slow_loss(A.tolist(), b.tolist(), list(x), target.tolist(), w.tolist())

    def exact_scores(x):
        return np.array(slow_scores(A.tolist(), b.tolist(), list(x)), dtype=object)

    np.testing.assert_allclose(loss, float(exact([mpmath.mpf(v) for v in x])), rtol=1e-14)
    np.testing.assert_allclose(gradient, as_floats(precise_gradient(exact, x)), rtol=1e-12)
    np.testing.assert_allclose(hessian, as_floats(precise_hessian(exact, x)), rtol=1e-12)
    np.testing.assert_allclose(jacobian, as_floats(precise_jacobian(exact_scores, x)), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        scores, [float(s) for s in exact_scores([mpmath.mpf(v) for v in x])], rtol=1e-13
    )


def test_symbols_of_a_small_case():
    A, b, x, target, w = instance(3, 1)

    def exact(x):
        return slow_loss(A.tolist(), b.tolist(), list(x), target.tolist(), w.tolist())

    _, gradient, hessian = leverage_loss(A, b, x, target, w)
    np.testing.assert_allclose(gradient, symbolic_gradient(exact, 1).at(x), rtol=1e-12)
    np.testing.assert_allclose(hessian, symbolic_hessian(exact, 1).at(x), rtol=1e-12)


def test_hessian_is_the_printed_formula():
    A, b, x, target, w = instance(9, 3)
    rows = A / (A @ x - b)[:, None]
    P = rows @ np.linalg.inv(rows.T @ rows) @ rows.T
    sigma, squared = np.diag(P), P * P
    r = sigma - target
    R, laplacian = np.diag(r), np.diag(sigma) - squared
    bracket = (
        4 * laplacian @ laplacian
        + 6 * np.diag(r * sigma)
        - 4 * (R @ squared + squared @ R)
        - 6 * np.diag(squared @ r)
        + 8 * P * (P @ R @ P)
    )
    got = leverage_loss(A, b, x, target, w)
    np.testing.assert_allclose(got[2], rows.T @ bracket @ rows + A.T @ np.diag(w**2) @ A, rtol=1e-11)
    np.testing.assert_allclose(got[1], -2 * rows.T @ laplacian @ r + A.T @ np.diag(w**2) @ A @ x, rtol=1e-10)
    np.testing.assert_allclose(got[0], (np.sum(r**2) + np.sum((w * (A @ x)) ** 2)) / 2, rtol=1e-13)
    np.testing.assert_allclose(leverage_map(A, b, x)[1], -2 * laplacian @ rows, atol=1e-12)


def test_curvature_is_the_hessian_in_the_rows_of_A():
    A, b, x, target, _ = instance(9, 3)
    X = np.stack([x, -x, x + 0.1j])
    B = leverage_curvature(A, b, X, target)
    assert B.shape == (3, 9, 9)
    np.testing.assert_allclose(B, np.swapaxes(B, 1, 2), atol=1e-13)
    np.testing.assert_allclose(A.T @ B @ A, leverage_loss(A, b, X, target)[2], rtol=1e-10)
    # beyond the range of A, against the printed formula
    rows = A / (A @ x - b)[:, None]
    P = rows @ np.linalg.inv(rows.T @ rows) @ rows.T
    r, squared = np.diag(P) - target, P * P
    R, laplacian = np.diag(r), np.diag(np.diag(P)) - squared
    bracket = 4 * laplacian @ laplacian + 6 * np.diag(r * np.diag(P)) - 4 * (R @ squared + squared @ R)
    bracket += -6 * np.diag(squared @ r) + 8 * P * (P @ R @ P)
    inverse = np.diag(1 / (A @ x - b))
    np.testing.assert_allclose(B[0], inverse @ bracket @ inverse, rtol=1e-10, atol=1e-12)
    # the bound on the bracket that makes a regulariser provably large enough
    assert np.linalg.eigvalsh(bracket)[0] >= -28 * np.max(np.abs(r))
    with pytest.raises(ValueError, match="target of shape"):
        leverage_curvature(A, b, x, target[:4])


def test_the_jacobian_loses_rank_exactly_for_b_in_the_range():
    A, b, _, _, _ = instance(12, 3)
    z, x = np.array([0.3, -0.2, 0.5]), np.array([1.0, 2.0, -1.0])
    scores, jacobian = leverage_map(A, A @ z, x)
    size = np.linalg.norm(jacobian, 2)
    assert np.linalg.norm(jacobian @ (x - z)) <= 1e-13 * size * np.linalg.norm(x - z)
    for t in (1e-6, 3.0, -1e6):
        np.testing.assert_allclose(leverage_map(A, A @ z, z + t * (x - z))[0], scores, atol=1e-9)
    assert np.linalg.svd(leverage_map(A, b, x)[1])[1][-1] > 1e-3 * size


def test_as_many_rows_as_columns():
    # all scores are 1, whatever x: nothing to invert
    A, b, x, _, _ = instance(3, 3)
    scores, jacobian = leverage_map(A, b, x)
    loss, gradient, hessian = leverage_loss(A, b, x, np.ones(3))
    np.testing.assert_allclose(scores, np.ones(3), atol=1e-13)
    for zero in (jacobian, loss, gradient, hessian):
        np.testing.assert_allclose(zero, 0, atol=1e-11)


def test_loss_is_smooth_across_a_hyperplane():
    # the hyperplane of row 4: from either side the same, and 1e-7 away from what it is on the other side
    A, b, x, target, _ = instance(20, 3)
    b = b - 1.0
    on = x - (A[4] @ x - b[4]) * A[4] / (A[4] @ A[4])
    u = A[4] / np.linalg.norm(A[4])
    sides = [leverage_loss(A, b, on + h * u, target) for h in (1e-4, -1e-4)]
    np.testing.assert_allclose(sides[0][2], sides[1][2], atol=2e-3 * np.max(np.abs(sides[0][2])))
    assert leverage_map(A, b, on + 1e-10 * u)[0][4] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("regularised", [False, True])
def test_batches(regularised):
    A, b, _, target, w = instance(8, 2)
    w = w if regularised else None
    X = np.random.default_rng(1).normal(size=(3, 2, 2)) / 10
    loss, gradient, hessian = leverage_loss(A, b, X, target, w)
    scores, jacobian = leverage_map(A, b, X)
    value = leverage_loss_value(A, b, X, target, w)
    assert loss.shape == value.shape == (3, 2)
    for at in np.ndindex(3, 2):
        for many, one in zip((loss, gradient, hessian), leverage_loss(A, b, X[at], target, w), strict=True):
            np.testing.assert_allclose(many[at], one, rtol=1e-10, atol=1e-12)
        for many, one in zip((scores, jacobian), leverage_map(A, b, X[at]), strict=True):
            np.testing.assert_allclose(many[at], one, rtol=1e-11, atol=1e-13)
        assert value[at] == pytest.approx(loss[at], rel=1e-13)


def test_on_every_library(xp):
    A, b, x, target, w = instance(9, 3)
    moved = [as_array_like(v, xp) for v in (A, b, x, target, w)]
    for got, expected in zip(leverage_loss(*moved), leverage_loss(A, b, x, target, w), strict=True):
        np.testing.assert_allclose(to_host(got), expected, rtol=1e-11)
    by_numpy = leverage_curvature(A, b, x, target)
    np.testing.assert_allclose(to_host(leverage_curvature(*moved[:4])), by_numpy, rtol=1e-10, atol=1e-12)
    for got, expected in zip(leverage_map(*moved[:3]), leverage_map(A, b, x), strict=True):
        np.testing.assert_allclose(to_host(got), expected, rtol=1e-11, atol=1e-13)


def test_counts_without_data_are_the_counts_with_it():
    n, d = 50, 4

    def run(f, *arrays):
        with count() as costs:
            f(*arrays)
        return costs.multiply_adds, costs.operations

    parts = instance(n, d)
    shapes = [shape_only(*v.shape) for v in parts]
    for f, k in ((leverage_loss, 5), (leverage_loss_value, 5), (leverage_map, 3)):
        assert run(f, *(counted(v) for v in parts[:k])) == run(f, *shapes[:k])
    # beyond the loss: moments of d + 1 columns and their spread, 2 n d^2 (d + 1); J^T J, two forms and the
    # middle of the third, n d^2 each, and the mixed one; 3 d^4; J^T r, n d; the regulariser n d^2 + d^2
    extra = 2 * n * d**2 * (d + 1) + 5 * n * d**2 + 3 * d**4 + n * d + d**2
    loss, value = run(leverage_loss, *shapes), run(leverage_loss_value, *shapes)
    assert loss[0] - value[0] == extra


def test_no_matrix_of_all_pairs_of_rows():
    n, d = 2**20, 3
    with count() as costs:
        leverage_loss(shape_only(n, d), shape_only(n), shape_only(d), shape_only(n), shape_only(n))
    assert costs.bytes_peak < 8 * n * 60


def test_bad_arguments():
    A, b, x, target, w = instance(5, 2)
    for f in (leverage_loss, leverage_loss_value):
        for bad in (target[:4], target[:, None]):
            with pytest.raises(ValueError, match="target of shape"):
                f(A, b, x, bad, w)
            with pytest.raises(ValueError, match="w of shape"):
                f(A, b, x, target, bad)
        with pytest.raises(ValueError, match="x of shape"):
            f(A, b, x[:1], target)
    with pytest.raises(ValueError, match="b of shape"):
        leverage_map(A, b[:4], x)
