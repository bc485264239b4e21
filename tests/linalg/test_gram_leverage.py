"""Leverage from a Gram matrix against leverage from the rows themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.instances.matrices import random_rows
from touchstone.linalg.gram_leverage import gram_leverage
from touchstone.linalg.leverage import leverage_scores


def by_svd(A):
    norms = np.linalg.norm(A, axis=0)
    left, values, _ = np.linalg.svd(A / np.where(norms > 0, norms, 1), full_matrices=False)
    return np.sum(left[:, values > 1e-10 * values[0]] ** 2, axis=1)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 12), d=st.integers(1, 6), rank=st.integers(1, 6), seed=st.integers(0, 99))
def test_any_shape_and_rank(n, d, rank, seed):
    rng = stream(seed)
    A = rng.standard_normal((n, min(rank, d))) @ rng.standard_normal((min(rank, d), d))
    got = gram_leverage(A, A.T @ A)
    # the root of the smallest eigenvalue of such a Gram matrix is rarely below 1e-3 of the largest
    np.testing.assert_allclose(got, by_svd(A), rtol=0, atol=1e-8)
    assert np.all(got <= 1)


@pytest.mark.parametrize("law", ["gaussian", "heavy_rows", "lognormal", "two_clusters"])
def test_some_rows_of_many(law):
    A = random_rows(400, 4, law, stream(1))
    np.testing.assert_allclose(gram_leverage(A[:50], A.T @ A), leverage_scores(A)[:50], rtol=1e-9)


def test_columns_of_any_size():
    A = stream(2).standard_normal((20, 3))
    scaled = A * np.array([1e-100, 1.0, 1e100])
    np.testing.assert_allclose(gram_leverage(scaled, scaled.T @ scaled), by_svd(A), rtol=1e-12)


def test_growing_directions():
    # 2^j e_(j mod 4): squares grow by 256 along a direction
    A = np.array([2.0**j * np.eye(4)[j % 4] for j in range(40)])
    np.testing.assert_allclose(gram_leverage(A, A.T @ A)[-4:], 255 / 256, rtol=1e-12)


def test_a_row_beyond_what_rounding_can_tell_scores_one():
    # the last row alone has a part across the diagonal, too small for the Gram matrix to show
    A = np.vstack([np.ones((6, 2)), [[1e-9, -1e-9]]])
    got = gram_leverage(A, A.T @ A)
    assert got[-1] == 1
    np.testing.assert_allclose(got[:-1], 1 / 6, rtol=1e-6)


def test_a_row_along_what_is_known_does_not():
    rng = stream(3)
    A = np.outer(rng.standard_normal(50), rng.standard_normal(5))
    np.testing.assert_allclose(gram_leverage(A, A.T @ A), by_svd(A), rtol=1e-9)


def test_zero_and_nothing():
    assert gram_leverage(np.zeros((3, 2)), np.zeros((2, 2))).tolist() == [0, 0, 0]
    assert gram_leverage(np.zeros((0, 2)), np.eye(2)).shape == (0,)
    assert gram_leverage(np.array([[0.0, 0.0], [3.0, 4.0]]), np.eye(2) * 25).tolist() == [0, 1]


def test_on_every_library(xp):
    A = stream(4).standard_normal((9, 3))
    got = gram_leverage(xp.asarray(A[:4]), xp.asarray(A.T @ A))
    assert got.dtype == xp.float64
    np.testing.assert_allclose(to_host(got), by_svd(A)[:4], rtol=1e-12)
    single = xp.asarray(A, dtype=xp.float32)
    got = gram_leverage(single, single.T @ single)
    assert got.dtype == xp.float32
    np.testing.assert_allclose(to_host(got), by_svd(A), rtol=1e-4)


def test_counts():
    m, d = 7, 3
    with count() as executed:
        gram_leverage(counted(np.ones((m, d))), counted(np.eye(d)))
    with count() as shapes:
        gram_leverage(shape_only(m, d), shape_only(d, d))
    with count() as eigen:
        counting = shape_only(d, d)
        counting.__array_namespace__().linalg.eigh(counting)
    assert executed.multiply_adds == m * d**2 + eigen.multiply_adds
    for name in ("multiply_adds", "arithmetic", "transcendentals", "comparisons"):
        assert getattr(shapes, name) == getattr(executed, name), name


def test_bad_inputs_are_named():
    for rows, gram in [((3,), (3, 3)), ((3, 2), (3, 3)), ((3, 2), (2,)), ((3, 0), (0, 0))]:
        with pytest.raises(ValueError, match="rows of shape"):
            gram_leverage(np.ones(rows), np.ones(gram))
    with pytest.raises(TypeError, match="rows of dtype"):
        gram_leverage(np.ones((3, 2), dtype=int), np.eye(2))
    with pytest.raises(TypeError, match="gram of dtype"):
        gram_leverage(np.ones((3, 2)), np.eye(2, dtype=int))


@pytest.mark.parametrize(("share", "expected"), [(1.5, 0.25), (0.7, 1.0)])
def test_where_the_known_directions_end(share, expected):
    # eigenvalues 1 + c and 1 - c, whose ratio is this share of 8 d times the spacing of 1
    c = 1 - 2 * share * 16 * np.finfo(float).eps
    gram = np.array([[1.0, c], [c, 1.0]])
    row = np.sqrt(0.25 * (1 - c) / 2) * np.array([[1.0, -1.0]])
    assert gram_leverage(row, gram)[0] == pytest.approx(
        expected, rel=0.1
    )  # eigenvalues are right to spacings
