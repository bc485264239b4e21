"""Matrices of few entries a row, against the dense matrices that they stand for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg import sparse_rows
from touchstone.linalg.sparse_rows import SparseRows


def entries(n, d, k, seed=0):
    rng = stream(seed)
    return rng.integers(0, d, (n, k)), rng.standard_normal((n, k))


def formed(columns, values, d):
    """One entry after the other."""
    A = np.zeros((len(columns), d), dtype=values.dtype)
    for i, j in np.ndindex(*columns.shape):
        A[i, columns[i, j]] += values[i, j]
    return A


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 12),
    d=st.integers(1, 6),
    k=st.integers(1, 5),
    c=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_everything_is_that_of_the_dense_matrix(n, d, k, c, seed):
    rng = stream(seed)
    columns, values = rng.integers(0, d, (n, k)), rng.standard_normal((n, k))
    A, D = SparseRows(columns, values, d), formed(columns, values, d)
    M, Y, w, F = (rng.standard_normal(s) for s in [(d, c), (n, c), n, (d, d)])
    assert A.shape == (n, d)
    assert A.T.shape == (d, n)
    assert A.T.T is A
    close = {"rtol": 0, "atol": 1e-13 * (1 + k**2)}
    np.testing.assert_allclose(A.dense(), D, **close)
    np.testing.assert_allclose(A @ M, D @ M, **close)
    np.testing.assert_allclose(A @ M[:, 0], D @ M[:, 0], **close)
    np.testing.assert_allclose(A.T @ Y, D.T @ Y, atol=1e-12)
    np.testing.assert_allclose(A.T @ Y[:, 0], D.T @ Y[:, 0], atol=1e-12)
    np.testing.assert_allclose(A.gram(), D.T @ D, atol=1e-12)
    np.testing.assert_allclose(A.gram(w), D.T @ (w[:, None] * D), atol=1e-12)
    np.testing.assert_array_equal(A.gram(w), A.gram(w).T)
    np.testing.assert_array_equal(A.gram(w, workers=2), A.gram(w))
    np.testing.assert_array_equal(A.quadratic_forms(F, workers=2), A.quadratic_forms(F))
    np.testing.assert_allclose(A.quadratic_forms(F), np.sum((D @ F) * D, axis=1), atol=1e-12)
    some = rng.integers(0, n, 4)
    np.testing.assert_allclose(A.take(some).dense(), D[some], **close)
    assert A.take(some).shape == (4, d)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_on_every_library(xp, dtype):
    columns, values = entries(9, 4, 3)
    values = values * (1 + 2j) if dtype == "complex128" else values
    D = formed(columns, values.astype(dtype), 4)
    A = SparseRows(xp.asarray(columns), xp.asarray(values, dtype=getattr(xp, dtype)), 4)
    M, w = D[:4].T.copy(), D[:, 0].copy()
    results = {
        "dense": (A.dense(), D),
        "product": (A @ xp.asarray(M), D @ M),
        "product with a vector": (A @ xp.asarray(M[:, 0]), D @ M[:, 0]),
        "transposed, with a vector": (A.T @ xp.asarray(w), D.T @ w),
        "transposed": (A.T @ xp.asarray(D), D.T @ D),
        "gram": (A.gram(), D.T @ D),
        "weighted": (A.gram(xp.asarray(w)), D.T @ (w[:, None] * D)),
        "forms": (A.quadratic_forms(xp.asarray(M)), np.sum((D @ M) * D, axis=1)),
        "taken": (A.take(xp.asarray([2, 0, 2])).dense(), D[[2, 0, 2]]),
    }
    assert A.dtype == getattr(xp, dtype)
    for name, (got, expected) in results.items():
        assert got.dtype == getattr(xp, dtype), name
        np.testing.assert_allclose(
            to_host(got), expected, rtol=0, atol=1e-4 if dtype == "float32" else 1e-12, err_msg=name
        )


@pytest.mark.parametrize("numbers", [1, 7, 40])
def test_blocks_change_nothing(monkeypatch, numbers):
    columns, values = entries(23, 3, 2)
    A, whole = SparseRows(columns, values, 3), {}
    B = SparseRows(counted(columns), counted(values), 3)
    M, w = stream(1).standard_normal((3, 3)), stream(2).standard_normal(23)

    def everything():
        yield A.gram(w), A.quadratic_forms(M)
        yield B.gram(counted(w)), B.quadratic_forms(counted(M)), B @ counted(M), B.T @ counted(A.dense())

    whole = list(everything())
    monkeypatch.setattr(sparse_rows, "NUMBERS_PER_BLOCK", numbers)
    for before, after in zip(whole, everything(), strict=True):
        for x, y in zip(before, after, strict=True):
            np.testing.assert_allclose(to_host(y), to_host(x), rtol=1e-12, atol=1e-14)


def test_the_size_of_blocks(monkeypatch):
    """What a row needs, into 2^17 numbers; 64 times as many on a GPU. Blocks of pairs are as large as d^2."""
    seen, real = [], sparse_rows.map_rows
    monkeypatch.setattr(sparse_rows, "map_rows", lambda *a, **k: seen.append(k["block"]) or real(*a, **k))
    A = SparseRows(shape_only(50, 4, dtype="int64"), shape_only(50, 4), 20)
    A @ shape_only(20, 3), A.T @ shape_only(50, 5), A.quadratic_forms(shape_only(20, 20)), A.gram()
    assert seen == [2**17 // 12, 2**17 // 20, 2**17 // 10, 2**17 // 10]
    SparseRows(A.columns, A.values, 2000).gram()
    assert seen[-1] == 2000**2 // 10
    A @ shape_only(20, 10**6)
    assert seen[-1] == 1
    monkeypatch.setattr(sparse_rows, "block_factor", lambda like: 64)
    A.gram()
    assert seen[-1] == 64 * 2**17 // 10


def test_small_integers_as_columns():
    columns, values = entries(300, 200, 2)
    A = SparseRows(columns.astype(np.uint8), values, 200)  # 300 * 200 and 200 * 200 do not fit
    D = formed(columns, values, 200)
    np.testing.assert_array_equal(A.dense(), D)
    np.testing.assert_allclose(A.gram(), D.T @ D, atol=1e-12)
    np.testing.assert_allclose(A.quadratic_forms(np.ones((200, 200))), np.sum(D, axis=1) ** 2, atol=1e-12)


def test_no_rows():
    A = SparseRows(np.zeros((0, 2), dtype=int), np.zeros((0, 2)), 3)
    assert A.dense().shape == (0, 3)
    np.testing.assert_array_equal(A.gram(), np.zeros((3, 3)))
    assert (A @ np.ones((3, 2))).shape == (0, 2)
    assert A.quadratic_forms(np.ones((3, 3))).shape == (0,)


# -- counts ----------------------------------------------------------------------------------------------

N, D_, K, C = 40, 6, 3, 2
PAIRS = K * (K + 1) // 2


def costs_of(f, data):
    columns, values = entries(N, D_, K)
    with count() as costs:
        if data:
            f(SparseRows(counted(columns), counted(values), D_), lambda *s: counted(np.ones(s)))
        else:
            f(SparseRows(shape_only(N, K, dtype="int64"), shape_only(N, K), D_), shape_only)
    return costs


USES = {
    "product": lambda A, new: A @ new(D_, C),
    "transposed": lambda A, new: A.T @ new(N, C),
    "gram": lambda A, new: A.gram(),
    "weighted": lambda A, new: A.gram(new(N)),
    "forms": lambda A, new: A.quadratic_forms(new(D_, D_)),
    "dense": lambda A, new: A.dense(),
}


@pytest.mark.parametrize("use", USES)
def test_counts_without_data_are_those_with_data(use):
    assert costs_of(USES[use], True).numbers() == costs_of(USES[use], False).numbers()


def test_counts():
    costs = {use: costs_of(f, False) for use, f in USES.items()}
    assert costs["product"].multiply_adds == N * K * C
    assert costs["product"].arithmetic == 0
    assert costs["transposed"].arithmetic == 2 * N * K * C
    # two products, the sum, and the place of each pair; d times a column for each entry; the two halves
    assert costs["gram"].arithmetic == 4 * N * PAIRS + N * K + D_**2
    assert costs["weighted"].arithmetic == costs["gram"].arithmetic + N * K
    # two products and the place of each pair; M is made symmetric
    assert costs["forms"].arithmetic == 3 * N * PAIRS + N * K + 2 * D_**2
    assert costs["forms"].multiply_adds == N * PAIRS
    # a place and a sum for each entry; a multiple of d for each row
    assert costs["dense"].arithmetic == 2 * N * K + N


def test_counts_grow_with_the_entries_alone():
    def gram(n, d):
        with count() as costs:
            SparseRows(shape_only(n, 4, dtype="int64"), shape_only(n, 4), d).gram()
        return costs

    # 44 a row for its entries and pairs, and 10 for the d^2 numbers of each block
    assert gram(2**40, 1000).arithmetic < 2**40 * 55


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "values", "d", "error", "message"),
    [
        (np.zeros((2, 1), dtype=int), np.ones((2, 1)), 0, ValueError, "d=0: expected an integer >= 1"),
        (np.zeros((2, 1), dtype=int), np.ones((2, 1)), 1.0, ValueError, r"d=1\.0: expected an integer >= 1"),
        (np.zeros((2, 1), dtype=int), np.ones((2, 1)), True, ValueError, "d=True: expected an integer >= 1"),
        (np.zeros((2, 1), dtype=int), np.ones((2, 2)), 1, ValueError, r"values of shape \(2, 2\)"),
        (np.zeros(2, dtype=int), np.ones(2), 1, ValueError, "expected two matrices of one shape"),
        (np.zeros((2, 0), dtype=int), np.ones((2, 0)), 1, ValueError, "with a column or more"),
        (np.zeros((2, 1)), np.ones((2, 1)), 1, TypeError, "columns of dtype float64"),
        (np.zeros((2, 1), dtype=int), np.ones((2, 1), dtype=int), 1, TypeError, "values of dtype int64"),
        (np.array([[0], [3]]), np.ones((2, 1)), 3, ValueError, r"between 0 and 3: expected"),
        (np.array([[0], [-1]]), np.ones((2, 1)), 3, ValueError, "between -1 and 0: expected"),
    ],
)  # fmt: skip
def test_bad_parts_are_named(columns, values, d, error, message):
    with pytest.raises(error, match=message):
        SparseRows(columns, values, d)


def test_bad_operands_are_named():
    A = SparseRows(*entries(4, 3, 2), 3)
    for shape in [(4,), (4, 3), (3, 1, 1), ()]:
        with pytest.raises(ValueError, match=r"M of shape .*: expected 3 rows"):
            A @ np.ones(shape)
    for shape in [(3,), (3, 4), (4, 1, 1)]:
        with pytest.raises(ValueError, match=r"M of shape .*: expected 4 rows"):
            A.T @ np.ones(shape)
    with pytest.raises(ValueError, match=r"weights of shape \(3,\): expected \(4,\)"):
        A.gram(np.ones(3))
    with pytest.raises(ValueError, match=r"M of shape \(3, 4\): expected \(3, 3\)"):
        A.quadratic_forms(np.ones((3, 4)))
    with pytest.raises(TypeError, match="Multiple"):
        A.quadratic_forms(counted(np.ones((3, 3))))
