"""Rows divided by their sums, over arrays and operators."""

import numpy as np
import pytest

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.row_normalised import RowNormalised


@pytest.fixture
def A():
    return np.random.default_rng(0).uniform(0.1, 1, (5, 4))


def test_products_with_it_and_its_transpose(A, xp):
    F = A / A.sum(axis=1, keepdims=True)
    ours = RowNormalised(xp.asarray(A), like=xp.asarray(A))
    assert (ours.shape, ours.T.shape) == ((5, 4), (4, 5))
    V, W = np.arange(8.0).reshape(4, 2), np.arange(10.0).reshape(5, 2)
    for operator, dense, X in [(ours, F, V), (ours.T, F.T, W), (ours.T.T, F, V)]:
        np.testing.assert_allclose(to_host(operator @ xp.asarray(X)), dense @ X, atol=1e-14)
        np.testing.assert_allclose(to_host(operator @ xp.asarray(X[:, 1])), dense @ X[:, 1], atol=1e-14)


def test_rows_sum_to_one(A):
    np.testing.assert_allclose(RowNormalised(A, like=A) @ np.ones(4), 1, rtol=1e-15)


def test_single_precision_stays(A):
    A = A.astype(np.float32)
    F = RowNormalised(A, like=A)
    assert (F @ A.T).dtype == (F.T @ A).dtype == np.float32


def test_counts():
    def costs(make):
        with count() as costs:
            F = RowNormalised(make(5, 4), like=make(1))
            F @ make(4, 3)
            F.T @ make(5, 2)
        return costs.numbers()

    assert costs(shape_only) == costs(lambda *s: counted(np.ones(s)))
    assert costs(shape_only)["multiply_adds"] == 5 * 4 * (1 + 3 + 2)
