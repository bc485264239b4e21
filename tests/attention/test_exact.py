"""Dense attention against a loop over pairs, in blocks and threads, under masks, and its memory."""

import importlib
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention import exact
from touchstone.attention.exact import attention, attention_weights
from touchstone.counting.array import Product, count, counted
from touchstone.counting.shapes import shape_only


def reference(Q, K, V, scale, mask=None):
    """One query, one key, one exactly rounded sum at a time."""
    out = np.zeros((len(Q), V.shape[1]))
    for i, q in enumerate(Q):
        seen = [j for j in range(len(K)) if mask is None or mask[i][j]]
        if not seen:
            continue
        logits = {j: scale * math.fsum(q * K[j]) for j in seen}
        top = max(logits.values())
        weights = {j: math.exp(logits[j] - top) for j in seen}
        for c in range(V.shape[1]):
            out[i, c] = math.fsum(weights[j] * V[j, c] for j in seen) / math.fsum(weights.values())
    return out


def tolerance(Q, K, V, scale):
    """A logit of size L built from d products is off by about (d + 2) eps L, a weight by twice that and by a
    sum of m terms, relatively; the output is a mean of values, so that times the largest value."""
    eps = np.finfo(Q.dtype).eps
    d, m = K.shape[1], K.shape[0]
    largest_logit = abs(scale) * (np.abs(Q).max(initial=0) * np.abs(K).max(initial=0) * max(d, 1))
    return float(eps * np.abs(V).max(initial=0) * (4 * (d + 3) * largest_logit + 2 * m + 16))


def instance(seed, n, m, d, c, size=1.0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    Q, K = (rng.uniform(-size, size, (rows, d)).astype(dtype) for rows in (n, m))
    return Q, K, rng.uniform(-1, 1, (m, c)).astype(dtype)


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.integers(0, 3)),
    block=st.integers(1, 10) | st.none(),
    workers=st.integers(1, 3),
    scale=st.sampled_from([1.0, 0.25, -0.5, 0.0, 7]),
    kind=st.sampled_from(["none", "random", "causal"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10**6),
)
def test_agrees_with_the_loop_over_pairs(shape, block, workers, scale, kind, dtype, seed):
    n, m, d, c = shape
    if kind == "causal":
        m = n
    Q, K, V = instance(seed, n, m, d, c, size=3.0, dtype=dtype)
    dense = {
        "none": None,
        "causal": np.tril(np.ones((n, m), dtype=bool)),
        "random": np.random.default_rng(seed).integers(0, 2, (n, m)).astype(bool),
    }[kind]
    mask = "causal" if kind == "causal" else dense
    expected = reference(*(x.astype(np.float64) for x in (Q, K, V)), scale, dense)
    result = attention(Q, K, V, scale=scale, mask=mask, block=block, workers=workers)
    assert result.dtype == dtype
    assert result.shape == (n, c)
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance(Q, K, V, scale))
    weights = attention_weights(Q, K, scale=scale, mask=mask)
    assert weights.dtype == dtype
    assert weights.shape == (n, m)
    np.testing.assert_allclose(weights @ V, expected, rtol=0, atol=tolerance(Q, K, V, scale))
    seen = np.ones((n, m), dtype=bool) if dense is None else dense
    assert np.all(weights[~seen] == 0)
    # m roundings in the sum of the weights
    np.testing.assert_allclose(
        weights.sum(axis=1), seen.any(axis=1), rtol=0, atol=(m + 4) * np.finfo(dtype).eps
    )


@pytest.mark.parametrize("kind", ["none", "dense", "causal"])
def test_every_library_gives_the_numbers_of_numpy(xp, kind):
    Q, K, V = instance(1, 7, 7, 3, 2)
    dense = np.random.default_rng(2).integers(0, 2, (7, 7)).astype(bool)
    mask = {"none": (None, None), "dense": (dense, xp.asarray(dense)), "causal": ("causal", "causal")}[kind]
    on_xp = [xp.asarray(x) for x in (Q, K, V)]
    for block in (3, None):
        expected = attention(Q, K, V, scale=0.5, mask=mask[0], block=block)
        result = attention(*on_xp, scale=0.5, mask=mask[1], block=block)
        assert isinstance(result, type(on_xp[0]))
        np.testing.assert_allclose(to_host(result), expected, rtol=1e-14)
    expected = attention_weights(Q, K, scale=0.5, mask=mask[0])
    result = attention_weights(*on_xp[:2], scale=0.5, mask=mask[1])
    np.testing.assert_allclose(to_host(result), expected, rtol=1e-14)


