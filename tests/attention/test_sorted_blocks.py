"""The fast variant of HyperAttention against its formula, entry by entry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention import sorted_blocks
from touchstone.attention.exact import attention
from touchstone.attention.parts import causal_by_halves, join_parts
from touchstone.attention.sorted_blocks import sorted_block_attention, sorted_block_part
from touchstone.attention.sorted_mask import SortedMask, sorted_lsh_mask
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.instances.planted_pairs import planted_pairs
from touchstone.sketching.hashing import hyperplane_hash


def random_mask(n, m, block, seed=0, xp=np):
    rng = stream(seed, "mask", n, m, block)
    return SortedMask(xp.asarray(rng.permutation(n)), xp.asarray(rng.permutation(m)), block)


def instance(n, keys, c=2, d=3, size=1.0):
    rng = stream(1, n, keys)
    return size * rng.normal(size=(n, d)), rng.normal(size=(keys, d)), rng.normal(size=(keys, c))


def by_definition(Q, K, V, mask, m, rng):
    """Numerator and row sum, in real terms; the samples are places in the sorted order of the keys."""
    keys = to_host(mask.key_order)[rng.integers(0, len(K), m)]
    A, M = np.exp(Q @ K.T), mask.pairs()
    N, s = np.zeros((len(Q), V.shape[1])), np.zeros(len(Q))
    for i in range(len(Q)):
        for j in range(len(K)):
            if M[i, j]:
                N[i] += A[i, j] * V[j]
                s[i] += A[i, j]
        for j in keys:
            if not M[i, j]:
                N[i] += len(K) / m * A[i, j] * V[j]
                s[i] += len(K) / m * A[i, j]
    return N, s


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(1, 7), st.integers(0, 99))
def test_by_definition(n, keys, block, m, seed):
    arrays, mask = instance(n, keys), random_mask(n, keys, block, seed)
    N, s = by_definition(*arrays, mask, m, stream(seed))
    part = sorted_block_part(*arrays, mask, m, stream(seed))
    np.testing.assert_allclose(np.exp(part.levels) * part.sums, s, rtol=1e-12)
    np.testing.assert_allclose(np.exp(part.levels)[:, None] * part.numerator, N, rtol=1e-11, atol=1e-11)
    got = sorted_block_attention(*arrays, mask, m, stream(seed))
    np.testing.assert_allclose(got, N / s[:, None], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "keys", "block"), [(40, 40, 4), (43, 43, 4), (20, 47, 4), (47, 20, 4), (5, 9, 16)]
)
def test_on_every_library(xp, monkeypatch, n, keys, block):
    monkeypatch.setattr(sorted_blocks, "LOGITS_PER_STEP", 80)  # several blocks a step, several steps
    host = instance(n, keys)
    arrays = [xp.asarray(x) for x in host]
    got = sorted_block_part(*arrays, random_mask(n, keys, block, xp=xp), 6, stream(3))
    expected = sorted_block_part(*host, random_mask(n, keys, block), 6, stream(3))
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(to_host(x), y, rtol=1e-12, atol=1e-13)
    got = sorted_block_attention(*arrays, random_mask(n, keys, block, xp=xp), 6, stream(3))
    np.testing.assert_allclose(to_host(got), expected.attention(), rtol=1e-12, atol=1e-13)
    narrow = [xp.asarray(x, dtype=xp.float32) for x in host]
    got = sorted_block_attention(*narrow, random_mask(n, keys, block, xp=xp), 6, stream(3))
    assert got.dtype == xp.float32
    np.testing.assert_allclose(to_host(got), expected.attention(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("logits", [1, 320, 10**6])
def test_threads_and_steps_change_nothing(monkeypatch, logits):
    arrays, mask = instance(90, 90), random_mask(90, 90, 8)
    expected = sorted_block_attention(*arrays, mask, 12, stream(0))
    monkeypatch.setattr(sorted_blocks, "LOGITS_PER_STEP", logits)
    for workers in (1, 3):
        got = sorted_block_attention(*arrays, mask, 12, stream(0), workers=workers)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_mixed_widths_take_the_general_path():
    Q, K, V = instance(30, 30)
    mask = random_mask(30, 30, 4)
    got = sorted_block_attention(Q, K, V.astype(np.float32), mask, 5, stream(0))
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, sorted_block_attention(Q, K, V, mask, 5, stream(0)), atol=1e-6)


@pytest.mark.parametrize("block", [17, 100])
def test_one_block_is_exact(block):
    Q, K, V = instance(17, 17, size=200.0)
    got = sorted_block_attention(Q, K, V, random_mask(17, 17, block), 3, stream(0))
    np.testing.assert_allclose(got, attention(Q, K, V, scale=1), rtol=1e-10, atol=1e-12)


def test_causal_with_one_block_each_is_exact():
    Q, K, V = instance(75, 75)
    rng = stream(2)

    def inner(q, k, v):
        return sorted_block_part(q, k, v, random_mask(len(q), len(k), 64), 5, rng)

    expected = attention(Q, K, V, scale=1, mask="causal")
    np.testing.assert_allclose(causal_by_halves(Q, K, V, 16, inner), expected, rtol=1e-11, atol=1e-13)


def test_parts_of_the_keys_join():
    Q, K, V = instance(20, 30)
    first, second = (
        sorted_block_part(Q, K[at], V[at], random_mask(20, 15, 32), 4, stream(0))
        for at in (slice(0, 15), slice(15, 30))
    )
    np.testing.assert_allclose(join_parts(first, second).attention(), attention(Q, K, V, scale=1), rtol=1e-11)


def test_finds_planted_pairs():
    n, d = 1024, 16
    Q, K, _ = planted_pairs(n, d, np.log(n), stream(4))
    V = stream(5).normal(size=(n, d))
    exact = attention(Q, K, V, scale=1)
    found = sorted_lsh_mask(Q, K, hyperplane_hash(d, 10, stream(6)), 32)
    errors = [
        np.linalg.norm(sorted_block_attention(Q, K, V, mask, 256, stream(7)) - exact) / np.linalg.norm(exact)
        for mask in (found, random_mask(n, n, 32))
    ]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize(("n", "block"), [(64, 8), (67, 8), (5, 8)])
def test_cost(n, block):
    d, c, m, tallies = 3, 2, 6, []
    for make in (lambda *shape: counted(stream(0).normal(size=shape)), shape_only):
        Q, K, V = make(n, d), make(n, d), make(n, c)
        mask = sorted_lsh_mask(Q, K, hyperplane_hash(d, 4, stream(1), like=Q), block)
        with count() as costs:
            sorted_block_attention(Q, K, V, mask, m, stream(2))
        tallies.append((costs.operations, costs.multiply_adds, costs.transcendentals, costs.bytes_peak))
    assert tallies[0] == tallies[1]
    pairs = sum(min(block, n - start) ** 2 for start in range(0, n, block))
    assert tallies[0][1] == (pairs + n * m) * (d + c)
    assert tallies[0][2] == pairs + n * m


def test_bad_arguments():
    Q, K, V = instance(4, 4)
    with pytest.raises(ValueError, match=r"mask of shape \(4, 5\): expected \(4, 4\)"):
        sorted_block_attention(Q, K, V, random_mask(4, 5, 2), 2, stream(0))
    for m in (0, 1.0, True):
        with pytest.raises(ValueError, match="m="):
            sorted_block_part(Q, K, V, random_mask(4, 4, 2), m, stream(0))
    with pytest.raises(ValueError, match="V of shape"):
        sorted_block_attention(Q, K, V[:3], random_mask(4, 4, 2), 2, stream(0))
