"""HyperAttention as the theory has it, against its definition one entry at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.exact import attention
from touchstone.attention.hyper import (
    approximate_log_row_sums,
    hyper_attention,
    hyper_part,
    row_norm_sample,
)
from touchstone.attention.parts import causal_by_halves
from touchstone.attention.sorted_mask import SortedMask, sorted_lsh_mask
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.sketching.hashing import hyperplane_hash
from touchstone.sketching.sampling import importance_sample


def random_mask(n, m, block, seed=0):
    rng = stream(seed, "mask", n, m, block)
    return SortedMask(rng.permutation(n), rng.permutation(m), block)


def row_sums_by_definition(Q, K, M, m, kappa, rng, cap):
    """The formulas of the docstring, entry by entry."""
    n, keys = len(Q), len(K)
    A = np.array([[math.exp(sum(a * b for a, b in zip(q, k, strict=True))) for k in K] for q in Q])
    T, columns = rng.choice(n, min(m, n), replace=False), rng.integers(0, keys, m)
    u = [sum(A[i, j] for j in range(keys) if not M[i, j]) for i in range(n)]
    tau = max(u[i] for i in T)
    sums = []
    for i in range(n):
        masked = sum(A[i, j] for j in range(keys) if M[i, j])
        limit = math.inf
        if cap is not None and keys > 1:
            limit = cap * m / (keys * math.log(keys)) * (masked + tau / kappa)
        estimate = keys / m * sum(min(A[i, j], limit) for j in columns if not M[i, j])
        sums.append(masked + max(estimate, tau / kappa))
    return np.array(sums)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 12),
    st.sampled_from([1, 1.5, 40.0]),
    st.sampled_from([None, 0.01, 1.0, 50.0]),
    st.booleans(),
)
def test_row_sums_by_definition(n, keys, block, m, kappa, cap, masked):
    Q, K = stream(n, "Q", m).normal(size=(n, 3)), stream(n, "K", m).normal(size=(keys, 3))
    mask = random_mask(n, keys, block) if masked else None
    M = mask.pairs() if masked else np.zeros((n, keys), dtype=bool)
    got = approximate_log_row_sums(Q, K, mask, m, kappa, stream(5, m), cap=cap)
    expected = row_sums_by_definition(Q, K, M, m, kappa, stream(5, m), cap)
    np.testing.assert_allclose(np.exp(got), expected, rtol=1e-12)


def test_one_block_is_exact():
    Q, K = stream(0).normal(size=(13, 3)), stream(1).normal(size=(13, 3))
    got = approximate_log_row_sums(Q, K, random_mask(13, 13, 13), 4, 2.0, stream(2))
    np.testing.assert_allclose(got, np.log(np.sum(np.exp(Q @ K.T), axis=1)), rtol=1e-13)


def test_sampling_is_unbiased():
    # kappa so large that the floor never matters: the estimate is a mean of m independent columns
    Q, K = stream(0).normal(size=(5, 2)), stream(1).normal(size=(60, 2))
    mask = random_mask(5, 60, 4)
    rng, draws, m = stream(2), 4000, 3
    estimates = np.exp([approximate_log_row_sums(Q, K, mask, m, 1e9, rng) for _ in range(draws)])
    A = np.exp(Q @ K.T)
    outside = np.where(mask.pairs(), 0, A)
    deviation = 60 * outside.std(axis=1) / math.sqrt(m * draws)
    assert np.all(np.abs(estimates.mean(axis=0) - A.sum(axis=1)) < 5 * deviation)


def test_a_level_of_the_logits_cancels():
    # q -> (q, 1), k -> (k, L) adds L to every logit
    Q, K = stream(0).normal(size=(20, 3)), stream(1).normal(size=(20, 3))
    mask = random_mask(20, 20, 4)
    plain = approximate_log_row_sums(Q, K, mask, 6, 2.0, stream(2), cap=1.0)
    for L in (-800.0, 50.0, 1000.0):
        lifted = np.hstack([Q, np.ones((20, 1))]), np.hstack([K, np.full((20, 1), L)])
        got = approximate_log_row_sums(*lifted, mask, 6, 2.0, stream(2), cap=1.0)
        np.testing.assert_allclose(got - L, plain, atol=1e-11)


def test_the_same_draws_for_every_mask():
    Q, K = stream(0).normal(size=(16, 2)), stream(1).normal(size=(16, 2))
    states = []
    for mask in (None, random_mask(16, 16, 4)):
        rng = stream(3)
        approximate_log_row_sums(Q, K, mask, 5, 2.0, rng)
        states.append(rng.uniform())
    assert states[0] == states[1]


# -- products ----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 8), st.sampled_from([1e-200, 1.0, 1e200]))
def test_rows_by_their_norms(n, c, m, size):
    V = stream(n, c, m).normal(size=(n, c))
    index, weights = row_norm_sample(size * V, m, stream(1))
    p = np.array([sum(x * x for x in row) for row in V])
    expected_index, expected_weights = importance_sample(p, m, stream(1))
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(weights, p.sum() / (m * p[index]), rtol=1e-10)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-10)


def test_rows_of_zero_are_all_alike():
    index, weights = row_norm_sample(np.zeros((4, 2)), 100, stream(0))
    assert set(index.tolist()) == {0, 1, 2, 3}
    np.testing.assert_allclose(weights, 4 / 100)


@pytest.mark.parametrize("masked", [True, False])
def test_part_by_definition(masked):
    n, keys, m = 7, 9, 5
    Q, K, V = (stream(i).normal(size=(rows, 3)) for i, rows in enumerate((n, keys, keys)))
    mask = random_mask(n, keys, 2) if masked else None
    part = hyper_part(Q, K, V, mask, m, 1.5, stream(4), cap=2.0)
    rng = stream(4)
    sums = np.exp(approximate_log_row_sums(Q, K, mask, m, 1.5, rng, cap=2.0))
    index, weights = row_norm_sample(V, m, rng)
    product = sum(w * np.outer(np.exp(Q @ K[j]), V[j]) for j, w in zip(index, weights, strict=True))
    np.testing.assert_allclose(np.exp(part.levels), sums, rtol=1e-12)
    np.testing.assert_array_equal(part.sums, 1)
    np.testing.assert_allclose(part.attention(), product / sums[:, None], rtol=1e-11)


def test_attention_puts_it_together():
    Q, K, V = (stream(i).normal(size=(30, 4)) for i in range(3))
    family = hyperplane_hash(4, 5, stream(3))
    got = hyper_attention(Q, K, V, family, 4, 10, 2.0, stream(4))
    expected = hyper_part(Q, K, V, sorted_lsh_mask(Q, K, family, 4), 10, 2.0, stream(4))
    np.testing.assert_array_equal(got, expected.attention())


def test_many_samples_come_near():
    Q, K, V = (stream(i).normal(size=(60, 3)) / 2 for i in range(3))
    V += 1
    family = hyperplane_hash(3, 4, stream(3))
    exact = attention(Q, K, V, scale=1)
    errors = [
        np.linalg.norm(hyper_attention(Q, K, V, family, 8, m, 5.0, stream(4, m)) - exact)
        / np.linalg.norm(exact)
        for m in (10, 100_000)
    ]
    assert errors[1] < 0.01 < errors[0]


def test_causal():
    Q, K, V = (stream(i).normal(size=(50, 3)) / 2 for i in range(3))
    rng = stream(3)

    def inner(q, k, v):
        return hyper_part(q, k, v, random_mask(len(q), len(k), 4), 50_000, 9.0, rng)

    got = causal_by_halves(Q, K, V, 8, inner)
    expected = attention(Q, K, V, scale=1, mask="causal")
    np.testing.assert_allclose(got[:8], expected[:8], rtol=1e-12)
    assert np.max(np.abs(got - expected)) < 0.02


def test_on_every_library(xp):
    host = [stream(i).normal(size=(26, 4)) for i in range(3)]
    Q, K, V = (xp.asarray(x) for x in host)
    family, expected_family = (hyperplane_hash(4, 5, stream(3), like=x) for x in (Q, host[0]))
    got = hyper_attention(Q, K, V, family, 4, 6, 2.0, stream(4))
    expected = hyper_attention(*host, expected_family, 4, 6, 2.0, stream(4))
    np.testing.assert_allclose(to_host(got), expected, rtol=1e-11)
    capped = approximate_log_row_sums(Q, K, None, 6, 2.0, stream(5), cap=0.5)
    np.testing.assert_allclose(
        to_host(capped), approximate_log_row_sums(*host[:2], None, 6, 2.0, stream(5), cap=0.5), rtol=1e-12
    )
    narrow = [xp.asarray(x, dtype=xp.float32) for x in host]
    assert hyper_attention(*narrow, family, 4, 6, 2.0, stream(4)).dtype == xp.float32
    assert approximate_log_row_sums(*narrow[:2], None, 6, 2.0, stream(4), cap=0.5).dtype == xp.float32


@pytest.mark.parametrize(("n", "m"), [(24, 6), (26, 6), (8, 20)])
@pytest.mark.parametrize("cap", [None, 1.0])
def test_cost(n, m, cap):
    d, c, block, bits, tallies = 3, 2, 4, 4, []
    for make in (lambda *shape: counted(stream(0).normal(size=shape)), shape_only):
        Q, K, V = make(n, d), make(n, d), make(n, c)
        mask = sorted_lsh_mask(Q, K, hyperplane_hash(d, bits, stream(1), like=Q), block)
        with count() as costs:
            hyper_part(Q, K, V, mask, m, 2.0, stream(2), cap=cap)
        tallies.append((costs.operations, costs.multiply_adds, costs.moves, costs.bytes_peak))
    assert tallies[0] == tallies[1]
    pairs = sum(min(block, n - start) ** 2 for start in range(0, n, block))
    assert tallies[0][1] == (pairs + min(m, n) * n + 2 * n * m) * d + n * m * c


def test_sizes_that_no_memory_holds():
    n = 2**40
    Q, K, V = (shape_only(n, 4) for _ in range(3))
    with count() as costs:
        hyper_attention(Q, K, V, hyperplane_hash(4, 40, stream(0), like=Q), 32, 16, 2.0, stream(1))
    assert 1e3 * n < costs.operations < 2e3 * n


# -- errors ------------------------------------------------------------------------------------------------


def test_bad_arguments():
    Q, K, V = (np.ones((4, 2)) for _ in range(3))
    rng, mask = stream(0), random_mask(4, 4, 2)
    for m in (0, -1, 1.0, True):
        with pytest.raises(ValueError, match="m="):
            approximate_log_row_sums(Q, K, mask, m, 2.0, rng)
    for kappa in (0.9, math.nan, math.inf):
        with pytest.raises(ValueError, match="kappa="):
            approximate_log_row_sums(Q, K, mask, 2, kappa, rng)
    for cap in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="cap="):
            approximate_log_row_sums(Q, K, mask, 2, 2.0, rng, cap=cap)
    with pytest.raises(ValueError, match=r"mask of shape \(4, 5\): expected \(4, 4\)"):
        approximate_log_row_sums(Q, K, random_mask(4, 5, 2), 2, 2.0, rng)
    with pytest.raises(ValueError, match="K of shape"):
        approximate_log_row_sums(Q, np.ones((4, 3)), mask, 2, 2.0, rng)
    with pytest.raises(TypeError, match="Q of dtype"):
        approximate_log_row_sums(Q.astype(int), K, mask, 2, 2.0, rng)
    with pytest.raises(ValueError, match="V of shape"):
        hyper_part(Q, K, np.ones((5, 2)), mask, 2, 2.0, rng)
    with pytest.raises(ValueError, match="V of shape"):
        hyper_attention(Q, K, np.ones((5, 2)), hyperplane_hash(2, 2, rng), 2, 2, 2.0, rng)
    for V in (np.ones(3), np.ones((0, 2))):
        with pytest.raises(ValueError, match="V of shape"):
            row_norm_sample(V, 2, rng)
