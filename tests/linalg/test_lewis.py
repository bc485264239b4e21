"""Lewis weights against their fixed-point equation, closed forms and a convex program."""

from itertools import pairwise

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.instances.matrices import random_rows
from touchstone.linalg.leverage import leverage_scores
from touchstone.linalg.lewis import lewis_weights, reweighted_leverage

POWERS = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.9, 4.0, 5.0, 6.0, 10.0]


def scores_by_svd(A):
    left, values, _ = np.linalg.svd(A, full_matrices=False)
    return np.sum(left[:, values > 1e-10 * values[0]] ** 2, axis=1)


def equation(A, w, p):
    """τ(W^(1/2 - 1/p) A), which at the weights is w (Cohen and Peng: and nowhere else)."""
    return scores_by_svd(w[:, None] ** (0.5 - 1 / p) * A)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("law", ["gaussian", "heavy_rows", "lognormal"])
def test_fixed_point(law, p):
    A = random_rows(60, 3, law, stream(1, law))
    w = lewis_weights(A, p, 60)
    # tiny weights fall under the rounding of the reference's singular vectors
    np.testing.assert_allclose(equation(A, w, p), w, rtol=1e-6, atol=1e-12)
    assert np.sum(w) == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5])
def test_every_round_contracts_up_to_two(p):
    A = stream(2).standard_normal((40, 3))
    final = lewis_weights(A, p, 200)
    distance = [np.max(np.abs(np.log(lewis_weights(A, p, t) / final))) for t in range(12)]
    assert all(b <= (1 - p / 2) * a + 1e-12 for a, b in pairwise(distance))


@pytest.mark.parametrize("p", [2.5, 3.0, 3.9, 4.0, 6.0])
def test_rate_beyond_two(p):
    """Near the fixed point, in the norm in which the Jacobian is symmetric."""
    A = stream(2).standard_normal((40, 3))
    final = lewis_weights(A, p, 300)
    distance = [np.sqrt(np.sum(final * np.log(lewis_weights(A, p, t) / final) ** 2)) for t in range(3, 12)]
    near = [pair for pair in pairwise(distance) if pair[1] > 1e-10]  # above rounding
    assert len(near) >= 3
    assert all(b <= 1.05 * (p - 2) / (p + 2) * a for a, b in near)  # 5 % for the curvature
    # and no faster: the two ends of the spectrum are balanced, where one side alone would be left over
    assert near[-1][1] >= 0.5 * (p - 2) / (p + 2) * near[-1][0]


@pytest.mark.parametrize("p", [2.5, 4.0, 6.0])
def test_against_a_convex_program(p):
    """For p >= 2 the quadratic form maximises det M subject to Σ (a' M a)^(p/2) <= d."""
    A = stream(3).standard_normal((12, 2))
    M = cvxpy.Variable((2, 2), PSD=True)
    forms = cvxpy.hstack([a @ M @ a for a in A])
    program = cvxpy.Problem(cvxpy.Maximize(cvxpy.log_det(M)), [cvxpy.sum(cvxpy.power(forms, p / 2)) <= 2])
    program.solve(solver="CLARABEL")
    expected = np.array([a @ M.value @ a for a in A]) ** (p / 2)
    np.testing.assert_allclose(lewis_weights(A, p, 60), expected, rtol=1e-4)  # the solver's accuracy


@pytest.mark.parametrize("p", POWERS)
def test_one_column_shares_the_powers(p):
    a = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    np.testing.assert_allclose(
        lewis_weights(a[:, None], p, 80), np.abs(a) ** p / np.sum(np.abs(a) ** p), rtol=1e-6
    )


@pytest.mark.parametrize("p", [1.0, 3.0, 4.0])
def test_repeated_basis_vectors_share_their_direction(p):
    A = np.repeat(np.eye(3), [1, 2, 5], axis=0)
    np.testing.assert_allclose(lewis_weights(A, p), np.repeat([1.0, 1 / 2, 1 / 5], [1, 2, 5]), rtol=1e-8)


def test_at_two_one_round_gives_leverage():
    A = random_rows(50, 4, "heavy_rows", stream(4))
    np.testing.assert_allclose(lewis_weights(A, 2, 1), scores_by_svd(A), rtol=1e-10)
    np.testing.assert_allclose(lewis_weights(A, 2), scores_by_svd(A), rtol=1e-10)