def test_two_keys_by_hand():
    # weights of the keys 0 and ln 3 at scale 1/2 for the query 2: 1 to 3
    Q, K, V = np.array([[2.0]]), np.array([[0.0], [np.log(3.0)]]), np.array([[0.0, 4.0], [1.0, 8.0]])
    np.testing.assert_allclose(attention(Q, K, V, scale=0.5), [[0.75, 7.0]], rtol=1e-15)
    np.testing.assert_allclose(attention_weights(Q, K, scale=0.5), [[0.25, 0.75]], rtol=1e-15)


def test_scale_is_never_guessed():
    Q, K, V = instance(3, 4, 5, 4, 2)
    with pytest.raises(TypeError, match="scale"):
        attention(Q, K, V)
    with pytest.raises(TypeError, match="scale"):
        attention_weights(Q, K)
    for scale in (1.0, 1 / 4, 1 / 2):  # 1, 1/d and 1/sqrt(d) give three different answers
        logits = scale * (Q @ K.T)
        expected = np.exp(logits) @ V / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(attention(Q, K, V, scale=scale), expected, rtol=1e-13)


@pytest.mark.parametrize("scale", [np.float64(0.5), np.int64(1), 1])
def test_a_scale_of_another_type_does_not_widen_float32(scale):
    Q, K, V = instance(4, 3, 3, 2, 2, dtype=np.float32)
    assert attention(Q, K, V, scale=scale).dtype == np.float32
    assert attention_weights(Q, K, scale=scale).dtype == np.float32


def test_large_logits(xp):
    Q, K, V = (xp.asarray(x) for x in ([[1e4], [-1e4]], [[1e4], [-1e4], [9e3]], [[1.0], [2.0], [3.0]]))
    np.testing.assert_array_equal(to_host(attention(Q, K, V, scale=1.0)), [[1.0], [2.0]])


@pytest.mark.parametrize("block", [1, 2, None])
def test_a_query_that_sees_no_key_gets_zeros(xp, block):
    Q, K, V = (xp.asarray(x) for x in instance(5, 3, 4, 2, 2))
    mask = xp.asarray([[True] * 4, [False] * 4, [False, True, False, False]])
    result = to_host(attention(Q, K, V, scale=1.0, mask=mask, block=block))
    np.testing.assert_array_equal(result[1], [0, 0])
    np.testing.assert_array_equal(result[2], to_host(V)[1])
    weights = to_host(attention_weights(Q, K, scale=1.0, mask=mask))
    np.testing.assert_array_equal(weights[1:], [[0, 0, 0, 0], [0, 1, 0, 0]])


def test_no_queries_and_no_value_columns(xp):
    Q, K, V = xp.zeros((0, 2)), xp.zeros((3, 2)), xp.zeros((3, 4))
    assert attention(Q, K, V, scale=1.0).shape == (0, 4)
    assert attention(K, K, V[:, :0], scale=1.0, mask="causal").shape == (3, 0)
    assert attention_weights(Q, K, scale=1.0).shape == (0, 3)


def test_not_a_number_stays_in_its_row(xp):
    Q, K, V = instance(6, 3, 4, 2, 2)
    Q[1, 0] = np.nan
    result = to_host(attention(*(xp.asarray(x) for x in (Q, K, V)), scale=1.0))
    assert np.isnan(result).all(axis=1).tolist() == [False, True, False]
    assert not np.isnan(result[[0, 2]]).any()


def test_order_of_the_keys_does_not_matter():
    Q, K, V = instance(7, 5, 6, 3, 2)
    order = np.random.default_rng(8).permutation(6)
    expected = attention(Q, K, V, scale=1.0)
    np.testing.assert_allclose(attention(Q, K[order], V[order], scale=1.0), expected, rtol=1e-13)


def test_complex_step_gives_the_derivative(xp):
    Q, K, V = instance(9, 3, 4, 2, 2)
    scale, h = 0.7, 1e-100
    rng = np.random.default_rng(10)
    dQ, dK, dV = (rng.standard_normal(x.shape) for x in (Q, K, V))
    P = attention_weights(Q, K, scale=scale)

    def derivative(*moved):
        return (
            to_host(attention(*(xp.asarray(x.astype(complex)) for x in moved), scale=scale, block=2)).imag / h
        )

    def expected(change):  # of the logits: a weight p changes by p (change - mean change)
        return (P * (change - np.sum(P * change, axis=1, keepdims=True))) @ V

    moved_Q, moved_K, moved_V = Q + 1j * h * dQ, K + 1j * h * dK, V + 1j * h * dV
    np.testing.assert_allclose(derivative(moved_Q, K, V), expected(scale * dQ @ K.T), rtol=0, atol=1e-14)
    np.testing.assert_allclose(derivative(Q, moved_K, V), expected(scale * Q @ dK.T), rtol=0, atol=1e-14)
    np.testing.assert_allclose(derivative(Q, K, moved_V), P @ dV, rtol=0, atol=1e-14)


