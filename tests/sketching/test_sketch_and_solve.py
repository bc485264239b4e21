"""Sketched least squares against SciPy, its error against the formula, and Gram systems that are singular."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.least_squares import least_squares
from touchstone.sketching.gaussian import gaussian_sketch
from touchstone.sketching.operator import compose
from touchstone.sketching.sketch_and_solve import sketch_and_solve, solve_gram
from touchstone.sketching.sparse_embedding import count_sketch, osnap
from touchstone.sketching.srht import srht


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 12), st.integers(0, 10**6))
def test_is_the_pseudo_inverse_of_the_sketched_matrix(n, d, m, seed):
    draw = rng(seed)
    A, b, B = draw.normal(size=(n, d)), draw.normal(size=n), draw.normal(size=(n, 2))
    S = gaussian_sketch(m, n, draw, like=A)
    D = S.columns(range(n))
    pinv = scipy.linalg.pinv(D @ A, rtol=1e-12)
    size = np.linalg.norm(pinv, 2)
    np.testing.assert_allclose(sketch_and_solve(A, b, S), pinv @ (D @ b), atol=1e-10 * (1 + size) ** 2)
    np.testing.assert_allclose(sketch_and_solve(A, B, S), pinv @ (D @ B), atol=1e-10 * (1 + size) ** 2)


@pytest.mark.parametrize("d", [1, 5])
def test_the_error_is_that_of_the_residual_in_an_orthonormal_basis(family, d):
    n, m = 60, 30
    draw = rng(1)
    A, b = draw.normal(size=(n, d)), draw.normal(size=n)
    S = family(m, n, draw, like=A)
    Q, R = np.linalg.qr(A)
    exact = least_squares(A, b)
    r = b - A @ exact
    SQ, Sr = S @ Q, S @ r
    error = np.linalg.solve(R, sketch_and_solve(Q, r, S))
    np.testing.assert_allclose(sketch_and_solve(A, b, S) - exact, error, atol=1e-12)
    np.testing.assert_allclose(np.linalg.solve(R, solve_gram(SQ.T @ SQ, SQ.T @ Sr)), error, atol=1e-12)


def test_a_consistent_system_is_solved_exactly():
    A = rng().normal(size=(50, 4))
    S = srht(10, 50, rng(1), like=A)
    np.testing.assert_allclose(sketch_and_solve(A, A @ np.arange(4.0), S), np.arange(4.0), atol=1e-12)


def test_ill_conditioned_columns_keep_their_digits():
    U = np.linalg.qr(rng().normal(size=(64, 5)))[0]
    A = U * np.logspace(0, -7, 5)
    S = srht(32, 64, rng(1), like=A)
    np.testing.assert_allclose(sketch_and_solve(A, A @ np.ones(5), S), np.ones(5), atol=1e-7)


def test_a_tolerance_is_handed_on():
    A = np.diag([1.0, 1e-3])
    S = srht(2, 2, rng(), like=A)  # an isometry
    np.testing.assert_allclose(sketch_and_solve(A, np.ones(2), S), [1, 1e3], rtol=1e-12)
    np.testing.assert_allclose(sketch_and_solve(A, np.ones(2), S, rtol=1e-2), [1, 0], atol=1e-12)


def test_sparse_matrices():
    A = sparse.random_array((80, 4), density=0.3, rng=rng(), format="csr")
    b = rng(1).normal(size=80)
    S = osnap(20, 80, 3, rng(2), like=np)
    np.testing.assert_allclose(sketch_and_solve(A, b, S), sketch_and_solve(A.toarray(), b, S), atol=1e-12)


def test_on_every_library(xp):
    A, b = rng().normal(size=(30, 3)), rng(1).normal(size=30)
    S = compose(gaussian_sketch(8, 16, rng(2), like=xp), count_sketch(16, 30, rng(3), like=xp))
    D = to_host(S.columns(range(30)))
    want = np.linalg.lstsq(D @ A, D @ b)[0]
    np.testing.assert_allclose(to_host(sketch_and_solve(xp.asarray(A), xp.asarray(b), S)), want, atol=1e-12)
    G, h = A.T @ A, A.T @ b
    got = solve_gram(xp.asarray(np.stack([G, 2 * G])), xp.asarray(np.stack([h, h])))
    want = np.linalg.solve(G, h)
    np.testing.assert_allclose(to_host(got), [want, want / 2], rtol=1e-11)


def test_shapes_alone_cost_the_same():
    def cost(make):
        with count() as costs:
            S = srht(8, 20, rng(), like=make(1))
            sketch_and_solve(make(20, 3), make(20), S)
            solve_gram(make(4, 3, 3), make(4, 3))
        return costs.operations, costs.moves

    assert cost(lambda *s: counted(np.ones(s))) == cost(lambda *s: shape_only(s))


# -- Gram systems ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 7), st.integers(0, 10**6))
def test_gram_systems_of_every_rank(d, rank, seed):
    """Singular values in [1, 2], so that the rank is beyond doubt."""
    draw, rank = rng(seed), min(rank, d)
    V = np.linalg.qr(draw.normal(size=(d, d)))[0][:, :rank]
    B = np.linalg.qr(draw.normal(size=(10, 10)))[0][:, :rank] * draw.uniform(1, 2, rank) @ V.T
    G, c = B.T @ B, draw.normal(size=10)
    np.testing.assert_allclose(solve_gram(G, B.T @ c), np.linalg.pinv(B, rcond=1e-6) @ c, atol=1e-9)


def test_two_columns_that_collide_share_what_they_get():
    """The shortest solution: half for each, with the signs of the collision."""
    G = np.array([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(solve_gram(G, np.array([1.0, -1, 0])), [0.5, -0.5, 0], atol=1e-15)
    np.testing.assert_array_equal(solve_gram(G, np.zeros(3)), 0)
    np.testing.assert_array_equal(solve_gram(0 * G, np.ones(3)), 0)


def test_where_an_eigenvalue_counts_as_zero():
    G, h = np.diag([4.0, 4e-3]), np.array([4.0, 4e-3])
    np.testing.assert_allclose(solve_gram(G, h, rtol=0.9e-3), [1, 1], rtol=1e-12)
    np.testing.assert_allclose(solve_gram(G, h, rtol=1.1e-3), [1, 0], atol=1e-15)
    np.testing.assert_allclose(solve_gram(np.diag([1, 0.9e-12]), np.ones(2)), [1, 0])
    np.testing.assert_allclose(solve_gram(np.diag([1, 1.1e-12]), np.ones(2)), [1, 1 / 1.1e-12])


def test_each_system_of_a_stack_by_itself():
    G = np.stack([np.diag([1.0, 1e-5]), np.diag([1e-5, 1e-9])])
    got = solve_gram(G, np.ones((2, 2)), rtol=1e-6)
    np.testing.assert_allclose(got, [[1, 1e5], [1e5, 1e9]], rtol=1e-9)
    assert solve_gram(np.zeros((0, 2, 2)), np.zeros((0, 2))).shape == (0, 2)


def test_the_lower_triangle_is_read():
    G = np.array([[2.0, 99.0], [1.0, 2.0]])
    np.testing.assert_allclose(solve_gram(G, np.array([3.0, 3.0])), [1, 1], rtol=1e-14)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_huge_and_tiny(size):
    np.testing.assert_allclose(solve_gram(np.eye(2) * size, np.ones(2) * size), [1, 1], rtol=1e-15)


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"G": np.ones(2)}, ValueError, r"G of shape \(2,\)"),
        ({"G": np.ones((2, 3))}, ValueError, r"G of shape \(2, 3\)"),
        ({"G": np.ones((0, 0)), "h": np.ones(0)}, ValueError, "G of shape"),
        ({"h": np.ones(3)}, ValueError, r"h of shape \(3,\): expected \(2,\)"),
        ({"G": np.ones((3, 2, 2))}, ValueError, r"h of shape \(2,\): expected \(3, 2\)"),
        ({"G": np.array([[1.0, 0], [np.nan, 1]])}, ValueError, "G from nan to nan: expected finite"),
        ({"h": np.array([1.0, np.inf])}, ValueError, "h from 1.0 to inf: expected finite"),
        ({"rtol": 1.0}, ValueError, "rtol=1.0"),
        ({"rtol": -1e-9}, ValueError, "rtol=-1e-09"),
        ({"G": np.eye(2, dtype=int)}, TypeError, "G of dtype int"),
        ({"h": np.ones(2, dtype=complex)}, TypeError, "h of dtype complex"),
    ],
)
def test_gram_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        solve_gram(**({"G": np.eye(2), "h": np.ones(2)} | arguments))


def test_refusals():
    S = srht(4, 8, rng(), like=np)
    with pytest.raises(ValueError, match=r"A of shape \(8,\): expected a matrix"):
        sketch_and_solve(np.ones(8), np.ones(8), S)
    with pytest.raises(ValueError, match=r"A of shape \(7, 2\)"):
        sketch_and_solve(np.ones((7, 2)), np.ones(8), S)
    with pytest.raises(ValueError, match="expected"):
        sketch_and_solve(np.ones((8, 2)), np.ones(7), S)
    with pytest.raises(TypeError, match="expected an array"):
        sketch_and_solve(sparse.csr_array(np.eye(8)), np.ones(8), S)
