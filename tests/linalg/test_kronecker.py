"""Kronecker products against NumPy's, SciPy's and loops over single entries."""

import functools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.kronecker import face_splitting, khatri_rao, kron

PRODUCTS = [kron, khatri_rao, face_splitting]
LIMITS = settings(max_examples=40, deadline=None)
sides = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def matrices(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(-9, 10, shape).astype(float) for shape in shapes]  # whole: products are exact


def shapes_for(product, rows, columns):
    """Shapes that fit the product: all different, with equal columns, or with equal rows."""
    if product is khatri_rao:
        return [(m, columns[0]) for m in rows]
    if product is face_splitting:
        return [(rows[0], c) for c in columns]
    return list(zip(rows, columns, strict=False))


REFERENCES = {
    kron: np.kron,
    khatri_rao: scipy.linalg.khatri_rao,
    face_splitting: lambda A, B: np.stack([np.kron(a, b) for a, b in zip(A, B, strict=True)]),
}


@pytest.mark.parametrize("product", PRODUCTS)
@LIMITS
@given(rows=st.lists(st.integers(1, 4), min_size=1, max_size=4), columns=sides, seed=st.integers(0, 99))
def test_against_the_reference(product, rows, columns, seed):
    columns = [c + 1 for c in columns]
    As = matrices(shapes_for(product, rows, columns), seed)
    np.testing.assert_array_equal(product(*As), functools.reduce(REFERENCES[product], As))


def test_entries_one_by_one():
    A, B = matrices([(2, 3), (4, 3)])
    product = khatri_rao(A, B)
    assert product.shape == (8, 3)
    for j in range(2):
        for l in range(4):
            for c in range(3):
                assert product[4 * j + l, c] == A[j, c] * B[l, c]
    rows = face_splitting(A.T, B.T)
    np.testing.assert_array_equal(rows, product.T)
    full = kron(A, B)
    assert full.shape == (8, 9)
    assert full[4 * 1 + 2, 3 * 2 + 1] == A[1, 2] * B[2, 1]


@LIMITS
@given(seed=st.integers(0, 99), shapes=st.lists(st.integers(1, 4), min_size=6, max_size=6))
def test_mixed_product_rules(seed, shapes):
    m, p, a, b, c, e = shapes
    A, B, C, D, E, F = matrices([(m, a), (p, b), (a, c), (b, c), (a, e), (b, e)], seed)
    np.testing.assert_array_equal(kron(A, B) @ khatri_rao(C, D), khatri_rao(A @ C, B @ D))  # the swap rule
    np.testing.assert_array_equal(khatri_rao(C, D).T @ khatri_rao(E, F), (C.T @ E) * (D.T @ F))
    np.testing.assert_array_equal(kron(A, B) @ kron(E, F), kron(A @ E, B @ F))


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("sizes", [([0, 3], [2, 2]), ([2, 2], [0, 0]), ([1, 1], [1, 1])])
def test_empty_and_single_entries(product, sizes):
    As = matrices(shapes_for(product, *sizes))
    expected = functools.reduce(lambda A, B: tuple(np.multiply(A, B)), [A.shape for A in As])
    if product is khatri_rao:
        expected = (expected[0], As[0].shape[1])
    if product is face_splitting:
        expected = (As[0].shape[0], expected[1])
    assert product(*As).shape == expected


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_library_and_dtype(xp, product):
    As = matrices([(3, 3), (3, 3), (3, 3)])
    expected = product(*As)
    for dtype in ("float32", "float64", "int64", "complex128"):
        result = product(*(xp.asarray(A.astype(dtype)) for A in As))
        assert result.dtype == getattr(xp, dtype)
        np.testing.assert_array_equal(to_host(result), expected.astype(dtype))


@pytest.mark.parametrize("product", PRODUCTS)
def test_one_matrix_is_itself(product):
    (A,) = matrices([(3, 2)])
    assert product(A) is A


@pytest.mark.parametrize(("product", "rows", "columns", "expected"), [
    (kron, [2, 3, 5], [7, 2, 3], 6 * 14 + 30 * 42),
    (khatri_rao, [2, 3, 5], [7, 7, 7], 6 * 7 + 30 * 7),
    (face_splitting, [4, 4, 4], [2, 3, 5], 4 * 6 + 4 * 30),
])  # fmt: skip
def test_cost_is_one_multiplication_an_entry_of_every_partial_product(product, rows, columns, expected):
    As = matrices(shapes_for(product, rows, columns))
    with count() as executed:
        product(*(counted(A) for A in As))
    with count() as shapes:
        product(*(shape_only(*A.shape) for A in As))
    assert executed.numbers() == shapes.numbers()
    assert executed.operations == executed.arithmetic == expected


@pytest.mark.parametrize("product", PRODUCTS)
def test_bad_input_is_named(product):
    (A,) = matrices([(3, 3)])
    with pytest.raises(ValueError, match=r"As=\(\): expected at least one matrix"):
        product()
    with pytest.raises(ValueError, match=r"As\[1\] of shape \(3,\): expected a matrix"):
        product(A, A[0])
    if product is khatri_rao:
        with pytest.raises(ValueError, match=r"As\[2\] of shape \(3, 2\): expected 3 columns"):
            product(A, A, A[:, :2])
        assert product(A, A[:2]).shape == (6, 3)
    if product is face_splitting:
        with pytest.raises(ValueError, match=r"As\[2\] of shape \(2, 3\): expected 3 rows"):
            product(A, A, A[:2])
        assert product(A, A[:, :2]).shape == (3, 6)