def test_inputs_are_left_alone():
    arrays = instance(11, 4, 4, 2, 2)
    before = [x.copy() for x in arrays]
    attention(*arrays, scale=2.0, mask="causal", block=2)
    for x, y in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("kind", [None, "causal"])
def test_memory_is_bounded_by_blocks_not_by_all_pairs(monkeypatch, kind):
    monkeypatch.setattr(exact, "LOGITS_PER_BLOCK", 1 << 14)
    peaks = []
    for n in (512, 2048):
        Q, K, V = instance(12, n, n, 4, 4)
        tracemalloc.start()
        try:
            attention(Q, K, V, scale=1.0, mask=kind)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        output = 8 * n * 4
        # three blocks of logits, as documented (a mask adds an eighth of one and a copy of the positions),
        # and some rows of the block's queries
        blocks = 3 * 8 * (1 << 14)
        assert peaks[-1] <= output + blocks * (1.1 if kind is None else 1.25) + 64 * 1024
    assert peaks[1] - peaks[0] <= 8 * 4 * (2048 - 512) + 64 * 1024


def test_default_block_follows_the_number_of_keys(monkeypatch):
    monkeypatch.setattr(exact, "LOGITS_PER_BLOCK", 12)
    seen = []
    original = exact.unnormalised_softmax
    monkeypatch.setattr(
        exact, "unnormalised_softmax", lambda z, **rest: (seen.append(z.shape), original(z, **rest))[1]
    )
    Q, K, V = instance(13, 7, 4, 2, 2)
    attention(Q, K, V, scale=1.0)
    assert seen == [(3, 4), (3, 4), (1, 4)]
    seen.clear()
    attention(Q[:2], K, V, scale=1.0)
    assert seen == [(2, 4)]
    seen.clear()
    attention(Q, np.zeros((13, 2)), np.zeros((13, 1)), scale=1.0)  # more keys than a block: one row at a time
    assert seen == 7 * [(1, 13)]


def test_bad_shapes_are_named(xp):
    z = xp.zeros
    with pytest.raises(ValueError, match=r"Q of shape \(3,\): expected two dimensions"):
        attention(z(3), z((3, 2)), z((3, 2)), scale=1.0)
    with pytest.raises(ValueError, match=r"K of shape \(1, 3, 2\): expected two dimensions"):
        attention_weights(z((3, 2)), z((1, 3, 2)), scale=1.0)
    with pytest.raises(
        ValueError, match=r"Q of shape \(3, 2\) and K of shape \(3, 1\): expected equal numbers"
    ):
        attention(z((3, 2)), z((3, 1)), z((3, 2)), scale=1.0)
    with pytest.raises(ValueError, match=r"V of shape \(2, 5\): expected \(3, columns\)"):
        attention(z((4, 2)), z((3, 2)), z((2, 5)), scale=1.0)
    with pytest.raises(ValueError, match=r"V of shape \(3,\)"):
        attention(z((4, 2)), z((3, 2)), z(3), scale=1.0)
    with pytest.raises(ValueError, match=r"K of shape \(0, 2\): expected at least one key"):
        attention(z((4, 2)), z((0, 2)), z((0, 2)), scale=1.0)


def test_bad_masks_are_named(xp):
    Q, K, V = xp.zeros((3, 2)), xp.zeros((4, 2)), xp.zeros((4, 2))
    with pytest.raises(
        ValueError, match=r"mask='casual': expected 'causal', a boolean array of shape \(3, 4\)"
    ):
        attention(Q, K, V, scale=1.0, mask="casual")
    with pytest.raises(ValueError, match=r"mask='causal' with 3 queries and 4 keys: expected equal numbers"):
        attention(Q, K, V, scale=1.0, mask="causal")
    with pytest.raises(ValueError, match=r"mask of shape \(4, 3\): expected \(3, 4\)"):
        attention(Q, K, V, scale=1.0, mask=xp.ones((4, 3), dtype=xp.bool))
    with pytest.raises(TypeError, match=r"mask of dtype .*float64.*expected booleans"):
        attention_weights(Q, K, scale=1.0, mask=xp.ones((3, 4)))


