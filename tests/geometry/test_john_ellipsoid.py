"""The John iteration: CVXPY as the referee of the largest ellipsoid, slow references, and the theorem's
bound."""

import math

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import normal, stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.geometry.john_ellipsoid import (
    ellipsoid_contains,
    ellipsoid_gauge,
    john_violation,
    john_weights,
    squared_widths,
)
from touchstone.linalg.leverage import leverage_scores


def widths_reference(A, w):
    """One row at a time, by least squares: the shortest z with (√w A)ᵀ z = a has ‖z‖² = aᵀ M⁻¹ a."""
    B = np.sqrt(w)[:, None] * A
    return np.array([np.sum(np.linalg.lstsq(B.T, a, rcond=None)[0] ** 2) for a in A])


def largest_ellipsoid(A):
    """B of the ellipsoid {B u : ‖u‖ <= 1} of largest volume in |A x| <= 1, by conic programming."""
    d = A.shape[1]
    B = cvxpy.Variable((d, d), PSD=True)
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.log_det(B)), [cvxpy.norm(B @ a, 2) <= 1 for a in A])
    problem.solve(solver="CLARABEL")
    return B.value


def gaussian(n, d, *labels):
    return stream(0, "john", n, d, *labels).standard_normal((n, d))


# -- the largest ellipsoid -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d", "scale"), [(12, 2, 1.0), (30, 3, 1.0), (40, 4, 100.0)])
def test_the_ellipsoid_is_the_one_of_largest_volume(n, d, scale):
    A = gaussian(n, d) * np.geomspace(1, scale, d)
    B = largest_ellipsoid(A)
    v = john_weights(A, 4000).average
    xi = john_violation(A, v)
    # E(v) / √(1 + ξ) lies in P, and no ellipsoid in P beats E(v): the volumes are within (1 + ξ)^(d/2)
    volume, best = -0.5 * np.linalg.slogdet(A.T @ (v[:, None] * A))[1], np.linalg.slogdet(B)[1]
    assert xi <= (n / d) ** (1 / 4000) - 1
    assert volume - d / 2 * math.log1p(xi) - 1e-6 <= best <= volume + 1e-6
    # and the shapes agree, M(w*)⁻¹ = B²; an excess of ξ in the objective moves the matrix by O(√ξ)
    root = np.linalg.cholesky(A.T @ (v[:, None] * A))
    assert np.max(np.abs(root.T @ B @ B @ root - np.eye(d))) < 2 * math.sqrt(d * xi) + 1e-5


def test_known_ellipsoids():
    # the cube, and a box: the contact points are the coordinate rows, and repeats share a weight
    box = np.diag([1.0, 2.0, 0.5])
    assert np.array_equal(john_weights(box, 1).average, np.ones(3))
    assert john_violation(box, np.ones(3)) == pytest.approx(0, abs=1e-15)
    repeated = np.concatenate([box, -box, box])
    np.testing.assert_allclose(john_weights(repeated, 5).average, np.full(9, 1 / 3), rtol=1e-14)
    # a row that is no constraint loses its weight, geometrically
    slack = np.concatenate([np.eye(2), [[0.3, 0.3]]])
    run = john_weights(slack, 300)
    assert run.last[2] < 1e-30
    np.testing.assert_allclose(run.last[:2], 1.0, rtol=1e-12)


# -- the iteration -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 1), (5, 5), (40, 3)])
def test_the_iteration_word_for_word(n, d):
    A, rounds = gaussian(n, d), 6
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, (rounds, n))
    w, kept = np.full(n, d / n), []
    for k in range(rounds):
        kept.append(w)
        w = w * widths_reference(A, w) * (1 + noise[k])
    mean = sum(kept) / rounds
    run = john_weights(
        A, rounds, perturb=lambda s, k: s * (1 + noise[k - 1]), record=lambda k, w, u: (k, w, u)
    )
    np.testing.assert_allclose(run.average, mean * d / mean.sum(), rtol=1e-10)
    np.testing.assert_allclose(run.last, kept[-1], rtol=1e-10)
    assert [k for k, _, _ in run.trace] == list(range(1, rounds + 1))
    for k, (_, w, u) in enumerate(run.trace):
        np.testing.assert_allclose(w, kept[k], rtol=1e-10)
        np.testing.assert_allclose(u, sum(kept[: k + 1]) / (k + 1), rtol=1e-10)


def test_scores_may_be_replaced_and_nothing_is_recorded_unasked():
    A = gaussian(20, 3)
    seen = []

    def scores(A, w):
        seen.append(w)
        return leverage_scores(A, w)

    run = john_weights(A, 4, scores=scores)
    assert len(seen) == 3
    assert run.trace == []
    np.testing.assert_array_equal(run.average, john_weights(A, 4).average)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 20), st.integers(1, 60), st.integers(0, 10**6))
def test_the_bound_of_the_theorem(d, more, rounds, seed):
    n = d + more
    A = np.random.default_rng(seed).standard_normal((n, d))
    run = john_weights(A, rounds, record=lambda k, w, u: float(np.sum(w)))
    assert run.trace == pytest.approx([d] * rounds, rel=1e-9)
    assert np.sum(run.average) == pytest.approx(d, rel=1e-12)
    assert -1e-9 <= john_violation(A, run.average) <= (n / d) ** (1 / rounds) - 1 + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 10**6))