def test_no_rounds_leave_the_start():
    assert lewis_weights(np.ones((8, 2)), 3, 0).tolist() == [0.25] * 8


def test_thirty_rounds_by_default():
    A = stream(5).standard_normal((9, 2))
    np.testing.assert_array_equal(lewis_weights(A, 3.9), lewis_weights(A, 3.9, 30))
    assert np.any(lewis_weights(A, 3.9) != lewis_weights(A, 3.9, 29))


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 9),
    d=st.integers(1, 4),
    p=st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0]),
    seed=st.integers(0, 99),
    zeros=st.integers(0, 3),
)
def test_any_shape(n, d, p, seed, zeros):
    A = np.vstack([stream(seed).standard_normal((n, d)), np.zeros((zeros, d))])
    w = lewis_weights(A, p, 100)
    assert w.shape == (n + zeros,)
    assert np.all(w[n:] == 0)
    assert np.all((w >= 0) & (w <= 1 + 1e-9))
    assert np.sum(w) == pytest.approx(min(n, d), rel=1e-5)


def test_do_not_change_under_a_change_of_basis():
    rng = stream(6)
    A, T = rng.standard_normal((20, 3)), rng.standard_normal((3, 3))
    np.testing.assert_allclose(lewis_weights(A @ T, 1), lewis_weights(A, 1), rtol=1e-9)
    # without full rank
    B = rng.standard_normal((3, 5))
    np.testing.assert_allclose(lewis_weights(A @ B, 1), lewis_weights(A, 1), rtol=1e-9)


def test_reweighted_leverage_leaves_rows_of_weight_zero_out():
    rng = stream(7)
    A, w = rng.standard_normal((6, 2)), np.array([0.5, 0.0, 0.2, 0.9, 0.0, 0.4])
    for p in (1.0, 3.0):
        got = reweighted_leverage(A, w, p)
        kept = w > 0
        np.testing.assert_allclose(got[kept], equation(A[kept], w[kept], p), rtol=1e-12)
        assert got[~kept].tolist() == [0, 0]


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale_does_not_matter(scale):
    A = stream(8).standard_normal((12, 2))
    np.testing.assert_allclose(lewis_weights(A * scale, 1), lewis_weights(A, 1), rtol=1e-10)


def test_on_every_library(xp):
    A = stream(9).standard_normal((10, 3))
    for p in (1, 3, 6):
        got = lewis_weights(xp.asarray(A), p)
        assert got.dtype == xp.float64
        np.testing.assert_allclose(to_host(got), lewis_weights(A, p), rtol=1e-12)
    assert lewis_weights(xp.asarray(A, dtype=xp.float32), 1).dtype == xp.float32


def test_counts():
    n, d, rounds = 40, 3, 5
    with count() as executed:
        lewis_weights(counted(stream(10).standard_normal((n, d))), 1.5, rounds)
    with count() as shapes:
        lewis_weights(shape_only(n, d), 1.5, rounds)
    with count() as once:
        leverage_scores(shape_only(n, d), shape_only(n))
    assert executed.multiply_adds == shapes.multiply_adds == rounds * once.multiply_adds
    assert executed.arithmetic == shapes.arithmetic == rounds * (once.arithmetic + 2 * n)
    assert executed.transcendentals == shapes.transcendentals == rounds * (once.transcendentals + 2 * n)


@pytest.mark.parametrize("p", [0, -1, np.inf, np.nan, True, "1"])
def test_bad_powers(p):
    with pytest.raises(ValueError, match="p="):
        lewis_weights(np.ones((3, 2)), p)


def test_bad_inputs_are_named():
    for iterations in (-1, 1.5, True):
        with pytest.raises(ValueError, match="iterations="):
            lewis_weights(np.ones((3, 2)), 1, iterations)
    for shape in [(3,), (0, 2), (2, 0), (2, 2, 2)]:
        with pytest.raises(ValueError, match="A of shape"):
            lewis_weights(np.ones(shape), 1)
    with pytest.raises(TypeError, match="A of dtype"):
        lewis_weights(np.ones((3, 2), dtype=int), 1)
    with pytest.raises(TypeError, match="A of dtype"):
        lewis_weights(np.ones((3, 2), dtype=complex), 1)
    with pytest.raises(ValueError, match="finite"):
        lewis_weights(np.array([[1.0, np.nan], [1, 2], [3, 4]]), 1)
