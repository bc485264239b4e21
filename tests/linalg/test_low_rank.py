"""Low-rank operators and the entrywise product with a low-rank matrix, against the matrices formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.low_rank import CausalLowRank, LowRank, hadamard_product_apply


class Products:
    """An operator that gives nothing away but its shape and its products."""

    def __init__(self, F):
        self._F, self.shape = F, F.shape

    def __matmul__(self, V):
        return self._F @ V


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 7)] * 4, st.integers(0, 10**6))
def test_is_the_product_formed(n, m, r, c, seed):
    rng = np.random.default_rng(seed)
    F, G, H, M = (rng.normal(size=s) for s in [(n, m), (n, r), (m, r), (m, c)])
    expected = (F * (G @ H.T)) @ M
    got = hadamard_product_apply(Products(F), G, H, M)
    np.testing.assert_allclose(got, expected, atol=1e-13 * (1 + np.abs(expected).max()))


def test_on_every_library(xp):
    rng = np.random.default_rng(0)
    F, G, H, M = (rng.normal(size=s) for s in [(5, 4), (5, 3), (4, 3), (4, 2)])
    got = hadamard_product_apply(*(xp.asarray(x) for x in (F, G, H, M)))
    np.testing.assert_allclose(to_host(got), (F * (G @ H.T)) @ M, atol=1e-14)


def test_counts():
    def costs(make):
        with count() as costs:
            hadamard_product_apply(make(5, 4), make(5, 3), make(4, 3), make(4, 2))
        return costs.numbers()

    assert costs(shape_only) == costs(lambda *s: counted(np.ones(s)))
    assert costs(shape_only)["multiply_adds"] == 5 * 4 * 6


@pytest.mark.parametrize("wrong", range(3))
def test_shapes_that_do_not_fit(wrong):
    shapes = [(5, 3), (4, 3), (4, 2)]
    shapes[wrong] = (6, shapes[wrong][1])
    with pytest.raises(ValueError, match=f"{'GHM'[wrong]} of shape"):
        hadamard_product_apply(np.ones((5, 4)), *(np.ones(s) for s in shapes))


def test_different_ranks():
    with pytest.raises(ValueError, match="expected 3 columns"):
        hadamard_product_apply(np.ones((5, 4)), np.ones((5, 1)), np.ones((4, 3)), np.ones((4, 2)))


def test_a_row_in_place_of_a_matrix():
    with pytest.raises(ValueError, match="M of shape"):
        hadamard_product_apply(np.ones((5, 4)), np.ones((5, 1)), np.ones((4, 1)), np.ones(4))


# -- operators -------------------------------------------------------------------------------------------


def close(got, expected):
    np.testing.assert_allclose(got, expected, atol=1e-13 * (1 + np.abs(expected).max()))


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 7)] * 4, st.integers(0, 10**6))
def test_low_rank_is_the_matrix_formed(n, m, r, c, seed):
    rng = np.random.default_rng(seed)
    U, V, M, W = (rng.normal(size=s) for s in [(n, r), (m, r), (m, c), (n, c)])
    A, dense = LowRank(U, V), U @ V.T
    assert (A.shape, A.T.shape) == ((n, m), (m, n))
    close(A @ M, dense @ M)
    close(A.T @ W, dense.T @ W)
    close(A.T.T @ M[:, 0], dense @ M[:, 0])


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 3), st.integers(1, 25), st.integers(0, 10**6))
def test_causal_is_the_triangle_formed(n, r, c, block, seed):
    rng = np.random.default_rng(seed)
    U, V, M = (rng.normal(size=s) for s in [(n, r), (n, r), (n, c)])
    A, dense = CausalLowRank(U, V, block), np.tril(U @ V.T)
    assert A.shape == A.T.shape == (n, n)
    close(A @ M, dense @ M)
    close(A.T @ M, dense.T @ M)
    close(A.T.T @ M, dense @ M)
    close(A @ M[:, 0], dense @ M[:, 0])
    close(A.T @ M[:, 0], dense.T @ M[:, 0])
    close(A @ M, dense @ M)  # a product leaves nothing behind


@pytest.mark.parametrize("block", [1, 3, 64])
def test_operators_on_every_library(xp, block):
    rng = np.random.default_rng(0)
    U, V, M = (rng.normal(size=s) for s in [(8, 3), (8, 3), (8, 2)])
    u, v, m = (xp.asarray(x) for x in (U, V, M))
    close(to_host(LowRank(u, v) @ m), U @ V.T @ M)
    close(to_host(CausalLowRank(u, v, block) @ m), np.tril(U @ V.T) @ M)
    close(to_host(CausalLowRank(u, v, block).T @ m), np.tril(U @ V.T).T @ M)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_operators_keep_the_dtype(dtype):
    U = np.ones((5, 2), dtype=dtype)
    for A in (LowRank(U, U), CausalLowRank(U, U, 2), CausalLowRank(U, U, 2).T):
        assert (A @ U).dtype == (A @ U[:, 0]).dtype == dtype


def test_complex_columns_of_a_real_triangle():
    U, M = np.ones((5, 2)), np.asarray([[1j], [2], [3j], [0], [1]])
    close(CausalLowRank(U, U, 2) @ M, np.tril(U @ U.T) @ M)


@pytest.mark.parametrize("transpose", [False, True])
def test_costs_of_the_operators(transpose):
    n, r, c, block = 11, 3, 2, 4

    def costs(make, A):
        with count() as costs:
            M = make(n, c)
            (A.T if transpose else A) @ M
        return costs.numbers()

    for operator in (LowRank, lambda U, V: CausalLowRank(U, V, block)):
        shapes, numbers = (
            costs(make, operator(make(n, r), make(n, r)))
            for make in (shape_only, lambda *s: counted(np.ones(s)))
        )
        assert shapes == numbers
        inside = 0 if operator is LowRank else (4 * 4 + 4 * 4 + 3 * 3) * (r + c)
        assert shapes["multiply_adds"] == 2 * n * r * c + inside


def test_memory_of_the_causal_product_is_that_of_a_block():
    def peak(n):
        A = CausalLowRank(shape_only(n, 50), shape_only(n, 50), 16)
        M = shape_only(n, 2)
        with count() as costs:
            A @ M
        return costs.numbers()["bytes_peak"] - 8 * 2 * n  # the result

    assert peak(2**12) == peak(2**300)


@pytest.mark.parametrize("operator", [LowRank, CausalLowRank])
def test_operators_refuse_what_does_not_fit(operator):
    U = np.ones((4, 2))
    with pytest.raises(ValueError, match="V of shape"):
        operator(U, np.ones((4, 3)))
    with pytest.raises(ValueError, match="U of shape"):
        operator(np.ones(4), U)
    with pytest.raises(ValueError, match="V of shape"):
        operator(U, np.ones((4, 2, 1)))
    for M in (np.ones((5, 1)), np.ones(3), np.ones((4, 1, 1))):
        with pytest.raises(ValueError, match="M of shape"):
            operator(U, U) @ M


def test_causal_needs_as_many_queries_as_keys():
    with pytest.raises(ValueError, match="expected 4 rows"):
        CausalLowRank(np.ones((4, 2)), np.ones((5, 2)))


@pytest.mark.parametrize("block", [0, -1, 2.0, True])
def test_causal_block(block):
    with pytest.raises(ValueError, match="block="):
        CausalLowRank(np.ones((4, 2)), np.ones((4, 2)), block)


def test_shape_of_the_transpose_is_that_of_its_rows():
    with pytest.raises(ValueError, match="expected 3 rows"):
        LowRank(np.ones((3, 2)), np.ones((4, 2))).T @ np.ones(4)
