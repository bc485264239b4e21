"""Operator norm, stable rank and tail norm, against NumPy's singular values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.linalg.spectra import operator_norm, stable_rank, tail_norm
from touchstone.sketching.sparse_embedding import count_sketch

UNIT = 2.0**-53


def rng(seed=0):
    return np.random.default_rng(seed)


def with_values(values, m, n, seed=0):
    """A matrix (m, n) with these singular values."""
    state = rng(seed)
    U = np.linalg.qr(state.normal(size=(m, len(values))))[0]
    V = np.linalg.qr(state.normal(size=(n, len(values))))[0]
    return (U * np.asarray(values)) @ V.T


def matrices():
    """Odd shapes, ranks and scales: (matrix, seed)."""

    def make(m, n, rank, scale, seed):
        state = rng(seed)
        return scale * state.normal(size=(m, rank)) @ state.normal(size=(rank, n)), seed

    scales = st.sampled_from([1.0, 1e-200, 1e150])
    return st.builds(make, *[st.integers(1, 9)] * 2, st.integers(1, 9), scales, st.integers(0, 10**6))


class Products:
    """An operator that gives nothing away but its shape and its products with vectors."""

    def __init__(self, F):
        self._F, self.shape = F, F.shape

    def __matmul__(self, v):
        assert v.ndim == 1
        return self._F @ v

    @property
    def T(self):
        return Products(self._F.T)


# -- the references --------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(matrices())
def test_against_singular_values(given_matrix):
    A, seed = given_matrix
    values = np.linalg.svdvals(A)
    assert operator_norm(A) == pytest.approx(values[0], rel=1e-14)
    # all steps there are: the Krylov space is everything that matters
    assert operator_norm(A, 50, rng=rng(seed)) == pytest.approx(values[0], rel=1e-12)
    ratios = values / values[0]
    assert stable_rank(A) == pytest.approx(sum(ratios**2), rel=1e-13)
    assert stable_rank(A, 50, rng=rng(seed)) == pytest.approx(sum(ratios**2), rel=1e-12)
    for k in range(len(values) + 2):
        expected = values[0] * math.sqrt(sum(r**2 for r in ratios[k:]))
        assert tail_norm(A, k) == pytest.approx(expected, rel=1e-13, abs=1e-14 * values[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.floats(0, 3), st.integers(0, 10**6))
def test_steps_never_exceed_and_soon_reach_the_norm(m, n, steps, decay, seed):
    A = with_values(np.arange(1, min(m, n) + 1) ** -decay, m, n, seed)
    got = float(operator_norm(A, steps, rng=rng(seed + 1)))
    assert got <= 1 + 100 * UNIT
    # the theorem's error at a probability of one in a million
    shortfall = (math.log(1.648 * math.sqrt(n) * 1e6) / (2 * steps - 1)) ** 2
    assert got**2 >= 1 - shortfall
    if steps > 1:
        assert got >= float(operator_norm(A, steps - 1, rng=rng(seed + 1))) * (1 - 100 * UNIT)


def test_is_the_best_in_the_krylov_space():
    """The largest stretch over the space, found from an orthonormal basis of its powers."""
    A, steps = with_values([3, 2.9, 2, 1, 0.5], 12, 9), 3
    v = rng(4).standard_normal(9)
    Q = np.linalg.qr(np.stack([np.linalg.matrix_power(A.T @ A, i) @ v for i in range(steps)], axis=1))[0]
    expected = np.linalg.svdvals(A @ Q)[0]
    assert operator_norm(A, steps, rng=rng(4)) == pytest.approx(expected, rel=1e-12)


def test_converges_on_a_large_matrix_with_a_clustered_top():
    values = 1 - 0.3 * np.linspace(0, 1, 300) ** 2
    A = with_values(values, 400, 300)
    assert operator_norm(A, 60, rng=rng()) == pytest.approx(1, abs=1e-5)
    assert operator_norm(A, 300, rng=rng()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0], [5.0, 1e-9], [1.0, 1.0, 1e-20]])
def test_more_steps_than_the_krylov_space_has_directions(values):
    A = with_values(values, 40, 30)
    for steps in (1, 2, 3, 4, 10, 30):
        assert operator_norm(A, steps, rng=rng(1)) <= values[0] * (1 + 1e-14)
    for steps in (5, 10, 30):
        assert operator_norm(A, steps, rng=rng(1)) == pytest.approx(values[0], rel=1e-13)


def test_directions_that_are_rounding_are_left_out():
    """Rank one: after the first step there is nothing but rounding, which must not grow into a direction."""
    found = []

    class Watched(Products):
        def __matmul__(self, v):
            found.append(float(np.linalg.norm(v)))
            return super().__matmul__(v)

    A = with_values([7.0], 25, 20)
    assert operator_norm(Watched(A), 6, rng=rng(2), like=A) == pytest.approx(7, rel=1e-13)
    assert found[0] == pytest.approx(1)
    assert found[1] == pytest.approx(1)  # the singular vector itself
    assert found[2:] == [0.0] * 4


# -- kinds of arrays and operators -------------------------------------------------------------------------


def test_on_every_library(xp):
    A = with_values([4, 2, 1, 0.5], 7, 5)
    X = xp.asarray(A)
    exact = [operator_norm(X), operator_norm(X, 5, rng=rng())]
    assert all(x.dtype == xp.float64 and x.shape == () for x in exact)
    np.testing.assert_allclose([float(x) for x in exact], 4, rtol=1e-12)
    for x in (stable_rank(X), stable_rank(X, 5, rng=rng())):
        assert x.shape == ()
        assert float(x) == pytest.approx(21.25 / 16, rel=1e-12)
    assert float(tail_norm(X, 1)) == pytest.approx(math.sqrt(5.25), rel=1e-12)
    beyond = tail_norm(X, 5)
    assert (float(beyond), beyond.dtype, beyond.shape) == (0, xp.float64, ())


def test_batches():
    A = rng().normal(size=(2, 3, 6, 4))
    for f in (operator_norm, stable_rank, lambda X: tail_norm(X, 2), lambda X: tail_norm(X, 9)):
        each = np.array([[f(x) for x in row] for row in A])
        assert f(A).shape == (2, 3)
        np.testing.assert_allclose(f(A), each, rtol=1e-13)


def test_single_precision():
    A = with_values([3, 1, 1, 1], 9, 8).astype(np.float32)
    for x in (operator_norm(A), operator_norm(A, 6, rng=rng()), tail_norm(A, 1), stable_rank(A)):
        assert x.dtype == np.float32
    assert operator_norm(A, 6, rng=rng()) == pytest.approx(3, rel=1e-5)
    # ten times the repeats of a direction: what is rounding in float32 is left out there as well
    assert operator_norm(with_values([3], 9, 8).astype(np.float32), 8, rng=rng()) == pytest.approx(
        3, rel=1e-5
    )


def test_operators():
    A = with_values([4, 3, 1], 9, 6)
    expected = float(operator_norm(A, 3, rng=rng(3)))
    assert operator_norm(Products(A), 3, rng=rng(3), like=A) == pytest.approx(expected, rel=1e-14)
    S = count_sketch(8, 30, rng(1), like=A)
    dense = S.columns(range(30))
    assert operator_norm(S, 8, rng=rng(3), like=A) == pytest.approx(np.linalg.norm(dense, 2), rel=1e-12)
    rows = SparseRows(np.array([[0, 2], [1, 3], [0, 1]]), np.array([[1.0, 2], [3, -1], [0.5, 1]]), 4)
    full = np.array([[1.0, 0, 2, 0], [0, 3, 0, -1], [0.5, 1, 0, 0]])
    assert operator_norm(rows, 4, rng=rng(3), like=A) == pytest.approx(np.linalg.norm(full, 2), rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_a_single_row_or_column(shape):
    A = rng(5).normal(size=shape)
    size = float(np.linalg.norm(A))
    assert operator_norm(A) == pytest.approx(size, rel=1e-14)
    assert operator_norm(A, 3, rng=rng()) == pytest.approx(size, rel=1e-14)
    assert stable_rank(A) == pytest.approx(1, rel=1e-14)
    assert (tail_norm(A, 0), tail_norm(A, 1)) == (pytest.approx(size, rel=1e-14), 0)


def test_zero():
    Z = np.zeros((4, 3))
    assert [operator_norm(Z), operator_norm(Z, 3, rng=rng()), stable_rank(Z), tail_norm(Z, 1)] == [0, 0, 0, 0]
    assert stable_rank(Z, 3, rng=rng()) == 0


def test_orthonormal_rows_have_full_stable_rank():
    Q = np.linalg.qr(rng().normal(size=(9, 4)))[0]
    assert stable_rank(Q) == pytest.approx(4, rel=1e-13)
    assert stable_rank(Q.T, 2, rng=rng()) == pytest.approx(4, rel=1e-13)


# -- counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        operator_norm,
        stable_rank,
        lambda A: operator_norm(A, 6, rng=rng()),
        lambda A: stable_rank(A, 6, rng=rng()),
        lambda A: tail_norm(A, 3),
        lambda A: tail_norm(A, 30),
    ],
)
def test_counts_need_no_data(f):
    for m, n in ((9, 7), (5, 12)):
        with count() as with_data:
            f(counted(rng().normal(size=(m, n))))
        with count() as without:
            f(shape_only(m, n))
        assert with_data.numbers() == without.numbers()


def test_the_cost_of_steps():
    for m, n, steps, taken in ((40, 30, 6, 6), (9, 4, 10, 4), (3, 8, 10, 4)):
        with count() as costs:
            operator_norm(shape_only(m, n), steps, rng=rng())
        products = (2 * taken - 1) * m * n
        orthogonal = 2 * (m + n) * taken * (taken - 1)
        assert costs.multiply_adds == products + orthogonal + 2 * taken**3


def test_values_alone_are_computed():
    for f in (operator_norm, lambda A: tail_norm(A, 2)):
        with count() as costs:
            f(shape_only(20, 8))
        assert [x.kind for x in costs.factorisations] == ["svdvals"]


# -- bad input ---------------------------------------------------------------------------------------------


def test_what_is_no_matrix():
    for f in (operator_norm, stable_rank, lambda A: tail_norm(A, 1)):
        for shape in ((3,), (), (0, 3), (2, 3, 0)):
            with pytest.raises(ValueError, match=r"A of shape .*: expected matrices with a row and a column"):
                f(np.ones(shape))
        for bad in (np.nan, np.inf, -np.inf):
            with pytest.raises(ValueError, match=r"A of shape \(2, 2\): expected finite numbers"):
                f(np.array([[1, 2], [bad, 3]]))
        with pytest.raises(TypeError, match="A of dtype int64: expected real floating"):
            f(np.ones((2, 2), dtype=np.int64))
        with pytest.raises(TypeError, match="A of dtype complex128: expected real floating"):
            f(np.ones((2, 2), dtype=np.complex128))


def test_bad_steps():
    A = np.eye(3)
    for steps in (0, -1, 2.0, True, "3"):
        with pytest.raises(ValueError, match=r"steps=.*: expected an integer >= 1"):
            operator_norm(A, steps, rng=rng())
    for state in (None, 0):
        with pytest.raises(TypeError, match=r"rng=.*: expected a NumPy random generator"):
            operator_norm(A, 2, rng=state)
        with pytest.raises(TypeError, match=r"rng=.*: expected a NumPy random generator"):
            stable_rank(A, 2, rng=state)
    for shape in ((3,), (2, 3, 4), (0, 3)):
        with pytest.raises(ValueError, match=r"A of shape .*: expected a matrix with a row and a column"):
            operator_norm(np.ones(shape), 2, rng=rng())
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="expected finite numbers"):
            operator_norm(np.array([[1, bad]]), 2, rng=rng())
    with pytest.raises(TypeError, match="A of dtype int64: expected real floating"):
        operator_norm(np.ones((2, 2), dtype=np.int64), 2, rng=rng())
    with pytest.raises(TypeError, match="like=None: expected an array, as A is Products"):
        operator_norm(Products(A), 2, rng=rng())


def test_bad_k():
    for k in (-1, 1.0, True, None):
        with pytest.raises(ValueError, match=r"k=.*: expected an integer >= 0"):
            tail_norm(np.eye(2), k)
    assert tail_norm(np.eye(3), np.int64(1)) == pytest.approx(math.sqrt(2))
    assert operator_norm(np.eye(3), np.int64(2), rng=rng()) == pytest.approx(1)


def test_nothing_is_changed():
    A = rng().normal(size=(4, 4))
    kept = A.copy()
    operator_norm(A, 3, rng=rng())
    stable_rank(A)
    tail_norm(A, 2)
    np.testing.assert_array_equal(A, kept)
    assert isinstance(to_host(operator_norm(A)), np.ndarray | np.generic)