def test_affine_maps_of_the_polytope_change_no_weight(d, seed):
    rng = np.random.default_rng(seed)
    A, T = rng.standard_normal((4 * d, d)), rng.standard_normal((d, d)) + 3 * np.eye(d)
    np.testing.assert_allclose(john_weights(A, 10).average, john_weights(A @ T, 10).average, rtol=1e-6)


def test_a_batch_of_runs_is_many_runs():
    A = gaussian(30, 3)
    start = np.random.default_rng(0).uniform(0.1, 1, (2, 4, 30))
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (5, 2, 4, 30))
    run = john_weights(A, 6, start=start, perturb=lambda s, k: s * (1 + noise[k - 1]))
    assert run.average.shape == (2, 4, 30)
    for at in np.ndindex(2, 4):
        one = john_weights(A, 6, start=start[at], perturb=lambda s, k, at=at: s * (1 + noise[(k - 1, *at)]))
        np.testing.assert_allclose(run.average[at], one.average, rtol=1e-11)
        np.testing.assert_allclose(run.last[at], one.last, rtol=1e-11)


def test_weights_that_would_be_denormal_are_zero():
    A = np.concatenate([np.eye(2), [[1e-3, 0.0]]])
    run = john_weights(A, 60)  # the last row's weight falls by 10⁻⁶ a step
    assert run.last[2] == 0.0
    assert john_weights(A, 20).last[2] > 0
    single = john_weights(A.astype(np.float32), 20)
    assert single.average.dtype == np.float32
    assert single.last[2] == 0.0


# -- widths, violation, gauge --------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 15), st.integers(0, 10**6))
def test_widths_against_least_squares(d, more, seed):
    rng = np.random.default_rng(seed)
    n = d + more
    A, w = rng.standard_normal((n, d)), rng.uniform(0, 2, n)
    w[rng.permutation(n)[: more // 2]] = 0
    expected = widths_reference(A, w)
    cond = np.linalg.cond(np.sqrt(w)[:, None] * A)
    np.testing.assert_allclose(squared_widths(A, w), expected, rtol=1e-14 * (10 + cond**2))
    assert np.sum(w * squared_widths(A, w)) == pytest.approx(d, rel=1e-13 * (10 + cond**2))
    assert john_violation(A, w) == np.max(squared_widths(A, w)) - 1
    if cond < 1e4:
        np.testing.assert_allclose(w * squared_widths(A, w), leverage_scores(A, w), rtol=1e-6, atol=1e-9)


def test_columns_of_very_different_length_lose_nothing():
    A, w = gaussian(30, 4), np.ones(30)
    stretched = A * np.array([1e-80, 1.0, 1e80, 1e-150])
    np.testing.assert_allclose(squared_widths(stretched, w), squared_widths(A, w), rtol=1e-12)
    np.testing.assert_allclose(
        squared_widths(stretched, np.stack([w, 3 * w])), squared_widths(A, np.stack([w, 3 * w])), rtol=1e-12
    )


def test_a_batch_too_large_for_a_table_is_done_one_by_one(monkeypatch):
    A, w = gaussian(30, 3), np.random.default_rng(2).uniform(0.1, 1, (2, 3, 30))
    together = squared_widths(A, w)
    monkeypatch.setattr("touchstone.geometry.john_ellipsoid.PRODUCTS_HELD", 30 * 9 - 1)
    apart = squared_widths(A, w)
    np.testing.assert_allclose(together, apart, rtol=1e-12)
    assert np.array_equal(apart[1, 2], squared_widths(A, w[1, 2]))


def test_gauge_and_membership():
    A = np.diag([1.0, 0.5])  # E(w) at w = (1, 4): x² + y² <= 1
    w = np.array([1.0, 4.0])
    X = np.array([[0.6, 0.8], [0.0, 0.0], [1.01, 0.0], [-0.6, -0.7]])
    np.testing.assert_allclose(ellipsoid_gauge(A, w, X), [1.0, 0.0, 1.01, math.hypot(0.6, 0.7)], rtol=1e-15)
    assert ellipsoid_contains(A, w, X, rtol=1e-15).tolist() == [True, True, False, True]
    assert ellipsoid_contains(A, w, X, scale=1.1).tolist() == [True, True, True, True]
    assert ellipsoid_contains(A, w, X, scale=0.95).tolist() == [False, True, False, True]
    assert ellipsoid_contains(A, w, X[2:3], rtol=0.0101).tolist() == [True]
    assert ellipsoid_contains(A, w, X[2:3], rtol=0.0099).tolist() == [False]


@pytest.mark.parametrize("d", [1, 2, 4])
def test_the_ellipsoid_lies_between(d):
    A = gaussian(25, d)
    v = john_weights(A, 50).average
    G = gaussian(500, d, "directions")
    boundary = G / np.max(np.abs(G @ A.T), axis=1)[:, None]  # of the polytope
    assert np.all(ellipsoid_contains(A, v, boundary, scale=math.sqrt(d), rtol=1e-12))
    inside = G / ellipsoid_gauge(A, v, G)[:, None] / math.sqrt(1 + max(john_violation(A, v), 0))
    assert np.max(np.abs(inside @ A.T)) <= 1 + 1e-12


# -- every array library, exact counts -----------------------------------------------------------------------


def test_on_every_library(xp):
    A = normal(stream(0, "libraries"), (12, 3), like=xp)
    host = to_host(A)
    start = xp.ones((2, 12)) / 4
    X = normal(stream(0, "points"), (5, 3), like=xp)
    run = john_weights(A, 5)
    batch = john_weights(A, 5, start=start)
    np.testing.assert_allclose(to_host(run.average), john_weights(host, 5).average, rtol=1e-11)
    np.testing.assert_allclose(to_host(batch.average)[1], john_weights(host, 5).average, rtol=1e-11)
    assert float(john_violation(A, run.average)) == pytest.approx(john_violation(host, to_host(run.average)))
    assert to_host(ellipsoid_contains(A, run.average, X)).shape == (5,)


def test_counts_are_those_of_the_shapes():
    def work(A, w, batch, X):
        squared_widths(A, w)
        john_violation(A, batch)
        ellipsoid_contains(A, w, X)
        john_weights(A, 3, scores=lambda A, w: w * squared_widths(A, w))

    tallies = []
    for make in (counted, lambda x: shape_only(*x.shape)):
        with count() as costs:
            work(*(make(x) for x in (gaussian(20, 3), np.ones(20), np.ones((4, 20)), gaussian(7, 3))))
        tallies.append((costs.multiply_adds, costs.arithmetic, costs.transcendentals, costs.products))
    assert tallies[0] == tallies[1]


def test_products_of_one_and_of_many():
    n, d, runs = 40, 4, 6

    def multiply_adds(w):
        with count() as costs:
            squared_widths(shape_only(n, d), w)
        return sum(p.m * p.k * p.n * p.count for p in costs.products)

    assert multiply_adds(shape_only(n)) == 2 * n * d * d
    assert multiply_adds(shape_only(runs, n)) == runs * (2 * n * d * d + d**3)


# -- bad input -----------------------------------------------------------------------------------------------

GOOD = np.eye(3)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.ones(3), r"A of shape \(3,\): expected \(n, d\)"),
        (np.ones((2, 3)), r"A of shape \(2, 3\): expected \(n, d\) with n >= d >= 1"),
        (np.ones((3, 0)), r"A of shape \(3, 0\)"),
        (np.eye(3, dtype=int), r"A of dtype int64: expected real"),
        (np.eye(3) * 1j, r"A of dtype complex128"),
        (np.array([[1.0], [np.nan]]), r"A: expected finite entries"),
        (np.array([[1.0], [np.inf]]), r"A: expected finite entries"),
        ([[1.0]], r"A of shape \(\)"),
    ],
)
def test_bad_matrices(A, message):
    for call in (lambda: john_weights(A, 2), lambda: squared_widths(A, np.ones(3))):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("w", [np.ones(2), np.float64(1.0), np.array([1, -1, 1.0]), np.array([1, np.nan, 1])])
