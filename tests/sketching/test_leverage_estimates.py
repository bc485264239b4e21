"""Sketched leverage scores against exact ones: within what the distortion and the Gaussian columns allow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.instances.matrices import matrix_with_spectrum, random_rows
from touchstone.linalg.leverage import leverage_scores
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching.leverage_estimates import estimate_leverage_scores
from touchstone.sketching.sparse_embedding import osnap

ALARM = 1e-6


class Identity:
    """The sketch that keeps everything."""

    def __init__(self, n):
        self.shape = (n, n)

    def __matmul__(self, A):
        return A.dense() if isinstance(A, SparseRows) else A


class Draws:
    """A generator of the orthonormal columns times the root of their number: lengths are kept exactly."""

    def standard_normal(self, shape):
        rank, q = shape
        return np.sqrt(q) * np.eye(rank, q)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 20),
    d=st.integers(1, 6),
    rank=st.integers(1, 6),
    weighted=st.booleans(),
    ridge=st.sampled_from([0.0, 0.5]),
    workers=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_without_a_sketch_and_randomness_they_are_exact(n, d, rank, weighted, ridge, workers, seed):
    rng = stream(seed)
    rank = min(n, d, rank)
    A = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    w = rng.uniform(0.5, 2, n) if weighted else None
    got = estimate_leverage_scores(A, Identity(n), d, Draws(), w, ridge=ridge, workers=workers)
    np.testing.assert_allclose(got, leverage_scores(A, w, ridge=ridge), atol=1e-8)
    assert got.shape == (n,)


def test_the_law_of_an_estimate():
    A = random_rows(30, 3, "gaussian", stream(1))
    exact, q = leverage_scores(A), 5
    rng = stream(2)
    draws = np.stack([estimate_leverage_scores(A, Identity(30), q, rng) for _ in range(2000)])
    for i in (0, 17):
        assert stats.kstest(q * draws[:, i] / exact[i], stats.chi2(q).cdf).pvalue > ALARM


@pytest.mark.parametrize("law", ["gaussian", "lognormal", "planted_row"])
@pytest.mark.parametrize("weighted", [False, True])
def test_within_the_factor_of_the_sketch(law, weighted):
    n, d, rng = 2000, 5, stream(3)
    A, w = random_rows(n, d, law, rng), rng.uniform(0.1, 1, n) if weighted else None
    S = osnap(400, n, 4, rng, like=A)
    B = A if w is None else np.sqrt(w)[:, None] * A
    values = np.linalg.svdvals(S @ np.linalg.qr(B)[0])  # the distortion, measured
    got = estimate_leverage_scores(A, S, d, Draws(), w)
    ratios = got / leverage_scores(A, w)
    assert np.min(ratios) >= values[0] ** -2 * (1 - 1e-9)
    assert np.max(ratios) <= values[-1] ** -2 * (1 + 1e-9)
    assert values[0] ** 2 < 1.5


def test_the_number_of_columns_that_the_docstring_asks_for():
    n, d, delta = 500, 3, 0.1
    A = random_rows(n, d, "gaussian", stream(4))
    exact, q, rng = leverage_scores(A), int(10.4 * np.log(n / delta)), stream(5)
    low = [np.min(estimate_leverage_scores(A, Identity(n), q, rng) / exact) for _ in range(100)]
    assert np.sum(np.array(low) < 0.5) <= 10  # Chernoff's bound is not tight: none is expected


def test_sparse_rows():
    rng = stream(6)
    columns, values, w = rng.integers(0, 6, (300, 2)), rng.standard_normal((300, 2)), rng.uniform(0.1, 1, 300)
    A = SparseRows(columns, values, 6)
    S = osnap(80, 300, 2, stream(7), like=values)
    for weights in (None, w):
        dense = estimate_leverage_scores(A.dense(), S, 4, stream(8), weights, ridge=0.1)
        got = estimate_leverage_scores(A, S, 4, stream(8), weights, ridge=0.1, workers=2)
        np.testing.assert_allclose(got, dense, rtol=1e-10)


def test_on_every_library(xp):
    rng = stream(9)
    A, w = rng.standard_normal((60, 3)), rng.uniform(0.1, 1, 60)
    expected = estimate_leverage_scores(A, osnap(20, 60, 2, stream(10), like=A), 4, stream(11), w, ridge=0.2)
    B = xp.asarray(A)
    S = osnap(20, 60, 2, stream(10), like=B)
    got = estimate_leverage_scores(B, S, 4, stream(11), xp.asarray(w), ridge=0.2)
    assert got.dtype == xp.float64
    np.testing.assert_allclose(to_host(got), expected, rtol=1e-12)
    narrow = estimate_leverage_scores(xp.asarray(A, dtype=xp.float32), S, 4, stream(11))
    assert narrow.shape == (60,)


def test_an_ill_conditioned_matrix():
    A = matrix_with_spectrum(400, 4, 10.0 ** -np.array([0, 3, 6, 8]), stream(12))
    S = osnap(200, 400, 4, stream(13), like=A)
    ratios = estimate_leverage_scores(A, S, 4, Draws()) / leverage_scores(A)
    values = np.linalg.svdvals(S @ np.linalg.qr(A)[0])
    # u κ = 1e-8 in the scores
    assert values[0] ** -2 - 1e-6 <= np.min(ratios) <= np.max(ratios) <= values[-1] ** -2 + 1e-6


def test_blocks_change_nothing(monkeypatch):
    from touchstone.sketching import leverage_estimates

    A, S = random_rows(50, 3, "gaussian", stream(14)), Identity(50)
    whole = estimate_leverage_scores(A, S, 4, stream(15))
    monkeypatch.setattr(leverage_estimates, "ENTRIES_PER_BLOCK", 21)
    for workers in (1, 2):
        got = estimate_leverage_scores(A, S, 4, stream(15), workers=workers)
        np.testing.assert_allclose(got, whole, rtol=1e-13)


def test_counts():
    n, d, m, q, s = 600, 4, 48, 7, 3
    A, w = stream(16).standard_normal((n, d)), stream(17).uniform(0.1, 1, n)

    def costs_of(A, w):
        with count() as costs:
            estimate_leverage_scores(A, osnap(m, n, s, stream(18), like=A), q, stream(19), w)
        return costs

    with_data, without = costs_of(counted(A), counted(w)), costs_of(shape_only(n, d), shape_only(n))
    assert with_data.numbers() == without.numbers()
    triangle = m * d**2 + (d**3 - d) // 6 + d**3
    assert without.multiply_adds == s * n * d + triangle + d * d * q + n * d * q + n * q
    assert costs_of(shape_only(n, d), None).arithmetic == without.arithmetic - n * d - n


def test_bad_input_is_named():
    A, S, rng = np.ones((4, 2)), Identity(4), stream(0)
    with pytest.raises(ValueError, match=r"A of shape \(4,\): expected a matrix"):
        estimate_leverage_scores(np.ones(4), S, 2, rng)
    with pytest.raises(TypeError, match="A of dtype complex128: expected real floating"):
        estimate_leverage_scores(A + 0j, S, 2, rng)
    with pytest.raises(ValueError, match=r"S of shape \(5, 5\): expected 4 columns"):
        estimate_leverage_scores(A, Identity(5), 2, rng)
    for q in (0, 1.0, True):
        with pytest.raises(ValueError, match=f"q={q!r}: expected an integer >= 1"):
            estimate_leverage_scores(A, S, q, rng)
    for weights in (np.ones(3), np.ones((2, 4))):
        with pytest.raises(ValueError, match=r"weights of shape .*: expected \(4,\)"):
            estimate_leverage_scores(A, S, 2, rng, weights)
    for bad, seen in ((-1.0, r"-1\.0"), (np.nan, "nan")):
        with pytest.raises(ValueError, match=f"weights down to {seen}: expected numbers >= 0"):
            estimate_leverage_scores(A, S, 2, rng, np.array([1, 1, bad, 1]))
    for ridge in (-1, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"ridge={ridge}: expected a finite number >= 0"):
            estimate_leverage_scores(A, S, 2, rng, ridge=ridge)
    with pytest.raises(ValueError, match="expected finite entries"):
        estimate_leverage_scores(A * np.nan, S, 2, rng)
