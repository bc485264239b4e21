"""Samples of rows: their law and weights, the same uniforms, Gram matrices that are right on average."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.costs import ShapeOnlyError
from touchstone.counting.shapes import shape_only
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching.sampling import importance_sample, poisson_sample, sampled_gram

# tests of distributions: p below 1e-6 is a false alarm once in a million runs, and the seed is fixed
ALARM = 1e-6

PROBABILITIES = st.lists(st.floats(0, 1) | st.just(0.0), min_size=1, max_size=9).filter(
    lambda p: sum(p) > 1e-9
)


# -- importance sampling ---------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(PROBABILITIES, st.integers(1, 20), st.integers(0, 99))
def test_draws_invert_the_cumulative_sum(p, m, seed):
    p = np.array(p)
    index, weights = importance_sample(p, m, stream(seed))
    assert index.shape == weights.shape == (m,)
    uniforms = stream(seed).uniform(size=m)
    for u, i, w in zip(uniforms, index, weights, strict=True):
        assert p[i] > 0
        # the first index at which the cumulative sum exceeds u, up to rounding
        assert np.sum(p[:i]) <= u * np.sum(p) * (1 + 1e-12)
        assert u * np.sum(p) <= np.sum(p[: i + 1]) * (1 + 1e-12)
        assert w == pytest.approx(np.sum(p) / (m * p[i]), rel=1e-13)


def test_the_law_of_the_draws():
    p = np.array([0.0, 3.0, 1.0, 0.0, 6.0, 0.0])
    index, _ = importance_sample(p, 20_000, stream(1))
    seen = np.bincount(index, minlength=6)
    assert np.all(seen[p == 0] == 0)
    assert stats.chisquare(seen[p > 0], 20_000 * p[p > 0] / 10).pvalue > ALARM


def test_on_every_library(xp):
    p = stream(2).uniform(0, 1, 30)
    expected, weights = importance_sample(p, 12, stream(3))
    index, got = importance_sample(xp.asarray(p), 12, stream(3))
    assert xp.isdtype(index.dtype, "integral")
    assert got.dtype == xp.float64
    np.testing.assert_array_equal(to_host(index), expected)
    np.testing.assert_allclose(to_host(got), weights, rtol=1e-15)
    index, got = importance_sample(xp.asarray(p, dtype=xp.float32), 12, stream(3))
    assert got.dtype == xp.float32
    np.testing.assert_array_equal(to_host(index), expected)
    np.testing.assert_allclose(to_host(got), weights, rtol=1e-6)
    index, weights = poisson_sample(xp.asarray(p), stream(4))
    np.testing.assert_array_equal(to_host(index), np.flatnonzero(stream(4).uniform(size=30) < p))
    np.testing.assert_allclose(to_host(weights), 1 / p[to_host(index)], rtol=1e-15)


def test_the_same_state_takes_the_same_uniforms():
    p, q = (stream(seed).uniform(0.9, 1, 200) for seed in (5, 6))
    a, b = (importance_sample(x, 500, stream(7))[0] for x in (p, q))
    assert 0 < np.max(np.abs(a - b)) < 10  # neighbours in p are neighbours in the draws
    np.testing.assert_array_equal(importance_sample(p, 100, stream(7))[0], a[:100])
    np.testing.assert_array_equal(importance_sample(3 * p, 500, stream(7))[0], a)


class Uniforms:
    """A generator that gives what it is told."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def uniform(self, size):
        assert size == len(self.numbers)
        return self.numbers


def test_the_ends_of_the_unit_interval():
    p = np.array([0.0, 0.1, 0.0, 0.2, 0.7, 0.0, 0.0])
    largest = np.nextafter(1.0, 0)
    index, _ = importance_sample(p, 2, Uniforms(0.0, largest))
    np.testing.assert_array_equal(index, [1, 4])
    # a denormal total rounds up to itself when multiplied by a number just below 1
    index, weights = importance_sample(np.array([0.0, 5e-324, 0.0]), 2, Uniforms(0.0, largest))
    np.testing.assert_array_equal(index, [1, 1])
    np.testing.assert_array_equal(weights, [0.5, 0.5])


def test_sums_of_many_float32_probabilities_do_not_drift():
    p = np.full(2**20, 0.1, dtype=np.float32)
    p[-1] = 1e5
    index, _ = importance_sample(p, 4000, stream(8))
    # the last has probability 1e5 / (1e5 + 104857.5); summed in float32 it would be off by per mille
    share = 1e5 / (1e5 + 0.1 * (2**20 - 1))
    assert stats.binomtest(int(np.sum(index == 2**20 - 1)), 4000, share).pvalue > ALARM


def test_expectations_are_exact():
    """All outcomes of two draws, each with its probability."""
    p, f = np.array([0.5, 0.125, 0.375]), np.array([2.0, -1.0, 7.0])
    mean = 0.0
    for first, second in itertools.product(range(8), repeat=2):
        index, weights = importance_sample(p, 2, Uniforms((first + 0.5) / 8, (second + 0.5) / 8))
        mean += np.sum(weights * f[index]) / 64
    assert mean == pytest.approx(np.sum(f), rel=1e-14)


# -- Poisson sampling ------------------------------------------------------------------------------------


def test_independent_inclusion():
    p = np.array([0.0, 1.0, 0.3, 0.8])
    taken = np.zeros((20_000, 4), dtype=bool)
    rng = stream(9)
    for row in taken:
        index, weights = poisson_sample(p, rng)
        row[index] = True
        np.testing.assert_array_equal(weights, 1 / p[index])
        assert np.all(np.diff(index) > 0)
    seen = np.sum(taken, axis=0)
    assert seen[0] == 0
    assert seen[1] == 20_000
    for i in (2, 3):
        assert stats.binomtest(int(seen[i]), 20_000, p[i]).pvalue > ALARM
    assert stats.binomtest(int(np.sum(taken[:, 2] & taken[:, 3])), 20_000, 0.3 * 0.8).pvalue > ALARM