def test_bad_weights(w):
    with pytest.raises(ValueError, match=r"^w.*expected"):
        squared_widths(GOOD, w)
    with pytest.raises(ValueError, match=r"^start.*expected"):
        john_weights(GOOD, 2, start=w)
    with pytest.raises(ValueError, match=r"^w.*expected"):
        ellipsoid_gauge(GOOD, w, GOOD)


@pytest.mark.parametrize("rounds", [0, -1, 1.5, True, "3"])
def test_bad_rounds(rounds):
    with pytest.raises(ValueError, match=r"^rounds=.*expected an integer >= 1"):
        john_weights(GOOD, rounds)


def test_rows_that_do_not_span():
    flat = np.ones((5, 2))
    almost = flat + 1e-9 * np.arange(10).reshape(5, 2) ** 2  # beyond what a Gram matrix can tell
    for A, w in [
        (flat, np.ones(5)),
        (almost, np.ones(5)),
        (np.zeros((3, 2)), np.ones(3)),
        (GOOD, np.array([1.0, 1.0, 0.0])),
        (GOOD, np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])),
    ]:
        with pytest.raises(ValueError, match=r"span all \d dimensions"):
            squared_widths(A, w)


def test_bad_gauges():
    for w, X in [(np.ones(3), np.ones((2, 2))), (np.ones(3), np.ones(3)), (np.ones((2, 3)), GOOD)]:
        with pytest.raises(ValueError, match=r"expected \(3,\) and \(m, 3\)"):
            ellipsoid_gauge(GOOD, w, X)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^scale=.*expected a finite number > 0"):
            ellipsoid_contains(GOOD, np.ones(3), GOOD, scale=scale)
    for rtol in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^rtol=.*expected a finite number >= 0"):
            ellipsoid_contains(GOOD, np.ones(3), GOOD, rtol=rtol)
