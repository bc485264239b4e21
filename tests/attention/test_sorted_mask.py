"""Gray code, sorted hashing and its blocks, against one pair at a time."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.sorted_mask import SortedMask, gray_rank, sorted_lsh_mask
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.sketching.hashing import hyperplane_hash


def gray_code(bits):
    """The code by its definition: reflect, and put a one before the mirror image."""
    code = [0]
    for bit in range(bits):
        code += [2**bit + g for g in reversed(code)]
    return code


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 9])
def test_gray_rank_inverts_the_code(bits):
    code = np.array(gray_code(bits))
    np.testing.assert_array_equal(gray_rank(code, bits), np.arange(2**bits))
    around = np.append(code, code[0])
    assert all(int(a ^ b).bit_count() == 1 for a, b in itertools.pairwise(around))


@pytest.mark.parametrize("bits", [17, 33, 52, 62])
def test_gray_rank_of_many_bits(bits):
    rng = stream(0, bits)
    ranks = rng.integers(0, 2**bits, 50)
    np.testing.assert_array_equal(gray_rank(ranks ^ (ranks >> 1), bits), ranks)
    assert gray_rank(np.array([2 ** (bits - 1)]), bits)[0] == 2**bits - 1  # the last word of the code


def test_gray_rank_refuses():
    for bits in (0, -1, 63, 2.0, True):
        with pytest.raises(ValueError, match="bits="):
            gray_rank(np.array([0]), bits)
    with pytest.raises(TypeError, match="keys of dtype float64"):
        gray_rank(np.array([0.0]), 3)
    for key in (-1, 8):
        with pytest.raises(ValueError, match="expected 0 <= key < 2\\^3"):
            gray_rank(np.array([0, key]), 3)
    assert gray_rank(np.array([], dtype=int), 3).shape == (0,)


def random_mask(n, m, block, seed=0):
    rng = stream(seed, "mask", n, m, block)
    return SortedMask(rng.permutation(n), rng.permutation(m), block)


def pair_by_pair(mask):
    n, m = mask.shape
    queries, keys = list(to_host(mask.query_order)), list(to_host(mask.key_order))
    return np.array(
        [[queries.index(i) // mask.block == keys.index(j) // mask.block for j in range(m)] for i in range(n)]
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 16), st.integers(0, 99))
def test_mask_pair_by_pair(n, m, block, seed):
    mask = random_mask(n, m, block, seed)
    expected = pair_by_pair(mask)
    assert mask.shape == (n, m)
    np.testing.assert_array_equal(mask.pairs(), expected)
    rows, columns = np.array([n - 1, 0, 0]), np.array([m // 2, m - 1])
    np.testing.assert_array_equal(mask.pairs(rows, columns), expected[rows][:, columns])
    np.testing.assert_array_equal(mask.pairs(queries=rows), expected[rows])
    np.testing.assert_array_equal(mask.pairs(keys=columns), expected[:, columns])
    np.testing.assert_array_equal(mask.query_order[mask.query_places], np.arange(n))

    Q, K = stream(seed).normal(size=(n, 3)), stream(seed, "keys").normal(size=(m, 3))
    with np.errstate(divide="ignore"):
        sums = np.log(np.sum(np.where(expected, np.exp(Q @ K.T), 0), axis=1))
    np.testing.assert_allclose(mask.log_sums(Q, K), sums, rtol=1e-12, atol=1e-14)


def test_sums_of_huge_logits():
    mask = random_mask(8, 8, 2)
    Q, K = 1e3 * stream(1).normal(size=(8, 2)), stream(2).normal(size=(8, 2))
    logits = np.where(mask.pairs(), Q @ K.T, -np.inf)
    np.testing.assert_allclose(mask.log_sums(Q, K), np.logaddexp.reduce(logits, axis=1), rtol=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 8), st.integers(1, 6), st.integers(0, 99))
def test_sorted_along_the_code(n, m, block, bits, seed):
    Q, K = stream(seed).normal(size=(n, 3)), stream(seed, "keys").normal(size=(m, 3))
    family = hyperplane_hash(3, bits, stream(seed, "hash"))
    mask = sorted_lsh_mask(Q, K, family, block)
    assert mask.block == block
    for order, X in ((mask.query_order, Q), (mask.key_order, K)):
        ranks = [gray_code(bits).index(key) for key in family.keys(X)]
        np.testing.assert_array_equal(order, sorted(range(len(X)), key=lambda i: (ranks[i], i)))


def test_equal_points_share_a_block():
    K = stream(3).normal(size=(64, 4))
    mask = sorted_lsh_mask(2.0 * K, K, hyperplane_hash(4, 10, stream(4)), 8)
    assert np.all(np.diagonal(mask.pairs()))  # one order for both
    far = sorted_lsh_mask(-K, K, hyperplane_hash(4, 10, stream(4)), 8)
    assert not np.any(np.diagonal(far.pairs()))  # half the code away


def test_on_every_library(xp):
    Q, K = stream(5).normal(size=(23, 4)), stream(6).normal(size=(19, 4))
    expected = sorted_lsh_mask(Q, K, hyperplane_hash(4, 6, stream(7)), 5)
    family = hyperplane_hash(4, 6, stream(7), like=xp.asarray(Q))
    mask = sorted_lsh_mask(xp.asarray(Q), xp.asarray(K), family, 5)
    np.testing.assert_array_equal(to_host(mask.pairs()), expected.pairs())
    got = mask.log_sums(xp.asarray(Q), xp.asarray(K))
    np.testing.assert_allclose(to_host(got), expected.log_sums(Q, K), rtol=1e-13)
    narrow = mask.log_sums(*(xp.asarray(x, dtype=xp.float32) for x in (Q, K)))
    assert narrow.dtype == xp.float32


@pytest.mark.parametrize(("n", "m", "block"), [(24, 24, 4), (26, 26, 4), (10, 27, 4), (27, 10, 4), (3, 3, 8)])
def test_cost(n, m, block):
    d, bits, tallies = 3, 5, []
    ceil_log2 = [(size - 1).bit_length() for size in (n, m)]
    for make in (lambda *shape: counted(stream(0).normal(size=shape)), shape_only):
        Q, K = make(n, d), make(m, d)
        family = hyperplane_hash(d, bits, stream(1), like=Q)
        with count() as costs:
            with costs.phase("hash"):
                family.keys(Q), family.keys(K)
            with costs.phase("mask"):
                mask = sorted_lsh_mask(Q, K, family, block)
            with costs.phase("sums"):
                mask.log_sums(Q, K)
            with costs.phase("pairs"):
                mask.pairs()
        phases = costs.phases
        tallies.append((costs.operations, costs.moves, costs.bytes_peak))
    assert tallies[0] == tallies[1]
    own = phases["mask"].operations - phases["hash"].operations
    # the ranks (3 doublings of 2 operations), the sorts, two scatters and two divisions
    assert own == (n + m) * (6 + 1 + 1) + n * ceil_log2[0] + m * ceil_log2[1]
    pairs = sum(min(block, n - s) * min(block, m - s) for s in range(0, min(n, m), block))
    assert phases["sums"].multiply_adds == pairs * d
    assert phases["pairs"].comparisons == phases["pairs"].operations == n * m


def test_squares():
    assert random_mask(10, 10, 5).squares() == (2, slice(10, 10), slice(10, 10))
    assert random_mask(11, 17, 5).squares() == (2, slice(10, 11), slice(10, 15))
    assert random_mask(17, 10, 5).squares() == (2, slice(10, 15), slice(10, 10))
    assert random_mask(3, 4, 5).squares() == (0, slice(0, 3), slice(0, 4))


def test_repr():
    assert repr(random_mask(3, 4, 2)) == "SortedMask(3 queries, 4 keys, blocks of 2)"


@pytest.mark.parametrize("block", [0, -3, 1.0, True, math.nan])
def test_bad_block(block):
    with pytest.raises(ValueError, match="block="):
        SortedMask(np.arange(3), np.arange(3), block)


@pytest.mark.parametrize("bad", [[0, 0, 1], [0, 1, 3], [-1, 0, 1], [], [[0]]])
def test_no_permutation(bad):
    bad = np.array(bad, dtype=int)
    with pytest.raises(ValueError, match="query_order"):
        SortedMask(bad, np.arange(3), 2)
    with pytest.raises(ValueError, match="key_order"):
        SortedMask(np.arange(3), bad, 2)
    with pytest.raises(TypeError, match="key_order of dtype float64"):
        SortedMask(np.arange(3), np.arange(3.0), 2)