def test_larger_probabilities_take_more():
    p = stream(10).uniform(0, 0.5, 50)
    small, large = (set(poisson_sample(q, stream(11))[0].tolist()) for q in (p, 2 * p))
    assert small < large


def test_an_empty_sample():
    index, weights = poisson_sample(np.zeros(3), stream(0))
    assert index.shape == weights.shape == (0,)


# -- Gram matrices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_sampled_gram_matrix(xp, weighted, sparse):
    rng = stream(12)
    columns, values = rng.integers(0, 3, (20, 2)), rng.standard_normal((20, 2))
    A = SparseRows(columns, values, 3).dense()
    D, p = (rng.standard_normal(20) if weighted else None), rng.uniform(0.1, 1, 20)
    index, weights = importance_sample(p, 7, stream(13))
    w = weights if D is None else weights * D[index]
    given = SparseRows(xp.asarray(columns), xp.asarray(values), 3) if sparse else xp.asarray(A)
    got = sampled_gram(given, None if D is None else xp.asarray(D), xp.asarray(p), 7, stream(13))
    np.testing.assert_allclose(to_host(got), A[index].T @ (w[:, None] * A[index]), atol=1e-12)


def test_it_is_right_on_average():
    rng = stream(14)
    A, D = rng.standard_normal((6, 2)), rng.uniform(-1, 1, 6)
    p = np.array([1, 2, 3, 4, 5, 1]) / 16
    total = sum(sampled_gram(A, D, p, 1, Uniforms((i + 0.5) / 16)) for i in range(16))
    np.testing.assert_allclose(total / 16, A.T @ (D[:, None] * A), atol=1e-13)


def test_leverage_sampling_finds_what_uniform_sampling_misses():
    A = np.vstack([np.eye(2)[:1], np.zeros((999, 2))])
    A[1:, 1] = 1
    scores = np.array([1.0, *[1 / 999] * 999])
    gram = sampled_gram(A, None, scores, 100, stream(15))
    assert np.linalg.norm(gram / [[1, 31.6], [31.6, 999]] - np.eye(2)) < 0.5
    assert sampled_gram(A, None, np.ones(1000), 100, stream(15))[0, 0] == 0


# -- counts ----------------------------------------------------------------------------------------------


def test_counts_without_data_are_those_with_data():
    n, d, m = 50, 3, 9
    rng = stream(16)
    A, D, p = rng.standard_normal((n, d)), rng.uniform(0, 1, n), rng.uniform(0, 1, n)
    with count() as with_data:
        sampled_gram(counted(A), counted(D), counted(p), m, stream(17))
    with count() as without:
        sampled_gram(shape_only(n, d), shape_only(n), shape_only(n), m, stream(17))
    assert with_data.numbers() == without.numbers()
    assert without.multiply_adds == m * d**2
    assert without.comparisons == (m + 1) * 6 + m  # searches among 50, and the last entry that may be drawn


def test_counts_at_sizes_that_no_memory_holds():
    with count() as costs:
        sampled_gram(shape_only(2**60, 8), None, shape_only(2**60), 100, stream(18))
    assert costs.multiply_adds == 6400
    assert costs.arithmetic == 2**60 - 1 + 300 + 800  # the sums, three operations a draw, the weighted rows
    with pytest.raises(ShapeOnlyError):
        poisson_sample(shape_only(3), stream(0))


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "error", "message"),
    [
        (np.ones((2, 2)), ValueError, r"p of shape \(2, 2\): expected one row"),
        (np.ones(()), ValueError, r"p of shape \(\): expected one row"),
        (np.ones(0), ValueError, r"p of shape \(0,\): expected one row"),
        (np.ones(2, dtype=int), TypeError, "p of dtype int64: expected real floating numbers"),
        (np.array([1, -1e-9]), ValueError, "p down to -1e-09: expected numbers >= 0"),
        (np.array([1, np.nan]), ValueError, "p down to nan: expected numbers >= 0"),
    ],
)
def test_bad_probabilities_are_named(p, error, message):
    for sample in (lambda: importance_sample(p, 2, stream(0)), lambda: poisson_sample(p, stream(0))):
        with pytest.raises(error, match=message):
            sample()


def test_other_bad_input_is_named():
    for p, total in ((np.zeros(2), r"0\.0"), (np.array([1, np.inf]), "inf")):
        with pytest.raises(ValueError, match=rf"p with sum {total}: expected a finite sum > 0"):
            importance_sample(p, 2, stream(0))
    with pytest.raises(ValueError, match=r"p up to 1\.5: expected probabilities in \[0, 1\]"):
        poisson_sample(np.array([0.5, 1.5]), stream(0))
    for m in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=f"m={m!r}: expected an integer >= 1"):
            importance_sample(np.ones(2), m, stream(0))
    with pytest.raises(ValueError, match=r"A of shape \(3,\): expected a matrix"):
        sampled_gram(np.ones(3), None, np.ones(3), 1, stream(0))
    with pytest.raises(ValueError, match=r"D of shape \(2,\): expected \(3,\), one for each row"):
        sampled_gram(np.ones((3, 1)), np.ones(2), np.ones(3), 1, stream(0))
    with pytest.raises(ValueError, match=r"p of shape \(2,\): expected \(3,\), one for each row"):
        sampled_gram(np.ones((3, 1)), None, np.ones(2), 1, stream(0))