def test_bad_numbers_are_named(xp):
    Q, K, V = xp.zeros((3, 2)), xp.zeros((4, 2)), xp.zeros((4, 2))
    for scale in (float("nan"), float("inf"), 1j):
        with pytest.raises(ValueError, match=r"scale=.*expected a finite real number"):
            attention(Q, K, V, scale=scale)
    for name, arrays in (("Q", (0, 1, 1)), ("K", (1, 0, 1)), ("V", (1, 1, 0))):
        mixed = [
            xp.zeros(x.shape, dtype=xp.float64 if f else xp.int64)
            for x, f in zip((Q, K, V), arrays, strict=True)
        ]
        with pytest.raises(TypeError, match=rf"{name} of dtype .*int64.*expected real or complex floating"):
            attention(*mixed, scale=1.0)
    with pytest.raises(ValueError, match=r"block=0"):
        attention(Q, K, V, scale=1.0, block=0)
    with pytest.raises(ValueError, match=r"workers=0"):
        attention(Q, K, V, scale=1.0, workers=0)


def test_arrays_of_different_libraries_are_refused():
    strict = importlib.import_module("array_api_strict")
    Q, K, V = instance(14, 3, 3, 2, 2)
    with pytest.raises(TypeError, match="namespace"):
        attention(Q, strict.asarray(K), V, scale=1.0)
    with pytest.raises(TypeError, match="namespace"):
        attention(Q, K, strict.asarray(V), scale=1.0)
    with pytest.raises(TypeError, match="namespace"):
        attention(Q, K, V, scale=1.0, mask=strict.ones((3, 3), dtype=strict.bool))


# -- counts ----------------------------------------------------------------------------------------------


def costs_of(f, *arguments, **rest):
    with count() as costs:
        f(*arguments, **rest)
    return costs


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4), st.integers(1, 3)),
    block=st.integers(1, 21) | st.none(),
    kind=st.sampled_from(["none", "dense", "causal"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_counts_are_the_same_with_and_without_data(shape, block, kind, dtype):
    n, m, d, c = shape
    if kind == "causal":
        m = n
    shapes = (n, d), (m, d), (m, c)
    dense = counted(np.ones((n, m), dtype=bool)), shape_only(n, m, dtype=bool)
    masks = {"none": (None, None), "dense": dense, "causal": ("causal", "causal")}[kind]
    with_data = [counted(np.zeros(s, dtype=dtype)) for s in shapes]
    without = [shape_only(s, dtype=dtype) for s in shapes]
    one = costs_of(attention, *with_data, scale=0.5, mask=masks[0], block=block)
    other = costs_of(attention, *without, scale=0.5, mask=masks[1], block=block)
    assert one.numbers() == other.numbers()
    assert one.products == other.products
    one = costs_of(attention_weights, *with_data[:2], scale=0.5, mask=masks[0])
    other = costs_of(attention_weights, *without[:2], scale=0.5, mask=masks[1])
    assert one.numbers() == other.numbers()


@pytest.mark.parametrize("n", [2**6, 2**20, 2**320, 2**10240])
def test_counts_to_the_unit(n):
    m, d, c = 3 * n // 2, 4, 2
    Q, K, V = shape_only(n, d), shape_only(m, d), shape_only(m, c)
    costs = costs_of(attention, Q, K, V, scale=1 / d, block=2**4)
    assert costs.multiply_adds == n * m * (d + c)
    assert costs.transcendentals == n * m
    assert costs.arithmetic == n * d + n * m + n * (m - 1) + n * c  # scale, shift, sum, division
    assert costs.comparisons == n * (m - 1) + 4 * n  # maximum; its two bounds, and the guard of the sum
    assert costs.products == [Product(16, d, m, n // 16), Product(16, m, c, n // 16)]
    blocks = 8 * 16 * m
    assert 2 * blocks <= costs.bytes_peak <= 3 * blocks + 8 * n * c + 8 * 16 * 8
    # the same rows one at a time cost the same
    assert costs_of(attention, Q, K, V, scale=1 / d, block=1).operations == costs.operations


def test_causal_order_costs_two_comparisons_a_pair_and_needs_no_mask():
    n, d = 2**300, 4
    arrays = shape_only(n, d), shape_only(n, d), shape_only(n, d)
    plain = costs_of(attention, *arrays, scale=1.0, block=16)
    causal = costs_of(attention, *arrays, scale=1.0, block=16, mask="causal")
    assert causal.comparisons - plain.comparisons == 2 * n * n
    assert causal.multiply_adds == plain.multiply_adds
    # a third array of logits for the block; the positions, the block's booleans and the keys' positions
    assert causal.bytes_peak <= plain.bytes_peak + 8 * 16 * n + 8 * n + 16 * n + 8 * n


def test_counted_attention_gives_the_numbers_of_numpy_with_default_blocks():
    Q, K, V = instance(15, 40, 30, 3, 2)
    result = attention(counted(Q), counted(K), counted(V), scale=1.0)
    np.testing.assert_array_equal(to_host(result), attention(Q, K, V, scale=1.0))
