"""Distortion of subspaces and of inner products against the sketch written out as a matrix."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.sketching.distortion import (
    embedding_distortion,
    inner_product_error,
    prefix_inner_products,
)
from touchstone.sketching.gaussian import gaussian_sketch
from touchstone.sketching.sparse_embedding import count_sketch
from touchstone.sketching.srht import srht


def rng(seed=0):
    return np.random.default_rng(seed)


# -- subspaces -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 3])
def test_of_an_orthonormal_basis(family, d):
    U = np.linalg.qr(rng().normal(size=(40, d)))[0]
    S = family(16, 40, rng(1), like=U)
    D = S.columns(range(40))
    values = np.linalg.svd(D @ U, compute_uv=False) ** 2
    assert embedding_distortion(S, U) == pytest.approx(np.max(np.abs(values - 1)), rel=1e-11, abs=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 12), st.integers(0, 10**6))
def test_no_vector_is_distorted_more_and_one_as_much(d, m, seed):
    draw = rng(seed)
    A = draw.normal(size=(20, d)) * draw.uniform(0.1, 10, d)
    S = gaussian_sketch(m, 20, draw, like=A)
    eps = float(embedding_distortion(S, A))
    X = draw.normal(size=(d, 50))
    ratios = np.sum((S @ (A @ X)) ** 2, axis=0) / np.sum((A @ X) ** 2, axis=0)
    assert np.all(np.abs(ratios - 1) <= eps * (1 + 1e-9))
    Q, R = np.linalg.qr(A)
    values, V = np.linalg.eigh((S @ Q).T @ (S @ Q))
    worst = np.linalg.solve(R, V[:, np.argmax(np.abs(values - 1))])
    ratio = np.sum((S @ (A @ worst)) ** 2) / np.sum((A @ worst) ** 2)
    assert abs(ratio - 1) == pytest.approx(eps, rel=1e-7)
    if m < d:
        assert eps >= 1 - 1e-9


def test_an_isometry_and_a_lost_direction():
    A = rng().normal(size=(8, 3))
    assert embedding_distortion(srht(8, 8, rng(1), like=A), A) < 1e-14
    E = np.eye(30)[:, :6]
    lost = [float(embedding_distortion(count_sketch(6, 30, rng(seed), like=E), E)) for seed in range(20)]
    # six coordinates in six rows: two of them in one row give the eigenvalues 0 and 2, three give 3
    assert set(np.round(lost, 12)) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert max(lost) >= 1


# -- inner products --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 4), st.integers(0, 10**6))
def test_of_pairs_of_columns(n, m, k, seed):
    draw = rng(seed)
    G, H = draw.normal(size=(2, n, k))
    S = gaussian_sketch(m, n, draw, like=G)
    D = S.columns(range(n))
    want = [
        (D @ g @ (D @ h) - g @ h) / np.linalg.norm(g) / np.linalg.norm(h)
        for g, h in zip(G.T, H.T, strict=True)
    ]
    np.testing.assert_allclose(inner_product_error(S, G, H), want, atol=1e-12)
    one = inner_product_error(S, G[:, 0], H[:, 0])
    assert one.shape == ()
    assert one == pytest.approx(want[0], abs=1e-12)


def test_smaller_sketches_in_one_go():
    G, H = rng().normal(size=(2, 32, 3))
    S = srht(32, 32, rng(1), like=G)
    got = inner_product_error(S, G, H, rows=[5, 32, 16, 5])
    assert got.shape == (4, 3)
    for m, row in zip((5, 32, 16, 5), got, strict=True):
        # the same state draws the same signs, then the same rows and more of them
        small = srht(m, 32, rng(1), like=G)
        np.testing.assert_allclose(row, inner_product_error(small, G, H), atol=1e-13)
    np.testing.assert_allclose(got[1], 0, atol=1e-14)  # an isometry
    assert inner_product_error(S, G[:, 0], H[:, 0], rows=[4]).shape == (1,)


def test_zero_has_no_error():
    S = gaussian_sketch(3, 5, rng(), like=np)
    G, H = np.zeros((5, 2)), np.ones((5, 2))
    H[:, 1] = 0
    np.testing.assert_array_equal(inner_product_error(S, G, H), 0)


def test_scales_do_not_matter():
    G, H = rng().normal(size=(2, 5, 2))
    S = gaussian_sketch(3, 5, rng(1), like=G)
    want = inner_product_error(S, G, H)
    np.testing.assert_allclose(inner_product_error(S, 1e100 * G, 1e-80 * H), want, rtol=1e-12)
    np.testing.assert_allclose(inner_product_error(S, -G, H), -want, rtol=1e-12)


def test_prefixes():
    X, Y = rng().normal(size=(2, 7, 2))
    got = prefix_inner_products(X, Y, [7, 1, 4])
    for m, row in zip((7, 1, 4), got, strict=True):
        np.testing.assert_allclose(row, 7 / m * np.sum(X[:m] * Y[:m], axis=0), rtol=1e-13)
    assert prefix_inner_products(X[:, 0], Y[:, 0], (2,)).shape == (1,)
    assert prefix_inner_products(X[:, 0], Y[:, 0], np.array([2, 3])).shape == (2,)


def test_on_every_library(xp):
    A, G, H = (rng(k).normal(size=(16, 3)) for k in range(3))
    S, T = (srht(6, 16, rng(3), like=like) for like in (xp, np))
    got = embedding_distortion(S, xp.asarray(A))
    assert float(got) == pytest.approx(float(embedding_distortion(T, A)), rel=1e-10)
    got = inner_product_error(S, xp.asarray(G), xp.asarray(H), rows=[2, 6])
    np.testing.assert_allclose(to_host(got), inner_product_error(T, G, H, rows=[2, 6]), atol=1e-12)


def test_shapes_alone_cost_the_same():
    def cost(make):
        with count() as costs:
            S = srht(8, 16, rng(), like=make(1))
            inner_product_error(S, make(16, 3), make(16, 3), rows=[2, 8])
            embedding_distortion(S, make(16, 3))
        return costs.operations, costs.moves

    A = rng().normal(size=(16, 3))
    assert cost(lambda *s: counted(A[:, 0][: s[0]] if len(s) == 1 else A)) == cost(lambda *s: shape_only(s))


def test_prefixes_cost_two_operations_an_entry():
    with count() as costs:
        prefix_inner_products(shape_only((64, 3)), shape_only((64, 3)), [8, 16, 64])
    # products, sums over blocks of rows, three additions and three scalings of three numbers
    assert 2 * 64 * 3 <= costs.operations <= 2 * 64 * 3 + 3 * 2 * 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"rows=\[\]"),
        ([0], r"rows=\[0\]"),
        ([8], r"rows=\[8\]: expected at least one integer in \[1, 7\]"),
        ([2.0], "rows="),
        ([True], "rows="),
    ],
)
def test_rows_that_are_not_there(rows, message):
    with pytest.raises(ValueError, match=message):
        prefix_inner_products(np.ones((7, 2)), np.ones((7, 2)), rows)


def test_refusals():
    S = srht(4, 8, rng(), like=np)
    with pytest.raises(ValueError, match=r"A of shape \(8,\)"):
        embedding_distortion(S, np.ones(8))
    with pytest.raises(ValueError, match="positive definite"):
        embedding_distortion(S, np.ones((8, 2)))
    with pytest.raises(ValueError, match=r"H of shape \(8, 1\): expected \(8, 2\)"):
        inner_product_error(S, np.ones((8, 2)), np.ones((8, 1)))
    with pytest.raises(ValueError, match="X and Y of shapes"):
        prefix_inner_products(np.ones((7, 2)), np.ones((7, 1)), [1])
    with pytest.raises(ValueError, match="X and Y of shapes"):
        prefix_inner_products(np.ones((7, 2, 1)), np.ones((7, 2, 1)), [1])
    with pytest.raises(TypeError, match="Y of dtype complex"):
        prefix_inner_products(np.ones(7), np.ones(7, dtype=complex), [1])
    assert math.isfinite(embedding_distortion(S, np.eye(8)[:, :2]))
