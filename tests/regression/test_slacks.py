"""Rows over their slacks, against the n × n matrices formed and against fifty digits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import as_array_like, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.regression import slacks
from touchstone.regression.slacks import (
    cubic_form,
    pair_moments,
    row_form,
    scaled_rows,
    spread_moments,
    squared_projection,
)


def instance(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), -1.5 - rng.uniform(size=n), 0.1 * rng.normal(size=d), rng


def formed(A, b, x):
    """Slacks, A_x and P, everything formed; real or complex."""
    s = A @ x - b
    rows = np.diag(1 / s) @ A
    return s, rows, rows @ np.linalg.inv(rows.T @ rows) @ rows.T


def exact_scores(A, s):
    """To fifty digits."""
    with mpmath.workdps(50):
        rows = mpmath.matrix(
            [[mpmath.mpf(a) / mpmath.mpf(t) for a in row] for row, t in zip(A, s, strict=True)]
        )
        inverse = (rows.T * rows) ** -1
        P = rows * inverse * rows.T
        return np.array([float(P[i, i]) for i in range(len(s))])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(1, 3), st.booleans(), st.integers(0, 10**6))
def test_all_parts_are_those_of_the_formed_matrices(d, more, c, is_complex, seed):
    A, b, x, rng = instance(d + more, d, seed)
    if is_complex:
        x = x + 0.1j * rng.normal(size=d)
    weights, M = rng.normal(size=d + more), rng.normal(size=(d + more, c))
    s, rows, P = formed(A, b, x)
    squared = P * P
    got = scaled_rows(A, b, x)
    # rounding: the factors are well conditioned, the references lose cond(rows)^2 < 1e6
    near = {"rtol": 1e-9, "atol": 1e-9 * max(1, np.max(np.abs(rows)) ** 3)}
    np.testing.assert_allclose(got.slacks, s, rtol=1e-13)
    np.testing.assert_allclose(got.rows, rows, rtol=1e-13)
    np.testing.assert_allclose(got.scores, np.diag(P), **near)
    np.testing.assert_allclose(got.basis @ got.dual.T, P, **near)
    np.testing.assert_allclose(got.dual @ got.basis.T, P, **near)
    np.testing.assert_allclose(got.gram_inverse @ (got.basis.T @ got.basis), np.eye(d), atol=1e-12)
    np.testing.assert_allclose(squared_projection(got, M), squared @ M, **near)
    np.testing.assert_allclose(row_form(got, weights), rows.T @ np.diag(weights) @ rows, **near)
    moments = pair_moments(got, got.rows)
    np.testing.assert_allclose(spread_moments(got, moments), squared @ rows, **near)
    form = rows.T @ (P * (P @ np.diag(weights) @ P)) @ rows
    np.testing.assert_allclose(cubic_form(got, weights, moments), form, **near)


def test_moments_are_sums_over_rows():
    A, b, x, rng = instance(7, 3)
    got, M = scaled_rows(A, b, x), rng.normal(size=(7, 2))
    moments = pair_moments(got, M)
    assert moments.shape == (9, 2)
    for j in range(3):
        for k in range(3):
            expected = sum(got.basis[i, j] * got.basis[i, k] * M[i] for i in range(7))
            np.testing.assert_allclose(moments[3 * j + k], expected, atol=1e-14)


def test_real_points_get_an_orthonormal_basis():
    A, b, x, _ = instance(9, 3)
    got = scaled_rows(A * [1e-6, 1, 1e6], b, x / [1e-6, 1, 1e6])
    np.testing.assert_allclose(got.basis.T @ got.basis, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(got.scores, scaled_rows(A, b, x).scores, rtol=1e-12)


def test_scores_are_those_of_a_projection():
    A, b, x, _ = instance(12, 4)
    got = scaled_rows(A, b, x)
    assert np.sum(got.scores) == pytest.approx(4, abs=1e-13)
    np.testing.assert_allclose(squared_projection(got, np.ones((12, 1)))[:, 0], got.scores, atol=1e-14)


def test_as_many_rows_as_columns_score_one_each():
    A, b, x, _ = instance(4, 4)
    np.testing.assert_allclose(scaled_rows(A, b, x).scores, np.ones(4), atol=1e-13)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-12])
def test_scores_keep_their_digits_where_a_slack_is_tiny(gap):
    A, _, _, rng = instance(30, 3)
    s = rng.uniform(0.5, 1.5, 30)
    s[17] = gap
    # x = 0: the slacks are -b, exactly
    np.testing.assert_allclose(scaled_rows(A, -s, np.zeros(3)).scores, exact_scores(A, s), atol=2e-14)


def test_the_gram_matrix_would_lose_them():
    # the control of the test above: what the sorted factorisation is for
    A, _, _, rng = instance(30, 3)
    s = rng.uniform(0.5, 1.5, 30)
    s[17] = 1e-8
    rows = A / s[:, None]
    scores = np.sum(rows @ np.linalg.inv(rows.T @ rows) * rows, axis=1)
    assert np.max(np.abs(scores - exact_scores(A, s))) > 1e-4


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_huge_and_tiny_slacks_change_nothing(scale):
    A, b, x, _ = instance(10, 3)
    got = scaled_rows(scale * A, scale * b, x)
    np.testing.assert_allclose(got.scores, scaled_rows(A, b, x).scores, rtol=1e-13)


@pytest.mark.parametrize("is_complex", [False, True])
def test_batches_of_points_are_the_points_one_by_one(is_complex):
    A, b, _, rng = instance(8, 3)
    X = 0.1 * rng.normal(size=(2, 3, 3))
    if is_complex:
        X = X + 0.1j * rng.normal(size=X.shape)
    weights, M = rng.normal(size=(2, 3, 8)), rng.normal(size=(2, 3, 8, 2))
    got = scaled_rows(A, b, X)
    moments = pair_moments(got, got.rows)
    batch = [
        *(got.slacks, got.scores, got.rows, squared_projection(got, M)),
        *(row_form(got, weights), cubic_form(got, weights, moments)),
    ]
    for i, j in np.ndindex(2, 3):
        one = scaled_rows(A, b, X[i, j])
        single = [
            *(one.slacks, one.scores, one.rows, squared_projection(one, M[i, j])),
            row_form(one, weights[i, j]),
            cubic_form(one, weights[i, j], pair_moments(one, one.rows)),
        ]
        for many, alone in zip(batch, single, strict=True):
            np.testing.assert_allclose(many[i, j], alone, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_blocks_of_rows_change_nothing(monkeypatch, lead):
    A, b, _, rng = instance(23, 2)
    got, M = scaled_rows(A, b, 0.1 * rng.normal(size=(*lead, 2))), rng.normal(size=(*lead, 23, 2))
    whole = squared_projection(got, M)
    seen = []
    pairs = slacks._pairs
    monkeypatch.setattr(slacks, "_pairs", lambda U: seen.append(U.shape[-2]) or pairs(U))
    monkeypatch.setattr(slacks, "BLOCK_ENTRIES", 4 * 5 * (3 if lead else 1))
    np.testing.assert_allclose(squared_projection(got, M), whole, atol=1e-14)
    assert seen == 2 * [5, 5, 5, 5, 3]


def test_a_block_holds_one_row_at_least(monkeypatch):
    monkeypatch.setattr(slacks, "BLOCK_ENTRIES", 1)
    A, b, x, _ = instance(6, 2)
    got = scaled_rows(A, b, x)
    P = got.basis @ got.dual.T
    np.testing.assert_allclose(squared_projection(got, A), P * P @ A, atol=1e-14)


def test_a_block_holds_as_many_products_as_it_says(monkeypatch):
    seen = []
    monkeypatch.setattr(slacks, "map_rows", lambda f, *arrays, block, reduce: seen.append(block) or arrays[0])
    A, b, x, _ = instance(6, 2)
    squared_projection(scaled_rows(A, b, x), A)
    squared_projection(scaled_rows(A, b, np.zeros((8, 2))), np.zeros((8, 6, 1)))
    assert seen == [2**17 // 4] * 2 + [2**17 // 32] * 2


def test_on_every_library(xp):
    A, b, x, rng = instance(9, 3)
    weights = rng.normal(size=9)
    for point in (x, np.stack([x, -x]), x + 0.1j):
        expected = scaled_rows(A, b, point)
        got = scaled_rows(*(as_array_like(v, xp) for v in (A, b, point)))
        np.testing.assert_allclose(to_host(got.scores), expected.scores, atol=1e-13)
        if point.ndim == 1:
            w = as_array_like(weights, xp)
            form = cubic_form(got, w, pair_moments(got, got.rows))
            by_numpy = cubic_form(expected, weights, pair_moments(expected, expected.rows))
            np.testing.assert_allclose(to_host(form), by_numpy, atol=1e-12)


def test_counts_without_data_are_the_counts_with_it():
    n, d = 40, 3
    A, b, x, rng = instance(n, d)
    w = rng.normal(size=n)

    def run(*arrays):
        A, b, x, w = arrays
        with count() as costs:
            scaled = scaled_rows(A, b, x)
            before = costs.multiply_adds
            cubic_form(scaled, w, pair_moments(scaled, scaled.rows))
            after = costs.multiply_adds
            squared_projection(scaled, A)
        return before, after - before, costs.multiply_adds - after, costs.operations

    real = run(*(counted(v) for v in (A, b, x, w)))
    assert real == run(shape_only(n, d), shape_only(n), shape_only(d), shape_only(n))
    # moments n d^3; the form n d^2 (middle) + d^4 (G times moments) + d^4 (middle times cube) + d^4
    assert real[1] == n * d**3 + n * d**2 + 3 * d**4
    assert real[2] == 2 * n * d**3


def test_shapes_that_do_not_fit():
    A, b, x, _ = instance(5, 2)
    for bad in (A[0], A[:1], A[:, :0]):
        with pytest.raises(ValueError, match="A of shape"):
            scaled_rows(bad, b, x)
    for bad in (b[:4], b[:, None]):
        with pytest.raises(ValueError, match="b of shape"):
            scaled_rows(A, bad, x)
    for bad in (x[:1], x[0], np.zeros((2, 3))):
        with pytest.raises(ValueError, match="x of shape"):
            scaled_rows(A, b, bad)
    assert scaled_rows(A[:2], b[:2], x).scores.shape == (2,)


def test_points_without_scores():
    A, b, _, _ = instance(5, 2)
    on_a_hyperplane = b.copy()
    on_a_hyperplane[3] = 0.0
    for bad in (np.array([np.nan, 0]), np.array([np.inf, 0]), np.array([[1.0, 1.0], [np.nan, 1.0]])):
        with (
            pytest.raises(ValueError, match="Ax - b finite and without a zero"),
            np.errstate(invalid="ignore"),
        ):
            scaled_rows(A, b, bad)
    with pytest.raises(ValueError, match="Ax - b finite and without a zero"):
        scaled_rows(A, on_a_hyperplane, np.zeros(2))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(0, 20), st.integers(0, 10**6))
def test_dependent_columns(d, more, seed):
    A, b, x, rng = instance(d + more, d, seed)
    A[:, -1] = A[:, :-1] @ rng.normal(size=d - 1)
    with pytest.raises(ValueError, match="full rank"):
        scaled_rows(A, b, x)


@pytest.mark.parametrize(("ulps", "refused"), [(31, True), (33, False)])
def test_where_rank_ends(ulps, refused):
    # R is A itself: its last entry is held against 16 roundings a column, the columns being of length 1
    A = np.array([[1.0, 1.0], [0.0, ulps * np.finfo(float).eps], [0.0, 0.0]])
    if refused:
        with pytest.raises(ValueError, match="full rank"):
            scaled_rows(A, -np.ones(3), np.zeros(2))
    else:
        np.testing.assert_allclose(scaled_rows(A, -np.ones(3), np.zeros(2)).scores, [1, 1, 0], atol=1e-15)


def test_nearly_dependent_columns_are_accepted():
    A, b, x, _ = instance(12, 2)
    A[:, 1] = A[:, 0] * (1 + 1e-11 * A[:, 1])
    assert np.sum(scaled_rows(A, b, x).scores) == pytest.approx(2, abs=1e-13)
