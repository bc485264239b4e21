"""One row moves: the change of the scores by brute force, and the bound on every neighbour that a search
finds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import normal, stream, to_host
from touchstone.geometry.john_sensitivity import moved_row, risky_moves, score_change_bounds, score_changes


def score_change(A, w, row, step):
    return score_changes(A, w, [(row, step)], 1.0)[0]


def score_change_bound(A, w, row, distance, **given):
    return score_change_bounds(A, w, [row], distance, **given)[0]


def leverage_reference(A, w):
    """Squared row norms of the orthogonal factor."""
    Q, _ = np.linalg.qr(np.sqrt(w)[:, None] * A)
    return np.sum(Q * Q, axis=1)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(0, 20), st.integers(0, 10**6), st.floats(-5, 0.5))
def test_the_bound_holds_for_every_neighbour_and_the_change_is_the_definition(d, more, seed, exponent):
    rng = np.random.default_rng(seed)
    n, distance = d + more, 10.0**exponent
    A, w = rng.standard_normal((n, d)), rng.uniform(0.05, 1, n)
    for row in range(n):
        step = rng.standard_normal(d)
        step *= distance / np.linalg.norm(step)
        bound = score_change_bound(A, w, row, distance)
        moved = A.copy()
        moved[row] += step
        np.testing.assert_array_equal(moved_row(A, row, step), moved)
        change = score_change(A, w, row, step)
        assert change <= bound * (1 + 1e-9)
        if math.isfinite(bound) and distance > 1e-3:
            expected = np.log(leverage_reference(moved, w) / leverage_reference(A, w))
            assert change == pytest.approx(np.linalg.norm(expected), rel=1e-6, abs=1e-9)


def test_the_bound_is_its_formula():
    A, w = np.diag([2.0, 1.0]), np.array([0.5, 0.25])  # M = diag(2, 1/4)
    alpha, beta = math.sqrt(2.0), 0.1 / math.sqrt(0.25)
    eta = 0.5 * (2 * alpha * beta + beta**2)
    expected = -math.sqrt(2) * math.log(1 - eta) - 2 * math.log(1 - beta / alpha)
    assert score_change_bound(A, w, 0, 0.1) == pytest.approx(expected, rel=1e-14)
    beta = 0.1 / math.sqrt(2.0)
    eta = 0.5 * (2 * alpha * beta + beta**2)
    expected = -math.sqrt(2) * math.log(1 - eta) - 2 * math.log(1 - beta / alpha)
    assert score_change_bound(A, w, 0, 0.1, eigenvalue=2.0) == pytest.approx(expected, rel=1e-14)
    assert score_change_bound(A, w, 0, 0.0) == 0


def test_the_bound_is_infinite_where_its_argument_ends():
    A, w = np.eye(2), np.array([1.0, 1e-6])
    assert math.isfinite(score_change_bound(A, w, 1, 1e-4))
    assert score_change_bound(A, w, 1, 1.0) == math.inf  # β = 10³ = α: the row may become zero
    heavy = np.array([1.0, 1.0])
    assert score_change_bound(A, heavy, 0, math.sqrt(2) - 1 - 1e-9) < math.inf
    assert score_change_bound(A, heavy, 0, math.sqrt(2) - 1 + 1e-9) == math.inf  # η = 1


def test_rows_of_zero_weight_and_zero_rows():
    A = np.concatenate([np.eye(2), [[0.3, 0.4]], [[0.0, 0.0]]])
    w = np.array([1.0, 1.0, 0.0, 0.0])
    # stretching a row of weight 0 changes its own score only, by twice the logarithm of the stretch
    assert score_change(A, w, 2, np.array([0.3, 0.4])) == pytest.approx(2 * math.log(2), rel=1e-12)
    assert score_change(A, w, 2, np.zeros(2)) == 0
    with np.errstate(divide="ignore"):
        assert score_change(A, w, 3, np.array([1e-3, 0])) == math.inf


def test_the_search_takes_the_rows_that_a_bound_singles_out():
    rng = stream(0, "moves")
    A, w = rng.standard_normal((40, 3)) * np.array([1.0, 1.0, 0.01]), rng.uniform(0.1, 1, 40)
    A[7] = [0.0, 0.0, 1e-3]  # least norm, but in the direction in which all are short
    w[21] = 2.0  # largest weight
    A[30, 2] = 0.0  # short in the weak direction: least width
    A[30, :2] *= 0.01
    moves = risky_moves(A, w, 30, np.random.default_rng(0))
    assert len(moves) == 30
    rows = [row for row, _ in moves]
    assert rows[::3] == rows[1::3] == rows[2::3]
    assert rows[0] == 7
    assert rows[3] == 21
    widths = leverage_reference(A, w) / w
    assert rows[6] == np.argmin(widths) != 7
    assert len(set(rows)) > 6
    for _, direction in moves:
        assert np.linalg.norm(direction) == pytest.approx(1)
    np.testing.assert_allclose(moves[3][1], A[21] / np.linalg.norm(A[21]))
    assert abs(moves[4][1][2]) > 0.99  # the eigenvector of the smallest eigenvalue
    assert len(risky_moves(A, w, 10, np.random.default_rng(0))) == 10
    again = risky_moves(A, w, 30, np.random.default_rng(0))
    assert all(i == j and np.array_equal(x, y) for (i, x), (j, y) in zip(moves, again, strict=True))


def test_a_zero_row_moves_along_the_weak_direction():
    A = np.concatenate([np.diag([1.0, 0.1]), np.zeros((1, 2))])
    (row, first), *_ = risky_moves(A, np.ones(3), 9, np.random.default_rng(0))
    assert row == 2
    np.testing.assert_allclose(np.abs(first), [0, 1], atol=1e-12)


def test_on_every_library(xp):
    A, w = normal(stream(0, "sensitive"), (9, 3), like=xp), xp.ones(9) / 3
    host, ones = to_host(A), np.ones(9) / 3
    moves, on_host = (risky_moves(x, v, 9, np.random.default_rng(1)) for x, v in ((A, w), (host, ones)))
    rows = [row for row, _ in moves]
    assert rows == [row for row, _ in on_host]
    found = score_changes(A, w, moves, 0.01), score_change_bounds(A, w, rows, 0.01)
    expected = score_changes(host, ones, on_host, 0.01), score_change_bounds(host, ones, rows, 0.01)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert found[0].shape == (9,)
    assert np.all(found[0] <= found[1])


def test_bad_arguments():
    A, w = np.eye(2), np.ones(2)
    for row in (-1, 2):
        with pytest.raises(ValueError, match=r"^row=.*expected a row of A, 0 .. 1"):
            score_change(A, w, row, np.zeros(2))
    for distance in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^distance=.*finite number >= 0"):
            score_change_bound(A, w, 0, distance)
    with pytest.raises(ValueError, match=r"^count=8: expected an integer >= 9"):
        risky_moves(A, w, 8, np.random.default_rng(0))
